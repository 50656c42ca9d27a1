"""A whole answer in OpenAI's form: the upstream's own where nothing is missing from it, otherwise mended, or made of what was heard."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dagi.message import Usage
from dagi.ports.dialogs import UNCOUNTED, Exchange
from dagi.ports.target import ToolCall

Json = dict[str, object]
_FINISHES: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_CALLING: Final = frozenset({"tool_calls", "length", "content_filter"})

_Text = Annotated[str, Meta(min_length=1)]


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: _Text
    type: str
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: Literal["assistant"]
    content: str | None
    tool_calls: list[_Call] | UnsetType | None = UNSET


class _Choice(msgspec.Struct):
    index: int
    message: _Message
    finish_reason: _Text


class _Counts(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: Annotated[int, Meta(gt=0)]


class _Proper(msgspec.Struct):
    """An answer as every client can read it."""

    id: _Text
    object: Literal["chat.completion"]
    created: int
    model: _Text
    choices: Annotated[list[_Choice], Meta(min_length=1)]
    usage: _Counts


_COUNTS: Final = _Counts.__struct_fields__
_PROPER: Final = msgspec.json.Decoder(_Proper)


def whole_answer(exchange: Exchange, model: str) -> bytes:
    """The body of the answer.

    Args:
        model: as the caller named it, told where the upstream named none.
    """
    raw = exchange.raw
    if raw is None:
        return msgspec.json.encode(_made(exchange, model))
    if _is_proper(raw):
        return raw
    return msgspec.json.encode(_mended(raw, exchange, model) or _made(exchange, model))


def _is_proper(raw: bytes) -> bool:
    try:
        answer = _PROPER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return all(not choice.message.tool_calls or choice.finish_reason in _CALLING for choice in answer.choices)


def usage_of(exchange: Exchange) -> Json:
    """The token counts as the provider told them; estimated (bytes / 4) where nobody has counted."""
    usage = exchange.usage
    if usage is UNCOUNTED or not usage.total_tokens:
        prompt, completion = max(1, exchange.message.tokens()), max(1, exchange.made)
        usage = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    told: Json = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens:
        told["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens:
        told["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return told


def answer_id(exchange: Exchange) -> str:
    """The id of an answer that has none of its own."""
    return f"chatcmpl-{exchange.message.id}"


def created(exchange: Exchange) -> int:
    """When it was asked, in seconds."""
    return int(exchange.at.timestamp())


def call_id(exchange: Exchange, index: int) -> str:
    """The id of a call that has none of its own: no other one of the same conversation has it."""
    return f"call_{exchange.message.id[:24]}_{index}"


def finish(reason: str, *, calls: bool) -> str:
    """The reason in OpenAI's words: who wants tools called has not just stopped."""
    if calls and reason not in _CALLING:
        return "tool_calls"
    return reason if reason in _FINISHES else "stop"


def _made(exchange: Exchange, model: str) -> Json:
    message: Json = {"role": "assistant", "content": exchange.text or (None if exchange.calls else "")}
    if exchange.thoughts:
        message["reasoning_content"] = "".join(exchange.thoughts)
    if exchange.calls:
        message["tool_calls"] = _calls(exchange, exchange.calls.values())
    reason = finish(exchange.finish_reason, calls=bool(exchange.calls))
    return {
        "id": answer_id(exchange),
        "object": "chat.completion",
        "created": created(exchange),
        "model": exchange.model or model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": usage_of(exchange),
    }


def _calls(exchange: Exchange, calls: Iterable[ToolCall]) -> list[Json]:
    return [
        {
            "id": call.id or call_id(exchange, place),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for place, call in enumerate(calls)
    ]


def _mended(raw: bytes, exchange: Exchange, model: str) -> Json | None:
    """The upstream's answer with what it lacks; None where it is too odd."""
    try:
        answer = cast("object", msgspec.json.decode(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    mended = cast("Json", answer)
    choices = mended.get("choices")
    if not isinstance(choices, list) or not all(_mend_choice(choice, place, exchange) for place, choice in enumerate(choices)):
        return None
    mended["id"] = mended.get("id") or answer_id(exchange)
    mended["object"] = "chat.completion"
    if not isinstance(mended.get("created"), int):
        mended["created"] = created(exchange)
    mended["model"] = mended.get("model") or exchange.model or model
    usage = mended.get("usage")
    counts = usage_of(exchange)
    told = cast("Json", usage) if isinstance(usage, dict) else {}
    mended["usage"] = {**counts, **told, **{name: counts[name] for name in _COUNTS}}
    return mended


def _mend_choice(choice: object, place: int, exchange: Exchange) -> bool:
    if not isinstance(choice, dict):
        return False
    told = cast("Json", choice)
    message = told.get("message")
    if not isinstance(message, dict):
        return False
    said = cast("Json", message)
    said["role"] = "assistant"
    content = said.setdefault("content", None)
    if isinstance(content, list):
        said["content"] = "".join(_words(part) for part in cast("list[object]", content))
    if not isinstance(told.get("index"), int):
        told["index"] = place
    calls = said.get("tool_calls")
    if isinstance(calls, list) and calls:
        for number, call in enumerate(cast("list[object]", calls)):
            _mend_call(call, number, exchange)
    reason = told.get("finish_reason")
    told["finish_reason"] = finish(reason if isinstance(reason, str) else "stop", calls=bool(calls))
    return True


def _words(part: object) -> str:
    text = cast("Json", part).get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""


def _mend_call(call: object, number: int, exchange: Exchange) -> None:
    if not isinstance(call, dict):
        return
    told = cast("Json", call)
    if not isinstance(told.get("id"), str) or not told["id"]:
        told["id"] = call_id(exchange, number)
    told.setdefault("type", "function")
    function = told.get("function")
    if isinstance(function, dict):
        named = cast("Json", function)
        arguments = named.get("arguments")
        if not isinstance(arguments, str):
            named["arguments"] = "{}" if arguments is None else msgspec.json.encode(arguments).decode()
