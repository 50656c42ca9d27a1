"""Retry: the same target once more, where that may help and there is time."""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from dagi.errors import DagiError, ProviderError, TargetFailure
from dagi.message import Attempt, Grant, Limits, Message
from dagi.ports.clock import Clock
from dagi.ports.hearing import tell_of
from dagi.ports.target import CONTENT, Ear, End, Event, Failure, Target, Tried, Waited
from dagi.targets.resilience.holding import opened


class Tries(msgspec.Struct, frozen=True, kw_only=True):
    """How often to ask in all, and the seconds before the second time (twice as long before each further one).

    Attributes:
        total_s: the target's time for all attempts together, where the message brings none; None is for ever.
    """

    attempts: int = 2
    delay_s: float = 1.0
    total_s: float | None = None


class Retry:
    """A target that asks the one inside again after a failure, never after a piece of the answer has been passed on.

    Args:
        chance: gives numbers from 0 to 1, so that many callers do not come back in the same moment.
    """

    def __init__(self, name: str, inner: Target, tries: Tries, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._name = name
        self._inner = inner
        self._tell = tell_of(inner)
        self._tries = tries
        self._clock = clock
        self._chance = chance

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`. Every attempt is told by a `Tried`, the last one before `End` or `Failure`."""
        limits = message.limits
        total = limits.timeout_s if limits.timeout_s is not None else self._tries.total_s
        spent_s = 0.0
        number = 0
        while True:
            number += 1
            run = _Run(self._name, self._clock)
            left = None if total is None else total - spent_s
            async with aclosing(run.of(self._inner, self._within(message, left), grant)) as events:
                async for event in events:
                    yield event
            if run.error is None:
                return
            spent_s += run.asked_ms / 1000
            delay = self._delay(run.error, number, limits, None if total is None else total - spent_s)
            if delay is None:
                raise run.error
            await self._clock.sleep(delay)
            spent_s += delay

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`. Every attempt is told by a `Tried`."""
        total = message.limits.timeout_s if message.limits.timeout_s is not None else self._tries.total_s
        spent_s = 0.0
        number = 0
        progress = ear.progress
        while True:
            number += 1
            run = _Run(self._name, self._clock, progress.waited_ms)
            left = None if total is None else total - spent_s
            try:
                # The first attempt has the whole time anyway, whoever counts it.
                await self._tell(message if number == 1 else self._within(message, left), grant, ear)
                if not progress.ended:
                    raise ProviderError(f"{self._name} stopped without ending its answer.", provider=self._name)
            except DagiError as error:
                ear.hear(run.tried(error, progress.waited_ms))
                if progress.seen:
                    raise
                spent_s += run.asked_ms / 1000
                delay = self._delay(error, number, message.limits, None if total is None else total - spent_s)
                if delay is None:
                    raise
            else:
                ear.hear(run.tried(None, progress.waited_ms))
                return
            ear.forget()
            await self._clock.sleep(delay)
            spent_s += delay

    def _within(self, message: Message, left: float | None) -> Message:
        if left is None or left == message.limits.timeout_s:
            return message
        return msgspec.structs.replace(message, limits=msgspec.structs.replace(message.limits, timeout_s=left))

    def _delay(self, error: DagiError, number: int, limits: Limits, left: float | None) -> float | None:
        """Seconds until the next attempt, or None where there is to be none."""
        if number >= self._tries.attempts or not isinstance(error, TargetFailure) or not error.retryable:
            return None
        if error.facts.get("unreachable") is True:
            # Nobody is there; a second later nobody will be, and another provider could answer meanwhile.
            return None
        delay = self._tries.delay_s * 2 ** (number - 1) * (0.5 + 0.5 * self._chance())
        if error.retry_after_s is not None:
            delay = max(delay, error.retry_after_s)
        room = left
        if limits.deadline is not None:
            until_deadline = limits.deadline - self._clock.monotonic()
            room = until_deadline if room is None else min(room, until_deadline)
        return delay if room is None or delay < room else None


class _Run:
    """One attempt.

    Args:
        waited_ms: the waiting before it, where somebody else counts.

    Attributes:
        error: why it failed with nothing passed on; None when it ended, well or badly.
        asked_ms: its time without the queue.
    """

    def __init__(self, name: str, clock: Clock, waited_ms: float = 0.0) -> None:
        self.error: DagiError | None = None
        self.asked_ms = 0.0
        self._name = name
        self._clock = clock
        self._began = clock.monotonic()
        self._waited_ms = waited_ms
        self._begun = False

    async def of(self, target: Target, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """The attempt's events, and what became of it."""
        error: DagiError
        try:
            async with aclosing(opened(target, message, grant)) as events:
                async for event in events:
                    match event:
                        case End():
                            yield self.tried(None)
                            yield event
                            return
                        case Failure(failure):
                            yield self.tried(failure)
                            yield event
                            return
                        case Waited(ms):
                            self._waited_ms += ms
                        case _ if not self._begun and isinstance(event, CONTENT):
                            self._begun = True
                        case _:
                            pass
                    yield event
            error = ProviderError(f"{self._name} stopped without ending its answer.", provider=self._name)
        except DagiError as failure:
            error = failure
        yield self.tried(error)
        if self._begun:
            # It should have been a Failure event; nothing may be tried again now.
            yield Failure(error)
        else:
            self.error = error

    def tried(self, error: DagiError | None, waited_ms: float | None = None) -> Tried:
        """The account of the attempt, now that it is over.

        Args:
            waited_ms: all the waiting until now, where somebody else has counted it.
        """
        waited = self._waited_ms if waited_ms is None else waited_ms - self._waited_ms
        self.asked_ms = max(0.0, (self._clock.monotonic() - self._began) * 1000 - waited)
        outcome = "ok" if error is None else error.code
        detail = "" if error is None else error.detail if isinstance(error, TargetFailure) else error.message
        return Tried(Attempt(provider=self._name, outcome=outcome, ms=round(self.asked_ms, 3), detail=detail))
