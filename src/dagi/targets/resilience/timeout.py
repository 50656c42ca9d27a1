"""Timeouts: how long a target may take in all, until its first piece, and between pieces."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from dagi.errors import ProviderTimeout
from dagi.message import Grant, Message
from dagi.ports.clock import Clock
from dagi.ports.target import CONTENT, Event, Failure, Note, Target, collected, whole_of
from dagi.targets.resilience.alarm import Alarm


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
        self._whole = whole_of(inner)
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

    async def whole(self, message: Message, grant: Grant, note: Note) -> list[Event]:
        """See `dagi.ports.target.Whole.whole`. Raises ProviderTimeout like `open`."""
        if (self._patience.first_s is not None or self._patience.idle_s is not None) and not message.entire:
            # Silence can only be told from work by looking at the pieces.
            return await collected(self, message, grant, note)
        end, sentence = self._end(message)
        if end == _FOR_EVER:
            return await self._whole(message, grant, note)
        left = end - self._clock.monotonic()
        alarm = Alarm()
        try:
            if left <= 0:
                raise TimeoutError
            return await alarm.within(left, self._whole(message, grant, note))
        except TimeoutError:
            raise ProviderTimeout(sentence, provider=self._name) from None
        finally:
            alarm.close()

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


_FOR_EVER = float("inf")
