"""Frames of a chat completion's stream that can be passed on as they are, told by their looks alone. Never awaits.

What makes a frame worth decoding at once stands between quotation marks in it (`"error"`, `"role"`, `"tool_calls"`, a finish reason,
counts). Within a JSON text a quotation mark is written with a backslash before it, so no words of the answer look like these.
"""

from typing import Final

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
    """The text in frames that were passed on; a frame that turns out to be unreadable has none."""
    return "".join([_text(frame[6:]) for frame in frames.split(b"\n\n") if frame])


def _text(data: bytes) -> str:
    try:
        return _CHUNK.decode(data).choices[0].delta.content
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IndexError):
        return ""
