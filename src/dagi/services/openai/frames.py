"""A streamed answer in OpenAI's form. What the upstream sent is passed on as it is wherever nothing has to change.

Every client can read this order: the role, the pieces, the reason of the end, the counts if they were asked for, `[DONE]`; nothing with a
choice after the end. Calls of tools tell id and name in their first piece, an index in each.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from dagi.errors import DagiError
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Delta, End, Event, Other, Passed, Thought, ToolCall, Used
from dagi.services.errors import encode, openai_error
from dagi.services.openai.answers import Json, answer_id, call_id, created, finish, usage_of

DONE: Final = b"data: [DONE]\n\n"
# A piece that names the role again: some clients would join the two names.
_ROLE: Final = b'"role":'


class _Delta(msgspec.Struct):
    role: str | None = None
    content: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    delta: _Delta
    index: int = 0


class _Chunk(msgspec.Struct):
    """A frame that any client can read."""

    id: Annotated[str, Meta(min_length=1)]
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[_Choice]


_CHUNK: Final = msgspec.json.Decoder(_Chunk)


class ChatFrames:
    """The frames of one answer; see `dagi.services.streams.Frames`.

    Args:
        model: as the caller named it, told where the upstream's own frames are not used.
        usage_asked: the caller wants the counts.
    """

    cuts = True
    framed = True

    def __init__(self, exchange: Exchange, model: str, *, usage_asked: bool) -> None:
        self._exchange = exchange
        self._model = model
        self._usage_asked = usage_asked
        self._head = b""
        self._begun = False
        # Whether the upstream's frames can be passed on.
        self._passing = False
        self._named: dict[int, bool] = {}
        self._ids: set[str] = set()
        self._used: Used | None = None
        self._end: End | None = None

    @property
    def raw(self) -> bool:
        """See `Frames`."""
        return self._passing and self._begun

    def frame(self, event: Event) -> bytes | None:
        """See `Frames`."""
        if isinstance(event, Passed):
            return event.raw
        if isinstance(event, Delta):
            raw, name = event.raw, "content"
        elif isinstance(event, Thought):
            raw, name = event.raw, "reasoning_content"
        else:
            return self._rarer(event)
        if self._passing and raw is not None and _ROLE not in raw:
            return b"data: " + raw + b"\n\n"
        return self._piece({name: event.text}, raw)

    def _rarer(self, event: Event) -> bytes | None:
        if isinstance(event, ToolCall):
            return self._call(event)
        if isinstance(event, Other):
            first = b"" if self._begun else self._begin(event.raw)[0]
            return first + b"data: " + event.raw + b"\n\n"
        if isinstance(event, Used):
            self._used = event
        elif isinstance(event, End):
            self._end = event
        return None

    def ending(self, exchange: Exchange) -> bytes:
        """See `Frames`."""
        end, used = self._end, self._used
        told = "stop" if end is None else end.finish_reason
        reason = finish(told, calls=bool(self._named))
        raw = None if end is None or reason != told else end.raw
        closing = self._piece({}, raw, reason=reason)
        counts = b""
        if self._usage_asked:
            raw = used.raw if used is not None and self._passing else None
            counts = self._encoded([], b"," + encode({"usage": usage_of(exchange)})[1:-1]) if raw is None else b"data: " + raw + b"\n\n"
        return closing + counts + DONE

    def failure(self, error: DagiError, exchange: Exchange) -> bytes:
        """See `Frames`."""
        return b"data: " + encode(openai_error(error, exchange.message.id)) + b"\n\n"

    def _call(self, event: ToolCall) -> bytes:
        index, raw = event.index, event.raw
        function: Json = {"arguments": event.arguments}
        if index in self._named:
            if event.name and not self._named[index]:
                self._named[index] = True
                function["name"] = event.name
            return self._piece({"tool_calls": [{"index": index, "function": function}]}, None if event.id or event.name else raw)
        own = bool(event.id) and event.id not in self._ids
        identity = event.id if own else call_id(self._exchange, index)
        self._ids.add(identity)
        self._named[index] = bool(event.name)
        call = {"index": index, "id": identity, "type": "function", "function": {"name": event.name, **function}}
        return self._piece({"tool_calls": [call]}, raw if own and event.name else None)

    def _piece(self, delta: Json, raw: bytes | None, *, reason: str | None = None) -> bytes:
        """One frame, after the role where it is the first one.

        Args:
            raw: how the upstream has put it, where that says the same.
        """
        first, told = (b"", False) if self._begun else self._begin(raw, empty=None if "tool_calls" in delta else "")
        if raw is not None and self._passing and (told or _ROLE not in raw):
            return first + b"data: " + raw + b"\n\n"
        return first + self._encoded([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}])

    def _begin(self, raw: bytes | None, *, empty: str | None = "") -> tuple[bytes, bool]:
        """The frame that tells the role, and whether the upstream's first frame does so itself, so that there is none of ours."""
        self._begun = True
        identity, at, model = answer_id(self._exchange), created(self._exchange), self._model
        chunk = None if raw is None else _chunk(raw)
        if chunk is not None:
            self._passing = True
            identity, at, model = chunk.id, chunk.created, chunk.model
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":' % (
            encode(identity),
            at,
            encode(model),
        )
        if chunk is not None and any(choice.index == 0 and choice.delta.role and choice.delta.content for choice in chunk.choices):
            return b"", True
        return self._encoded(
            [{"index": 0, "delta": {"role": "assistant", "content": empty}, "logprobs": None, "finish_reason": None}]
        ), False

    def _encoded(self, choices: list[Json], also: bytes = b"") -> bytes:
        return self._head + encode(choices) + also + b"}\n\n"


def _chunk(raw: bytes) -> _Chunk | None:
    try:
        return _CHUNK.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
