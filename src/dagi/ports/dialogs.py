"""Dialogs: every exchange, durably recorded, and a session's history."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from dagi.access.limits import Allowance
from dagi.errors import DagiError, TargetFailure
from dagi.message import Attempt, Grant, Message, Reply, Turn, Usage
from dagi.ports.limits import Charge
from dagi.ports.target import Data, Delta, End, Event, Failure, Other, Passed, Thought, ToolCall, Tried, Used, Waited

# Told from a usage of nothing by its identity.
UNCOUNTED = Usage()


class Exchange:
    """One question with its answer: the account of a request, written while it runs and recorded when it is over.

    Attributes:
        message: what was asked. `grant` and `rule` stay None when the request ended before they were known.
        allowance: the limits in force; None when the request ended before they were asked for.
        charge: what it used; None when it was not admitted.
        chain: the targets that were to be asked, in order.
        usage: `UNCOUNTED` until a provider has said how much it was.
        outcome: `ok`, `cancelled` (the caller went away), or the code of the error.
        timings_ms: `access`, `queue`, `provider`, `total`.
        cached: the answer was made for an equal question; its usage is none.
        thoughts: what a reasoning model thought, which is not part of the answer.
        calls: the tools it wants called, by their index, each put together from its pieces.
        others: pieces that only the caller can read, such as those of further choices.
        raw: see `dagi.ports.target.End`.
    """

    def __init__(self, message: Message, *, at: datetime, started: float) -> None:
        self.message = message
        self.at = at
        self.started = started
        self.grant: Grant | None = None
        self.rule = ""
        self.provider = ""
        self.model = ""
        self.finish_reason = ""
        self.cached = False
        self.outcome = "cancelled"
        self.error: DagiError | None = None
        self.usage = UNCOUNTED
        self.allowance: Allowance | None = None
        self.charge: Charge | None = None
        self.chain: tuple[str, ...] = ()
        self.attempts: list[Attempt] = []
        self.data: dict[str, object] = {}
        self.timings_ms: dict[str, float] = {"access": 0.0, "queue": 0.0, "provider": 0.0, "total": 0.0}
        self._text: list[str | Passed] = []
        self.thoughts: list[str] = []
        self.calls: dict[int, ToolCall] = {}
        self.others = 0
        self.raw: bytes | None = None

    def hear(self, event: Event) -> None:
        """Take one event of the answer into the account."""
        match event:
            case Passed():
                self._text.append(event)
            case Delta(text):
                self._text.append(text)
            case End():
                self.provider, self.model, self.finish_reason = event.provider, event.model, event.finish_reason
                self.cached, self.raw = event.cached, event.raw
                self.outcome = "ok"
            case Failure(error):
                self.failed(error)
            case Thought(text):
                self.thoughts.append(text)
            case ToolCall():
                self._call(event)
            case Data(values):
                self.data.update(values)
            case _:
                self._hear_beside(event)

    def forget(self) -> None:
        """What was heard of the answer was none of it: an attempt failed before anybody saw a piece."""
        self._text.clear()
        self.thoughts.clear()
        self.calls.clear()
        self.data.clear()
        self.others = 0

    def _hear_beside(self, event: Event) -> None:
        """What belongs to the answer and is none of it."""
        match event:
            case Used(usage):
                self.usage = usage
            case Tried(attempt):
                self.attempts.append(attempt)
                self.timings_ms["provider"] += attempt.ms
            case Waited(ms):
                self.timings_ms["queue"] += ms
            case Other():
                self.others += 1
            case _:
                pass

    def _call(self, piece: ToolCall) -> None:
        begun = self.calls.get(piece.index)
        self.calls[piece.index] = ToolCall(
            index=piece.index,
            id=(begun.id if begun is not None else "") or piece.id,
            name=(begun.name if begun is not None else "") or piece.name,
            arguments=(begun.arguments if begun is not None else "") + piece.arguments,
        )

    def failed(self, error: DagiError) -> None:
        """The request ended with an error."""
        self.outcome = error.code
        self.error = error
        error.accounted = True
        if isinstance(error, TargetFailure):
            self.provider = error.provider

    @property
    def text(self) -> str:
        """The answer's text so far."""
        if len(self._text) > 1 or any(isinstance(part, Passed) for part in self._text):
            self._text = ["".join([part.read(part.raw) if isinstance(part, Passed) else part for part in self._text])]
        return "".join(part for part in self._text if isinstance(part, str))

    @property
    def record(self) -> str:
        """What is kept of the answer: its text, or the tools that were to be called where it has none."""
        return self.text or "\n".join(f"{call.name}({call.arguments})" for call in self.calls.values())

    @property
    def made(self) -> int:
        """Estimate of the tokens that were made for it: bytes / 4 of the text, the thoughts and the calls; one for each other piece."""
        said = (self.text, *self.thoughts, *(call.name + call.arguments for call in self.calls.values()))
        return sum(len(text.encode("utf-8", "replace")) for text in said) // 4 + self.others

    @property
    def admitted(self) -> bool:
        """Whether the limits had room for it, so that what it uses counts."""
        return self.allowance is not None and self.allowance.refusing is None

    def reply(self) -> Reply:
        """The whole answer, for callers that do not stream."""
        return Reply(
            request_id=self.message.id,
            mode=self.message.mode,
            rule=self.rule,
            provider=self.provider,
            model=self.model,
            text=self.text,
            data=self.data,
            usage=self.usage,
            timings_ms={name: round(ms, 3) for name, ms in self.timings_ms.items()},
            attempts=tuple(self.attempts),
            finish_reason=self.finish_reason,
            cached=self.cached,
        )


class History(msgspec.Struct, frozen=True):
    """What of a session a model is shown.

    Attributes:
        turns: the latest ones, oldest first.
        summary: what was said before them, in a model's words; empty where nothing was, or nobody has put it into words yet.
    """

    turns: tuple[Turn, ...] = ()
    summary: str = ""


class Dialogs(Protocol):
    """The record of what was asked and answered."""

    def recording(self, exchange: Exchange) -> AbstractContextManager[None]:
        """Keep a place in the write buffer for the exchange, and record it when the context ends, however it ends.

        Exchanges whose grant allows nothing are not kept: a stranger must not be able to fill the disk.

        Raises:
            Overloaded: no place is left; nothing may go unrecorded, so nothing may start.
        """
        ...

    async def saved(self) -> None:
        """Wait until everything that was recorded before this call is on disk."""
        ...

    async def history(self, message: Message, tokens: int) -> History:
        """The latest whole exchanges of the sender's own session that fit into the number of tokens (bytes / 4)."""
        ...
