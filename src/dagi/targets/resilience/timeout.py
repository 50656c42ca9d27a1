"""Timeouts: how long a target may take in all, until its first piece, and between pieces."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from dagi.errors import ProviderTimeout
from dagi.message import Grant, Message
from dagi.ports.clock import Clock
from dagi.ports.hearing import Overheard, tell_of
from dagi.ports.target import CONTENT, Ear, Event, Failure, Target
from dagi.targets.resilience.alarm import Alarm, Alarms, Wait


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds; None is for ever.

    Attributes:
        total_s: the whole answer; a message's own `limits.timeout_s` goes before it.
        first_s: until the first piece of content.
        idle_s: between two events after that.
    """

    total_s: float | None = None
    first_s: float | None = None
    idle_s: float | None = None


class Timeout:
    """A target that gives up on the one inside when it takes too long; the message's deadline caps everything."""

    def __init__(self, name: str, inner: Target, patience: Patience, clock: Clock) -> None:
        self._name = name
        self._inner = inner
        self._tell = tell_of(inner)
        self._alarms = Alarms()
        self._patience = patience
        self._clock = clock

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`.

        Raises:
            ProviderTimeout: nothing of the answer had come yet when the time was up.
        """
        end, sentence = self._end(message)
        limit, why = self._patience.first_s, f"{self._name} did not begin to answer within {self._patience.first_s or 0:g} s."
        begun = False
        alarm = Alarm()
        try:
            async with aclosing(self._inner.open(message, grant)) as events:
                while True:
                    left = end - self._clock.monotonic()
                    total_ends_first = limit is None or left < limit
                    wait = left if limit is None else min(left, limit)
                    try:
                        if wait <= 0:
                            raise TimeoutError
                        event = await (anext(events) if wait == _FOR_EVER else alarm.within(wait, anext(events)))
                    except TimeoutError:
                        break
                    except StopAsyncIteration:
                        return
                    if not begun and isinstance(event, CONTENT):
                        begun = True
                        limit, why = self._patience.idle_s, f"{self._name} fell silent for {self._patience.idle_s or 0:g} s."
                    yield event
        finally:
            alarm.close()
        error = ProviderTimeout(sentence if total_ends_first else why, provider=self._name)
        if not begun:
            raise error
        yield Failure(error)

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`. Raises ProviderTimeout like `open`."""
        patience = self._patience
        end, sentence = self._end(message)
        watched = patience.first_s is not None or patience.idle_s is not None
        if watched and (message.streamed or not message.entire):
            await self._tell_watched(message, grant, ear, end, sentence)
        elif end == _FOR_EVER:
            await self._tell(message, grant, ear)
        else:
            due = asyncio.get_running_loop().time() + end - self._clock.monotonic()
            await self._until(Wait(due, sentence), message, grant, _Taking(ear, sentence))

    async def _tell_watched(self, message: Message, grant: Grant, ear: Ear, end: float, sentence: str) -> None:
        """Silence can only be told from work by looking at the pieces."""
        patience, loop = self._patience, asyncio.get_running_loop()
        last = loop.time() + end - self._clock.monotonic()
        wait = Wait(last, sentence)

        def limit(seconds: float | None, why: str) -> None:
            due = last if seconds is None else loop.time() + seconds
            wait.why = why if due < last else sentence
            self._alarms.put(wait, min(due, last))

        def go_on() -> None:
            limit(patience.idle_s, f"{self._name} fell silent for {patience.idle_s or 0:g} s.")

        def listen(event: Event) -> None:
            if isinstance(event, CONTENT):
                go_on()

        limit(patience.first_s, f"{self._name} did not begin to answer within {patience.first_s or 0:g} s.")
        asked = message if message.streamed else msgspec.structs.replace(message, streamed=True)
        await self._until(wait, asked, grant, _Taking(Overheard(ear, listen), sentence, lambda: limit(None, sentence), go_on))

    async def _until(self, wait: Wait, message: Message, grant: Grant, ear: "_Taking") -> None:
        try:
            if wait.due <= asyncio.get_running_loop().time():
                raise TimeoutError
            await self._alarms.within(wait, self._tell(message, grant, ear))
        except TimeoutError:
            slow = ear.slow and wait.why == ear.total
            error = ProviderTimeout(f"{wait.why} Its caller took it slowly." if slow else wait.why, provider=self._name)
            error.unhealthy = not slow
            raise error from None

    def _end(self, message: Message) -> tuple[float, str]:
        """When it must be over on the monotonic clock, and what to say then."""
        total = message.limits.timeout_s if message.limits.timeout_s is not None else self._patience.total_s
        deadline = message.limits.deadline
        now = self._clock.monotonic()
        if total is not None and (deadline is None or now + total <= deadline):
            return now + total, f"{self._name} did not finish its answer within {total:.3g} s."
        if deadline is not None:
            return deadline, f"{self._name} did not finish its answer before the request's deadline."
        return now + _FOR_EVER, ""


class _Taking:
    """An ear, and whether it was waited for: a target whose caller takes little of its answer is not to blame for the time.

    Args:
        total: what is said when the whole time is up.
        pause, go_on: called when it is waited for, and afterwards.
    """

    def __init__(self, ear: Ear, total: str, pause: Callable[[], None] | None = None, go_on: Callable[[], None] | None = None) -> None:
        self.progress = ear.progress
        self.hear = ear.hear
        self.forget = ear.forget
        self.total = total
        self.slow = False
        self._room = ear.room
        self._pause = pause
        self._go_on = go_on

    async def room(self) -> None:
        """See `Ear`."""
        self.slow = self.slow or self.progress.full
        if self._pause is not None:
            self._pause()
        await self._room()
        if self._go_on is not None:
            self._go_on()


_FOR_EVER = float("inf")
