"""The breaker: a provider that fails again and again is left alone for a while."""

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

import msgspec

from dagi.errors import DagiError, ProviderError, ProviderUnavailable, TargetFailure
from dagi.message import Grant, Message
from dagi.ports.clock import Clock
from dagi.ports.hearing import Overheard, tell_of
from dagi.ports.observer import Observer
from dagi.ports.target import CONTENT, Ear, End, Event, Failure, Target

BreakerState = Literal["closed", "open", "half_open"]


class Fuse(msgspec.Struct, frozen=True, kw_only=True):
    """After how many failures in a row the breaker opens, and for how many seconds."""

    failures: int = 5
    open_s: float = 10.0


class Breaker:
    """A target that stops asking the one inside while it is broken.

    It opens after several unhealthy failures in a row, and at once when the server cannot be reached at all
    (`error.facts["unreachable"]`). Afterwards one request at a time tries whether it is back. Full queues and callers' mistakes
    never count. What was asked before the state changed has no say about it.
    """

    def __init__(self, name: str, inner: Target, fuse: Fuse, clock: Clock, observer: Observer) -> None:
        self._name = name
        self._inner = inner
        self._tell = tell_of(inner)
        self._fuse = fuse
        self._clock = clock
        self._observer = observer
        self._failures = 0
        self._open_until: float | None = None
        self._trying = False
        self._era = 0
        self._reason = ""

    @property
    def state(self) -> BreakerState:
        """Whether requests pass (`closed`), are refused (`open`), or one at a time tries (`half_open`)."""
        if self._open_until is None:
            return "closed"
        return "open" if self._clock.monotonic() < self._open_until else "half_open"

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`.

        Raises:
            ProviderUnavailable: the breaker is open.
        """
        trial = self._admit()
        era = self._era
        try:
            async with aclosing(self._inner.open(message, grant)) as events:
                async for event in events:
                    match event:
                        case End():
                            self._worked(era)
                        case Failure(error):
                            self._failed(error, era)
                        case _ if trial and isinstance(event, CONTENT):
                            # It answers again; the others need not wait for the end of a long answer.
                            trial = False
                            self._worked(era)
                            era = self._era
                        case _:
                            pass
                    yield event
        except TargetFailure as error:
            self._refused(error, era, trial=trial)
            raise
        finally:
            if trial and era == self._era:
                self._trying = False

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`. Raises ProviderUnavailable like `open`."""
        trial, era = self._admit(), self._era

        def listen(event: Event) -> None:
            nonlocal trial, era
            if trial and isinstance(event, CONTENT):
                # It answers again; the others need not wait for the end of a long answer.
                trial = False
                self._worked(era)
                era = self._era

        try:
            await self._tell(message, grant, Overheard(ear, listen) if trial else ear)
            self._worked(era)
        except TargetFailure as error:
            self._refused(error, era, trial=trial)
            raise
        finally:
            if trial and era == self._era:
                self._trying = False

    def _refused(self, error: TargetFailure, era: int, *, trial: bool) -> None:
        if trial and isinstance(error, ProviderError) and not error.unhealthy:
            # A refusal of this one request is an answer too.
            self._worked(era)
        else:
            self._failed(error, era)

    def _admit(self) -> bool:
        """Whether this request is the trial.

        Raises:
            ProviderUnavailable: it may not pass.
        """
        if self._open_until is None:
            return False
        left = self._open_until - self._clock.monotonic()
        if left <= 0 and not self._trying:
            self._trying = True
            return True
        retry_after_s = float(max(1, math.ceil(left)))
        sentence = f"{self._name} is left alone for {retry_after_s:.0f} s, because {self._reason}"
        raise ProviderUnavailable(sentence, provider=self._name, retry_after_s=retry_after_s)

    def _worked(self, era: int) -> None:
        if era != self._era:
            return
        self._failures = 0
        if self._open_until is not None:
            self._open_until = None
            self._trying = False
            self._era += 1
            self._observer.note("breaker_closed", provider=self._name)

    def _failed(self, error: DagiError, era: int) -> None:
        if era != self._era or not isinstance(error, TargetFailure) or not error.unhealthy:
            return
        self._failures += 1
        unreachable = error.facts.get("unreachable") is True
        if self._open_until is None and not unreachable and self._failures < self._fuse.failures:
            return
        self._open_until = self._clock.monotonic() + self._fuse.open_s
        self._trying = False
        self._era += 1
        self._reason = error.message if unreachable else f"it failed {self._failures} times in a row. Last: {error.message}"
        self._observer.note("breaker_opened", provider=self._name, failures=self._failures, code=error.code, open_s=self._fuse.open_s)
