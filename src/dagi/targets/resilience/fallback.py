"""Fallback: the next target when one does not answer."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from dagi.errors import (
    CannotDo,
    ContextTooLong,
    DagiError,
    NotConfigured,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    QueueFull,
    TargetFailure,
)
from dagi.message import Grant, Message
from dagi.ports.clock import Clock
from dagi.ports.hearing import tell_of
from dagi.ports.target import CONTENT, Ear, Event, Failure, Target
from dagi.targets.resilience.holding import opened

# Which failure tells most, where all have failed: what a provider said before what was said in its place. Who could not have answered
# anyway tells least: asking again may help with the others.
_TELLING: tuple[type[TargetFailure], ...] = (NotConfigured, CannotDo, ProviderUnavailable, QueueFull, ProviderTimeout, ProviderError)


class Fallback:
    """A target that asks several in order until one answers.

    Args:
        targets: names and targets, the first to be asked first; at least one.
    """

    def __init__(self, targets: Sequence[tuple[str, Target]], clock: Clock) -> None:
        if not targets:
            raise ValueError("a fallback needs a target")
        self._targets = tuple(targets)
        self._tell = tuple((name, tell_of(target)) for name, target in targets)
        self._clock = clock

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`. A target of whose answer the caller has seen a piece is the last one; after the deadline
        none is begun.

        Raises:
            TargetFailure: none answered: the most telling failure, its message naming how each one failed.
            ContextTooLong: the same, where that failure is a conversation that does not fit.
        """
        failures: list[TargetFailure] = []
        for name, target in self._targets:
            if self._too_late(name, message, failures):
                break
            begun = False
            try:
                async with aclosing(opened(target, message, grant)) as events:
                    async for event in events:
                        begun = begun or isinstance(event, CONTENT)
                        yield event
            except TargetFailure as error:
                failure = error
            else:
                return
            if begun:
                # It should have been a Failure event; it is too late for another target.
                yield Failure(failure)
                return
            failures.append(failure)
        raise _final(failures, message)

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`. Raises the errors of `open`."""
        failures: list[TargetFailure] = []
        for name, tell in self._tell:
            if self._too_late(name, message, failures):
                break
            try:
                await tell(message, grant, ear)
            except TargetFailure as error:
                if ear.progress.seen:
                    raise
                ear.forget()
                failures.append(error)
            else:
                return
        raise _final(failures, message)

    def _too_late(self, name: str, message: Message, failures: list[TargetFailure]) -> bool:
        deadline = message.limits.deadline
        if deadline is None or self._clock.monotonic() < deadline:
            return False
        if not failures:
            raise ProviderTimeout(f"{name} was not asked, for the request's deadline has passed.", provider=name)
        return True


def _final(failures: list[TargetFailure], message: Message) -> DagiError:
    failure = _telling(failures)
    return _too_long(failure, message) if failure.facts.get("context_too_long") is True else failure


def _telling(failures: list[TargetFailure]) -> TargetFailure:
    real = [error for error in failures if not isinstance(error, NotConfigured)] or failures
    if len(real) == 1:
        return real[0]
    # With equal weight the last one counts, so the reverse order and the first of the greatest.
    chosen = max(reversed(real), key=_weight)
    chosen.facts["failures"] = [{"provider": error.provider, "code": error.code, "message": error.message} for error in real]
    chosen.message = "No provider answered. " + " ".join(error.message for error in real)
    chosen.args = (chosen.message,)
    return chosen


def _too_long(error: TargetFailure, message: Message) -> ContextTooLong:
    failures = {"failures": error.facts["failures"]} if "failures" in error.facts else {}
    field = "messages" if message.earlier or message.conversation else "prompt"
    return ContextTooLong(error.message, field=field, provider=error.provider, **failures)


def _weight(error: TargetFailure) -> int:
    # A timeout and an error tell the same, so the later of the two counts.
    return min(max((place for place, kind in enumerate(_TELLING) if isinstance(error, kind)), default=0), 4)
