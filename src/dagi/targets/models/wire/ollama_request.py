"""Ollama's native chat: request bodies, and what OpenAI's words are called there. Never awaits."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from dagi.message import Call, Turn
from dagi.targets.models.wire.openai_frames import loose

_EMBEDDED: Final = re.compile(r"data:image/[\w.+-]+;base64,(?=[A-Za-z0-9+/])")
_ROLES: Final = {"developer": "system", "function": "tool"}


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw


class _Call(msgspec.Struct):
    function: _Function


class _Turn(msgspec.Struct, omit_defaults=True):
    role: str
    content: str
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str = ""


def encode_request(
    model: str,
    turns: Sequence[Turn],
    *,
    parameters: Mapping[str, object],
    extra: Mapping[str, object] | None = None,
    stream: bool = True,
) -> bytes:
    """The body of `POST /api/chat`.

    Args:
        turns: images are `data:` addresses; see `image_data`.
        parameters: Ollama's `options` (`num_predict`, `temperature`, …); those that are None are left out.
        extra: further top-level keys (`think`, `keep_alive`, `tools`); those that are None are left out.
        stream: whether the answer is to come line by line, or as one object.
    """
    names = {call.id: call.name for turn in turns for call in turn.calls}
    request: dict[str, object] = {
        "model": model,
        "messages": [_told(turn, names) for turn in turns],
        "stream": stream,
        "options": {name: value for name, value in parameters.items() if value is not None},
        **{name: value for name, value in (extra or {}).items() if value is not None},
    }
    return msgspec.json.encode(request)


def image_data(url: str) -> str | None:
    """The image of a `data:` address in base64; None for every other address."""
    found = _EMBEDDED.match(url)
    return None if found is None else url[found.end() :]


def further(wishes: Mapping[str, msgspec.Raw], think: object) -> dict[str, object]:
    """Top-level keys for the caller's wishes (OpenAI's names): tools, the answer's form, how much to think.

    Args:
        think: the operator's setting: where it is a level, the model knows levels.
    """
    found: dict[str, object] = {}
    tools = loose(wishes["tools"]) if "tools" in wishes else None
    if isinstance(tools, list) and tools and ("tool_choice" not in wishes or loose(wishes["tool_choice"]) != "none"):
        found["tools"] = [_nested(tool) for tool in cast("list[object]", tools)]
    if "response_format" in wishes:
        found["format"] = _format(loose(wishes["response_format"]))
    effort = loose(wishes["reasoning_effort"]) if "reasoning_effort" in wishes else None
    if isinstance(effort, str):
        level = effort if isinstance(think, str) else True
        found["think"] = False if effort in {"none", "minimal"} else level
    return found


def _told(turn: Turn, names: Mapping[str, str]) -> _Turn:
    if turn.raw is None:
        return _Turn(turn.role, turn.text)
    calls = [_Call(_Function(call.name, _arguments(call))) for call in turn.calls] or None
    images = [data for url in turn.images if (data := image_data(url)) is not None] or None
    name = turn.name or names.get(turn.call_id, "") if turn.role in {"tool", "function"} else ""
    return _Turn(_ROLES.get(turn.role, turn.role), turn.text, images, calls, name)


def _arguments(call: Call) -> msgspec.Raw:
    """The arguments as an object, which is what Ollama wants."""
    try:
        value = cast("object", msgspec.json.decode(call.arguments or "{}"))
    except (msgspec.DecodeError, RecursionError):
        value = None
    # A model that wrote no JSON is shown what it wrote.
    return msgspec.Raw(msgspec.json.encode(value if isinstance(value, dict) else {"arguments": call.arguments}))


def _nested(tool: object) -> object:
    """A tool in the form that chat completions have; some clients send the flat one of another API."""
    if isinstance(tool, dict):
        said = cast("dict[str, object]", tool)
        if said.get("type") == "function" and "function" not in said:
            return {"type": "function", "function": {name: value for name, value in said.items() if name != "type"}}
    return tool


def _format(wish: object) -> object:
    if not isinstance(wish, dict):
        return None
    said = cast("dict[str, object]", wish)
    if said.get("type") == "json_object":
        return "json"
    schema = said.get("json_schema")
    if said.get("type") != "json_schema" or not isinstance(schema, dict):
        return None
    # Some clients put the schema there without its wrapping.
    return cast("dict[str, object]", schema).get("schema", schema)
