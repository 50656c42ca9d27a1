"""Target: whatever can answer. A model, the devtools, the crews, and every wrapper around one of them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Protocol

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


class Passed(msgspec.Struct, frozen=True):
    """Pieces of the answer's text as the upstream put them, whole frames of its own protocol, for an ear that takes them (`Ear.raw`).

    Attributes:
        read: finds the text in the frames, which nobody has to wait for.
    """

    raw: bytes
    read: Callable[[bytes], str]


class Data(msgspec.Struct, frozen=True):
    """Structured results, merged into the reply's `data`."""

    values: Mapping[str, object]


class Step(msgspec.Struct, frozen=True):
    """What happens on the way to an answer, for whoever watches: no part of it, and told to nobody who is shown the answer as a whole.

    Attributes:
        told: a JSON object; its key `kind` says of what it tells.
    """

    told: Mapping[str, object]


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
        raw: of a streamed answer the upstream's own bytes of its ending, as in other events; of an answer in one piece the
            whole of it, as the upstream sent it.
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


Event = Delta | Thought | ToolCall | Other | Passed | Data | Step | Used | Waited | Tried | End | Failure
# What shows that the answer has begun: nobody else's may take its place once somebody has seen a piece of it.
CONTENT = (Delta, Thought, ToolCall, Other, Passed, Data, Step)


class Target(Protocol):
    """One protocol for everything that answers; streaming is its base form."""

    def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """Answer the message as a stream of events.

        The stream either ends with `End` or `Failure`, or raises a `DagiError` before any content event: an error that is raised
        left nothing behind, so another target may still answer; one that is yielded came too late for that. `Waited` and `Tried`
        may come at any time. Closing the generator stops the work at once.
        """
        ...


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


class Progress:
    """How far an answer has come, told and asked by all who have a part in it.

    Attributes:
        seen: somebody has been shown a piece of it, so none may begin anew.
        ended: its `End` has been heard.
        raw: whoever hears takes `Passed` from now on, instead of the pieces that a provider would have to decode.
        framed: it may do so once the answer has begun.
        full: whoever hears would rather hear nothing for now; see `Ear.room`. What is said all the same is heard.
        waited_ms: time spent in queues.
    """

    __slots__ = ("ended", "framed", "full", "raw", "seen", "waited_ms")

    def __init__(self) -> None:
        self.seen = self.ended = self.raw = self.framed = self.full = False
        self.waited_ms = 0.0


class Ear(Protocol):
    """Hears an answer while it is made, each event at once."""

    progress: Progress

    def hear(self, event: Event) -> None:
        """Take one event; with `End` the answer has ended (`progress`)."""
        ...

    def forget(self) -> None:
        """An attempt has failed unseen, and another one begins: its content was none."""
        ...

    async def room(self) -> None:
        """Wait until it would hear more."""
        ...


class Telling(Protocol):
    """What a target may offer as well: to tell its answer instead of being asked for each piece. Much cheaper."""

    def tell(self, message: Message, grant: Grant, ear: Ear) -> Awaitable[None]:
        """The same answer as `open` gives: content, then `End`; `Waited` and `Tried` at any time.

        Whether it comes in pieces is the target's choice where the message is not `streamed`.

        Raises:
            DagiError: there is no complete answer, whatever has been heard of it; another target may still answer, unless somebody has
                seen a piece of this one.
        """
        ...


class Chain(Target, Telling, Protocol):
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
