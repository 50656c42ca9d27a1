"""Target: whatever can answer. A model, the devtools, the crews, and every wrapper around one of them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Protocol, runtime_checkable

import msgspec

from dagi.errors import DagiError
from dagi.message import Attempt, Grant, Message, Usage


class Delta(msgspec.Struct, frozen=True):
    """A piece of the answer's text. `raw` is the upstream's own bytes for it, where nothing had to change."""

    text: str
    raw: bytes | None = None


class Thought(msgspec.Struct, frozen=True):
    """A piece of a reasoning model's thinking, which is not part of the answer."""

    text: str
    raw: bytes | None = None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a tool call: id and name come with the first piece of an index, arguments in any number of pieces."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    raw: bytes | None = None


class Other(msgspec.Struct, frozen=True):
    """A piece of the answer that only the upstream's own bytes hold: another choice than the first, audio, a form that nobody here knows.
    Callers who speak the same protocol are shown it, all others see nothing of it.
    """

    raw: bytes


class Data(msgspec.Struct, frozen=True):
    """Structured results, merged into the reply's `data`."""

    values: Mapping[str, object]


class Used(msgspec.Struct, frozen=True):
    """What the answer cost."""

    usage: Usage
    raw: bytes | None = None


class Waited(msgspec.Struct, frozen=True):
    """Time spent in a provider's queue."""

    ms: float


class Tried(msgspec.Struct, frozen=True):
    """One attempt is over, well or badly."""

    attempt: Attempt


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is complete.

    Attributes:
        raw: of a streamed answer the upstream's own bytes of its ending, as in other events; of an answer in one piece (`Whole.whole`)
            the whole of it, as the upstream sent it.
        cached: it was made for an equal question, so nothing was spent on this one.
    """

    provider: str
    model: str
    finish_reason: str = "stop"
    raw: bytes | None = None
    cached: bool = False


class Failure(msgspec.Struct, frozen=True):
    """The answer broke off after its first piece had been passed on; nothing follows."""

    error: DagiError


Event = Delta | Thought | ToolCall | Other | Data | Used | Waited | Tried | End | Failure
CONTENT = (Delta, Thought, ToolCall, Other, Data)


class Target(Protocol):
    """One protocol for everything that answers; streaming is its base form."""

    def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """Answer the message as a stream of events.

        The stream either ends with `End` or `Failure`, or raises a `DagiError` before any content event: an error that is raised
        left nothing behind, so another target may still answer; one that is yielded came too late for that. `Waited` and `Tried`
        may come at any time. Closing the generator stops the work at once.
        """
        ...


# Told what happens beside the answer itself: waits and attempts.
Note = Callable[[Waited | Tried], None]


@runtime_checkable
class Whole(Protocol):
    """What a target may offer as well: the answer in one piece, for callers who see nothing before its end. Much cheaper."""

    def whole(self, message: Message, grant: Grant, note: Note) -> Awaitable[list[Event]]:
        """The same answer as `open` gives: content, then `End`.

        Args:
            note: told of every `Waited` and `Tried` at once, also where no answer comes of it.

        Raises:
            DagiError: there is no complete answer, however much of it had come; another target may still answer.
        """
        ...


def whole_of(target: Target) -> Callable[[Message, Grant, Note], Awaitable[list[Event]]]:
    """How to get a target's answer in one piece."""
    return target.whole if isinstance(target, Whole) else partial(collected, target)


async def collected(target: Target, message: Message, grant: Grant, note: Note) -> list[Event]:
    """An answer in one piece from a target that only streams; see `Whole.whole`. A stream that just stops has no `End`."""
    events: list[Event] = []
    async with aclosing(target.open(message, grant)) as answer:
        async for event in answer:
            match event:
                case Waited() | Tried():
                    note(event)
                case Failure(error):
                    raise error
                case _:
                    events.append(event)
                    if isinstance(event, End):
                        break
    return events


class TargetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A configured target, as operators see it. Times are milliseconds; None is without a limit.

    Attributes:
        state: its breaker's `closed`, `open`, `half_open`; or `not_configured`.
        writes: it finds words of its own, where others only quote.
    """

    name: str
    state: str
    timeout_ms: float | None = None
    first_token_timeout_ms: float | None = None
    idle_timeout_ms: float | None = None
    attempts: int = 1
    max_concurrent: int | None = None
    max_queue: int | None = None
    queue_timeout_ms: float | None = None
    writes: bool = True


class Chain(Target, Whole, Protocol):
    """What the router asks: a target that answers in either way."""


class Targets(Protocol):
    """The configured targets by name."""

    def chain(self, names: tuple[str, ...]) -> Chain:
        """One target that asks the named ones in order until one answers.

        Raises:
            UnknownModel: a name is not configured.
        """
        ...

    def describe(self, names: tuple[str, ...]) -> tuple["TargetInfo", ...]:
        """What there is to know of the named ones.

        Raises:
            UnknownModel: a name is not configured.
        """
        ...

    def selectable(self) -> frozenset[str]:
        """Names a caller may choose for itself."""
        ...
