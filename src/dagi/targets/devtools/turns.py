"""Who may run something in the sandbox now: so many at once, the others in a line that is fair among DAOs and their people."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from dagi.errors import QueueFull
from dagi.message import Grant
from dagi.ports.clock import Clock
from dagi.ports.devtools import Hear
from dagi.targets.resilience.line import FairLine

NAME: Final = "devtools"
_USUAL_S: Final = 10.0
_LEARNING: Final = 0.2
_MAX_RETRY_AFTER_S: Final = 300.0


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How many run at once, how many may wait, and for how many seconds."""

    active: int = 2
    waiting: int = 100
    wait_s: float = 60.0


class _Turn(msgspec.Struct, eq=False):
    """Somebody who waits."""

    dao: str
    person: str
    called: asyncio.Future[bool]


class Turns:
    """The places in the sandbox, and the line before them.

    Attributes:
        active: how many run now.
    """

    def __init__(self, room: Room, clock: Clock) -> None:
        self.active = 0
        self._room = room
        self._clock = clock
        self._line: FairLine[_Turn] = FairLine()
        self._usual_s = _USUAL_S

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._line)

    @asynccontextmanager
    async def taken(self, grant: Grant, hear: Hear) -> AsyncGenerator[None]:
        """Hold a place while the context lasts. Whoever is cancelled while it waits leaves the line.

        Args:
            hear: told once how many wait already, where one has to wait.

        Raises:
            QueueFull: too many wait already, or it took too long.
        """
        await self._enter(grant, hear)
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._usual_s += _LEARNING * (self._clock.monotonic() - began - self._usual_s)
            self._leave()

    async def _enter(self, grant: Grant, hear: Hear) -> None:
        if self.active < self._room.active and not self._line:
            self.active += 1
            return
        if len(self._line) >= self._room.waiting:
            # Whoever has had most gives up a place for whoever has had less.
            last = self._line.least_entitled(grant.dao_id, grant.user_id)
            if last is None:
                raise self._full("Too many runs wait for the sandbox already.")
            self._give_up(last)
        turn = _Turn(grant.dao_id, grant.user_id, asyncio.get_running_loop().create_future())
        hear({"kind": "queued", "ahead": len(self._line)})
        self._line.join(turn.dao, turn.person, turn)
        if not await self._called(turn):
            raise self._full("The run waited too long for the sandbox.")

    async def _called(self, turn: _Turn) -> bool:
        timer = asyncio.get_running_loop().call_later(self._room.wait_s, self._give_up, turn)
        try:
            return await turn.called
        except asyncio.CancelledError:
            if turn.called.done() and not turn.called.cancelled() and turn.called.result():
                # Cancelled in the very moment of being called: the place goes on to the next.
                self._leave()
            else:
                self._line.leave(turn.dao, turn.person, turn)
            raise
        finally:
            timer.cancel()

    def _leave(self) -> None:
        self.active -= 1
        while self.active < self._room.active and (turn := self._line.call()) is not None:
            if not turn.called.done():
                self.active += 1
                turn.called.set_result(True)

    def _give_up(self, turn: _Turn) -> None:
        if not turn.called.done():
            self._line.leave(turn.dao, turn.person, turn)
            turn.called.set_result(False)

    def _full(self, sentence: str) -> QueueFull:
        expected = self._usual_s * (len(self._line) + 1) / self._room.active
        retry_after_s = float(round(min(max(expected, 1.0), _MAX_RETRY_AFTER_S)))
        return QueueFull(f"{sentence} Try again in {retry_after_s:.0f} s.", provider=NAME, retry_after_s=retry_after_s)
