"""The queue in front of a provider: so many at once, so many waiting, a fair turn for everyone, and an early word when it is too much.

A short crowd waits: that is what the queue is for. Where the line has not been empty for a while, waiting longer does not get more
answered, it only makes every answer late. Then nobody waits longer than half a usual answer takes, and whoever cannot be served by
then is refused at once (the idea is that of controlled delay, CoDel, RFC 8289, as Facebook's folly applies it to servers).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from math import ceil

import msgspec

from dagi.errors import QueueFull
from dagi.message import Grant, Message
from dagi.ports.clock import Clock
from dagi.ports.hearing import hear, tell_of
from dagi.ports.target import Ear, End, Event, Target, Waited
from dagi.targets.resilience.line import FairLine

_MAX_RETRY_AFTER_S = 60.0
# A line that has stood for as long as so many usual answers take is no crowd any more but too much.
_CROWD = 5.0
# How long anybody waits then, in usual answers: a little under half of one, for what comes on top of the wait.
_SHORT = 0.4
_LEARNING = 0.1
# Answers that come at once make neither a crowd of a moment's coincidence nor patience shorter than the machine's own delays.
_CROWD_LEAST_S = 0.25
_SHORT_LEAST_S = 0.005


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests at once, how many waiting, and how long in seconds.

    Attributes:
        weights: by role, how much a person counts beside others of the same DAO; 1 where a role is not named.
    """

    active: int = 3
    waiting: int = 100
    wait_s: float = 10.0
    weights: Mapping[str, float] = {}


class _Turn(msgspec.Struct, eq=False):
    """One who waits. `called` gives True when it may begin, False when the wait was in vain."""

    dao: str
    person: str
    since: float
    patience: float
    called: asyncio.Future[bool]
    timer: asyncio.TimerHandle | None = None


class Queue:
    """A target that asks the one inside for a few messages at a time.

    Attributes:
        active: how many are being answered now.
        overloaded: whether the line has stood for so long that nobody waits for long any more.
    """

    def __init__(self, name: str, inner: Target, places: Places, clock: Clock) -> None:
        self.active = 0
        self.overloaded = False
        self._name = name
        self._inner = inner
        self._tell = tell_of(inner)
        self._places = places
        self._clock = clock
        self._line: FairLine[_Turn] = FairLine()
        self._standing_since = 0.0
        self._waited_last = 0.0
        # How long an answer takes; unknown before the first one.
        self._usual_s: float | None = None

    @property
    def waiting(self) -> int:
        """How many wait for a place now."""
        return len(self._line)

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`.

        Raises:
            QueueFull: no place to wait is left, or the wait took too long.
        """
        came = self._clock.monotonic()
        waited = await self._enter(came, message, grant)
        began = self._clock.monotonic()
        if waited is False:
            yield Waited((began - came) * 1000)
            raise self._full("A request waited too long for {name}.")
        try:
            if waited:
                yield Waited((began - came) * 1000)
            async with aclosing(self._inner.open(message, grant)) as events:
                async for event in events:
                    if isinstance(event, End):
                        self._learn(began)
                    yield event
        finally:
            self._leave()

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`. Raises QueueFull like `open`."""
        began = came = self._clock.monotonic()
        waited = await self._enter(came, message, grant)
        if waited is False:
            hear(ear, Waited((self._clock.monotonic() - came) * 1000))
            raise self._full("A request waited too long for {name}.")
        try:
            if waited:
                began = self._clock.monotonic()
                hear(ear, Waited((began - came) * 1000))
            await self._tell(message, grant, ear)
            self._learn(began)
        finally:
            self._leave()

    async def _enter(self, now: float, message: Message, grant: Grant) -> bool | None:
        """Take a place: None at once, True after a wait, False where the wait was in vain."""
        if self.active < self._places.active and not self._line:
            self.active += 1
            if self.overloaded and now - self._waited_last >= self._crowd_s():
                self.overloaded = False
            return None
        self._waited_last = now
        self._look(now)
        sender, deadline = message.sender, message.limits.deadline
        patience = self._patience()
        if deadline is not None:
            patience = min(patience, deadline - now)
            if self._expected_s(sender.dao_id, sender.user_id) >= patience:
                raise self._full("A request could not have been answered by {name} before its deadline.")
        if patience <= 0:
            return False
        self._make_room(sender.dao_id, sender.user_id)
        turn = _Turn(sender.dao_id, sender.user_id, now, patience, asyncio.get_running_loop().create_future())
        if not self._line:
            self._standing_since = now
        weight = max((self._places.weights.get(role, 1.0) for role in grant.roles), default=1.0)
        self._line.join(turn.dao, turn.person, turn, weight)
        return await self._called(turn)

    async def _called(self, turn: _Turn) -> bool:
        """Wait for one's turn; False when it did not come in time. The place is taken for us by whoever leaves."""
        self._wind(turn, turn.patience)
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
            if turn.timer is not None:
                turn.timer.cancel()

    def _make_room(self, dao: str, person: str) -> None:
        """Find a place to wait: where none is left, whoever has had most gives one up for whoever has had less.

        Raises:
            QueueFull: nobody who waits has had more than the one who came.
        """
        if len(self._line) < self._room():
            return
        last = self._line.least_entitled(dao, person)
        if last is None:
            raise self._full("Too many requests wait for {name} already.")
        self._give_up(last)

    def _room(self) -> int:
        """How many may wait: as many as can begin while anybody has patience."""
        if not self.overloaded:
            return self._places.waiting
        return min(self._places.waiting, max(1, ceil(self._places.active * _SHORT)))

    def _patience(self) -> float:
        if not self.overloaded or self._usual_s is None:
            return self._places.wait_s
        return min(self._places.wait_s, max(self._usual_s * _SHORT, _SHORT_LEAST_S))

    def _expected_s(self, dao: str, person: str) -> float:
        """How long the next one of that person will wait, at least: until those before it of its own are served."""
        if self._usual_s is None:
            return 0.0
        return self._usual_s * self._line.waiting(dao, person) / self._places.active

    def _crowd_s(self) -> float:
        """How long a line may stand, or must be gone, until that means something."""
        return min(self._places.wait_s, max(_CROWD * (self._usual_s or 0.0), _CROWD_LEAST_S))

    def _look(self, now: float) -> None:
        """Whether it has become too much."""
        if self.overloaded or not self._line or self._usual_s is None:
            return
        if now - self._standing_since < self._crowd_s():
            return
        self.overloaded = True
        # Those who wait already wait no longer either; the longest come first, so that what is left is what can be served.
        patience = self._patience()
        for turn in sorted(self._line, key=lambda turn: turn.since):
            left = turn.since + min(patience, turn.patience) - now
            if left <= 0:
                self._give_up(turn)
            else:
                self._wind(turn, left)

    def _wind(self, turn: _Turn, seconds: float) -> None:
        if turn.timer is not None:
            turn.timer.cancel()
        turn.timer = asyncio.get_running_loop().call_later(seconds, self._give_up, turn)

    def _learn(self, began: float) -> None:
        """How long an answer takes; failures, which may come at once, say nothing about that."""
        took = self._clock.monotonic() - began
        self._usual_s = took if self._usual_s is None else self._usual_s + _LEARNING * (took - self._usual_s)

    def _leave(self) -> None:
        self.active -= 1
        if not self._line:
            return
        self._look(self._clock.monotonic())
        while self.active < self._places.active and (turn := self._line.call()) is not None:
            if not turn.called.done():
                self.active += 1
                turn.called.set_result(True)

    def _give_up(self, turn: _Turn) -> None:
        if not turn.called.done():
            self._line.leave(turn.dao, turn.person, turn)
            turn.called.set_result(False)

    def _full(self, sentence: str) -> QueueFull:
        expected = (self._usual_s or 1.0) * (len(self._line) + 1) / self._places.active
        retry_after_s = float(round(min(max(expected, 1.0), _MAX_RETRY_AFTER_S)))
        text = f"{sentence.format(name=self._name)} Try again in {retry_after_s:.0f} s."
        return QueueFull(text, provider=self._name, retry_after_s=retry_after_s)
