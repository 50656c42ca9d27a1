"""The queue in front of a provider: so many at once, so many waiting, first come first served."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from dagi.errors import QueueFull
from dagi.message import Grant, Message
from dagi.ports.clock import Clock
from dagi.ports.target import Event, Target, Waited

_MAX_RETRY_AFTER_S = 60.0


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests at once, how many waiting, and how long in seconds."""

    active: int = 3
    waiting: int = 100
    wait_s: float = 10.0


class Queue:
    """A target that asks the one inside for a few messages at a time.

    Attributes:
        active: how many are being answered now.
    """

    def __init__(self, name: str, inner: Target, places: Places, clock: Clock) -> None:
        self.active = 0
        self._name = name
        self._inner = inner
        self._places = places
        self._clock = clock
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._usual_s = 1.0

    @property
    def waiting(self) -> int:
        """How many wait for a place now."""
        return len(self._waiters)

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`.

        Raises:
            QueueFull: no place to wait is left, or the wait took too long.
        """
        came = self._clock.monotonic()
        waited = await self._enter(came, message.limits.deadline)
        began = self._clock.monotonic()
        if waited is False:
            yield Waited((began - came) * 1000)
            raise self._full("A request waited too long for {name}.")
        try:
            if waited:
                yield Waited((began - came) * 1000)
            async with aclosing(self._inner.open(message, grant)) as events:
                async for event in events:
                    yield event
        finally:
            self._usual_s += 0.1 * (self._clock.monotonic() - began - self._usual_s)
            self._leave()

    async def _enter(self, now: float, deadline: float | None) -> bool | None:
        """Take a place: None at once, True after a wait, False where the wait was in vain."""
        if self.active < self._places.active:
            self.active += 1
            return None
        if len(self._waiters) >= self._places.waiting:
            raise self._full("Too many requests wait for {name} already.")
        patience = self._places.wait_s if deadline is None else min(self._places.wait_s, deadline - now)
        return patience > 0 and await self._called(patience)

    async def _called(self, patience: float) -> bool:
        """Wait for one's turn; False when it did not come in time. The place is taken for us by whoever leaves."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(patience, self._give_up, turn)
        self._waiters.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                # Cancelled in the very moment of being called: the place goes on to the next.
                self._leave()
            else:
                self._forget(turn)
            raise
        finally:
            timer.cancel()

    def _leave(self) -> None:
        self.active -= 1
        while self._waiters and self.active < self._places.active:
            turn = self._waiters.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(True)

    def _give_up(self, turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            self._forget(turn)
            turn.set_result(False)

    def _forget(self, turn: asyncio.Future[bool]) -> None:
        if turn in self._waiters:
            self._waiters.remove(turn)

    def _full(self, sentence: str) -> QueueFull:
        expected = self._usual_s * (len(self._waiters) + 1) / self._places.active
        retry_after_s = float(round(min(max(expected, 1.0), _MAX_RETRY_AFTER_S)))
        text = f"{sentence.format(name=self._name)} Try again in {retry_after_s:.0f} s."
        return QueueFull(text, provider=self._name, retry_after_s=retry_after_s)
