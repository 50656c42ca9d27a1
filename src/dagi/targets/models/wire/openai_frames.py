"""The JSON of OpenAI's chat completions, as lenient as servers are inventive. Never awaits."""

from typing import cast

import msgspec

from dagi.message import Usage
from dagi.ports.target import ToolCall
from dagi.targets.models.wire import ANSWER_LIMIT, WireError, counted, parsed
from dagi.targets.models.wire.openai_calls import Numbering

_NULL = msgspec.Raw(b"null")


class _Part(msgspec.Struct):
    text: str | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = _NULL


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None

    @property
    def regular(self) -> bool:
        """Whether the arguments are a text, as they should be."""
        arguments = _NULL if self.function is None else self.function.arguments
        return arguments == _NULL or bytes(arguments).startswith(b'"')


class Said(msgspec.Struct):
    """A delta of a stream, or the message of a whole answer."""

    content: str | list[_Part | str] | None = None
    reasoning_content: str | None = None
    reasoning: msgspec.Raw = _NULL
    refusal: str | None = None
    tool_calls: list[_Call] | None = None

    def text(self) -> str:
        """The text of the answer, a refusal's included."""
        if isinstance(self.content, list):
            return "".join(part if isinstance(part, str) else part.text or "" for part in self.content)
        return self.content or self.refusal or ""

    def thought(self) -> str:
        """The text of the thinking. Servers disagree about its name."""
        if self.reasoning_content:
            return self.reasoning_content
        value = loose(self.reasoning)
        return value if isinstance(value, str) else ""

    def calls(self, numbering: Numbering) -> tuple[list[ToolCall], bool]:
        """The (pieces of) tool calls, and whether they were told as they should be, so that every client can put them together."""
        found: list[ToolCall] = []
        regular = True
        for call in self.tool_calls or ():
            # What is no function has a form that nobody here knows.
            if call.function is not None:
                identity, name = call.id or "", call.function.name or ""
                number = numbering.number(call.index, identity, name)
                regular = regular and call.regular and number == call.index
                found.append(ToolCall(index=number, id=identity, name=name, arguments=_arguments(call.function.arguments)))
        return found, regular


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = _NULL

    @property
    def likely(self) -> bool:
        """Whether it tells how likely its tokens were."""
        told = loose(self.logprobs)
        return isinstance(told, dict) and any(cast("dict[str, object]", told).values())

    @property
    def says(self) -> bool:
        """Whether it holds a piece of the answer."""
        said = self.delta or self.message
        return said is not None and bool(said.text() or said.thought() or said.tool_calls)


class Body(msgspec.Struct):
    """One frame of a stream, or a whole answer."""

    choices: list[_Choice] | None = None
    model: msgspec.Raw = _NULL
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    object: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    code: msgspec.Raw = _NULL

    @property
    def crowded(self) -> bool:
        """Whether it holds several choices, or another than the first with the counts: each of them is passed on by itself."""
        choices = self.choices or ()
        return len(choices) > 1 or (len(choices) == 1 and bool(choices[0].index) and self.usage != _NULL)

    def choice(self) -> _Choice | None:
        """The first choice; others were not asked for."""
        for choice in self.choices or ():
            if not choice.index:
                return choice
        return None

    def fault(self) -> WireError | None:
        """What the upstream says went wrong, if it does: `{"error": {…}}`, `{"error": "…"}` or `{"object": "error", …}`."""
        error = loose(self.error)
        if error is None or error is False:
            if loose(self.object) != "error":
                return None
            error = {"message": loose(self.message), "code": loose(self.code)}
        return fault(error)


class _Whatever(msgspec.Struct):
    delta: dict[str, msgspec.Raw] | None = None
    message: dict[str, msgspec.Raw] | None = None


class _Anything(msgspec.Struct):
    choices: list[_Whatever] = []


# Parts of a delta that were read already.
_KNOWN = frozenset({"role", "content", "refusal", "reasoning", "reasoning_content"})
_NO_NEWS = frozenset({b"null", b'""', b"[]", b"{}"})
_ANYTHING = msgspec.json.Decoder(_Anything)


def holds_more(data: bytes) -> bool:
    """Whether an answer, or a frame of one, without a text holds something that has no name here, such as audio."""
    try:
        choices = _ANYTHING.decode(data).choices
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    parts = (part for choice in choices for part in (choice.delta or choice.message or {}).items())
    return any(name not in _KNOWN and bytes(value) not in _NO_NEWS for name, value in parts)


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def parted(data: bytes) -> list[bytes]:
    """A frame of several choices as one frame for each, the counts in a last one.

    Raises:
        WireError: it is not of a form we know, or together they would be larger than an answer may be.
    """
    try:
        fields = _FIELDS.decode(data)
        choices = _CHOICES.decode(fields["choices"])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise WireError("not of a form that is known") from error
    if len(choices) * len(data) > ANSWER_LIMIT:
        # What stands once in the frame would be repeated for each of them.
        raise WireError("a frame holds too many choices")
    counts = fields.pop("usage", None)
    told = [{**fields, "choices": [choice]} for choice in choices]
    if counts is not None:
        told.append({**fields, "choices": [], "usage": counts})
    return [msgspec.json.encode(one) for one in told]


def unended(data: bytes) -> bytes | None:
    """A frame of one choice without the end and the counts in it; None where it cannot be read."""
    try:
        fields = _FIELDS.decode(data)
        [choice] = _CHOICES.decode(fields["choices"])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, ValueError):
        return None
    fields.pop("usage", None)
    return msgspec.json.encode({**fields, "choices": [{**choice, "finish_reason": None}]})


class _Counts(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    # Raw, because an answer's counts are not lost over them. The first is DeepSeek's name for what others put into the second.
    prompt_cache_hit_tokens: msgspec.Raw = _NULL
    prompt_tokens_details: msgspec.Raw = _NULL
    completion_tokens_details: msgspec.Raw = _NULL


class _Summed(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


_SUMMED = msgspec.json.Decoder(_Summed)
_BODY = msgspec.json.Decoder(Body)
_COUNTS = msgspec.json.Decoder(_Counts)


def body(data: bytes) -> Body:
    """Parse one JSON body.

    Raises:
        WireError: it is not JSON, or not of a form we know.
    """
    return parsed(_BODY, data)


def usage(raw: msgspec.Raw) -> Usage | None:
    """The counts, or None where there are none that can be read; an answer is not lost over them."""
    if raw == _NULL:
        return None
    try:
        counts = _COUNTS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    prompt, completion = counted(counts.prompt_tokens), counted(counts.completion_tokens)
    total = counted(counts.total_tokens) or prompt + completion
    if not total:
        # No answer costs nothing: zeros stand there where the server does not count, or counts what cannot be.
        return None
    cached = _part(counts.prompt_tokens_details, "cached_tokens") or _tokens(loose(counts.prompt_cache_hit_tokens))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        # Parts of the counts above; nothing that is charged by them may become negative.
        cached_tokens=min(cached, prompt),
        reasoning_tokens=min(_part(counts.completion_tokens_details, "reasoning_tokens"), completion),
    )


def summed(raw: msgspec.Raw) -> bool:
    """Whether the counts are such as every client can read: the parts, and their sum."""
    try:
        _SUMMED.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _part(raw: msgspec.Raw, name: str) -> int:
    details = loose(raw)
    return _tokens(cast("dict[str, object]", details).get(name)) if isinstance(details, dict) else 0


def _tokens(value: object) -> int:
    return counted(value) if isinstance(value, int) else 0


def loose(raw: msgspec.Raw) -> object:
    """Any JSON value; None where it cannot be read."""
    if raw == _NULL:
        return None
    try:
        return cast("object", msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fault(error: object) -> WireError:
    """The upstream's error object (or text) as our exception."""
    if isinstance(error, dict):
        fields = cast("dict[str, object]", error)
        code = fields.get("code") if isinstance(fields.get("code"), str) else fields.get("type")
        message = fields.get("message")
        return WireError(message if isinstance(message, str) else "it gave no reason", code=code if isinstance(code, str) else "")
    return WireError(error if isinstance(error, str) else "it gave no reason")


def _arguments(raw: msgspec.Raw) -> str:
    # They are JSON in a string; some servers send the object itself.
    value = loose(raw)
    if isinstance(value, str):
        return value
    return "" if value is None else bytes(raw).decode("utf-8", "replace")
