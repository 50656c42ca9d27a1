"""Frames of a chat completion's stream that can be passed on as they are, told by their looks alone. Never awaits.

What makes a frame worth decoding at once stands between quotation marks in it (`"error"`, `"role"`, `"tool_calls"`, a finish reason,
counts). Within a JSON text a quotation mark is written with a backslash before it, so no words of the answer look like these. Letters of
such a name can be written as numbers (`\u0065`): whatever holds one of those is decoded.
"""

import json
from collections.abc import Mapping
from typing import Final, cast

import msgspec

_BEGIN: Final = b'data: {"'
_BETWEEN: Final = b'}\n\ndata: {"'
_END: Final = b"}\n\n"
_GAP: Final = b"\n\n"
# What each frame has exactly once, as servers write JSON: without spaces, or with one behind each colon.
_CLOSE: Final = (b'"choices":[{', b'"index":0,', b'"content":"', b'"finish_reason":null')
_WIDE: Final = (b'"choices": [{', b'"index": 0,', b'"content": "', b'"finish_reason": null')
_NEVER: Final = (
    b'"error"',
    b'"role"',
    b'"tool_calls"',
    b'"function_call"',
    b'"reasoning',
    b'"refusal":"',
    b'"usage":{',
    b'"usage": {',
    b"\\u00",
    b"\r",
)


class _Delta(msgspec.Struct):
    content: str = ""


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


_CHUNK: Final = msgspec.json.Decoder(_Chunk)


def passable(data: bytes) -> bool:
    """Whether the bytes are whole frames, each a piece of the first choice's text and nothing else."""
    if not (data.startswith(_BEGIN) and data.endswith(_END)):
        return False
    number = data.count(_BETWEEN) + 1
    if data.count(b"\n") != 2 * number:
        return False
    once = _CLOSE if _CLOSE[0] in data else _WIDE
    for part in once:
        if data.count(part) != number:
            return False
    for part in _NEVER:  # noqa: SIM110 - a generator would cost more than all the looking
        if part in data:
            return False
    return True


def runs(data: bytes) -> list[bytes]:
    """The same bytes, cut where frames that can be passed on begin or end; all of one kind stay together."""
    found: list[bytes] = []
    start, at, kind = 0, 0, False
    while (end := data.find(_GAP, at) + 2) > 1:
        passes = passable(data[at:end])
        if passes != kind:
            if at > start:
                found.append(data[start:at])
            start, kind = at, passes
        at = end
    if kind and at < len(data):
        found.append(data[start:at])
        start = at
    found.append(data[start:])
    return [part for part in found if part]


def text_of(frames: bytes) -> str:
    """The text in frames that were passed on, as far as any client could show it; a frame that nobody can read has none."""
    return "".join([_text(frame[6:]) for frame in frames.split(b"\n\n") if frame])


def _text(data: bytes) -> str:
    try:
        return "".join([choice.delta.content for choice in _CHUNK.decode(data).choices])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _loose_text(data)


def _loose_text(data: bytes) -> str:
    """The text of a frame that breaks the rules of JSON where common readers of it do not mind: half a character, NaN."""
    try:
        body: object = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return ""
    choices = _fields(body).get("choices")
    deltas = [_fields(_fields(choice).get("delta")) for choice in cast("list[object]", choices)] if isinstance(choices, list) else []
    text = "".join([content for delta in deltas if isinstance(content := delta.get("content"), str)])
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _fields(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
