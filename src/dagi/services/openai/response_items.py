"""Items of the Responses API as messages of chat completions. Pure."""

from collections.abc import Sequence
from typing import Final, cast

import msgspec

from dagi.errors import Invalid
from dagi.services.openai.response_names import chat_name

Json = dict[str, object]

_ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
# Kinds of items, and kinds of parts, for whoever sends another one.
_ITEMS: Final = ["message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning"]
_PARTS: Final = ["input_text", "output_text", "refusal", "input_image", "input_file", "input_audio"]


def items_to_messages(items: Sequence[object]) -> list[Json]:
    """The messages a list of items says, in their order. Calls of tools join the assistant's message before them; thoughts are left out.

    Raises:
        Invalid: an item is none, or of a kind that cannot be said as a message; names the place.
    """
    messages: list[Json] = []
    for place, item in enumerate(items):
        field = f"input[{place}]"
        if not isinstance(item, dict):
            raise Invalid(f"{field} must be an object.", field=field)
        _take(cast("Json", item), field, messages)
    return messages


def _take(item: Json, field: str, messages: list[Json]) -> None:
    match item.get("type"):
        case None | "message":
            _said(item, field, messages)
        case "function_call":
            name = chat_name(item.get("namespace"), _text(item, "name", field))
            function = {"name": name, "arguments": _text(item, "arguments", field)}
            _called({"id": _text(item, "call_id", field), "type": "function", "function": function}, messages)
        case "custom_tool_call":
            custom = {"name": _text(item, "name", field), "input": _text(item, "input", field)}
            _called({"id": _text(item, "call_id", field), "type": "custom", "custom": custom}, messages)
        case "function_call_output" | "custom_tool_call_output":
            call, output = _text(item, "call_id", field), item.get("output")
            messages.append({"role": "tool", "tool_call_id": call, "content": _content(output, f"{field}.output", "tool")})
        case "reasoning":
            # Another model's thoughts, or encrypted ones, which no other server could read.
            pass
        case kind:
            sentence = f"{field} is of the type {_shown(kind)}, which cannot be passed on. Leave it out."
            raise Invalid(sentence, field=f"{field}.type", allowed=_ITEMS)


def _said(item: Json, field: str, messages: list[Json]) -> None:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise Invalid(f"{field}.role must be one of {', '.join(sorted(_ROLES))}.", field=f"{field}.role", allowed=sorted(_ROLES))
    content = _content(item.get("content"), f"{field}.content", role)
    last = messages[-1] if messages else {}
    if role == "assistant" and last.get("role") == "assistant" and last.get("tool_calls"):
        # What was said after a call was begun belongs into the same message: results have to follow the calls.
        last["content"] = _joined(last.get("content"), content)
        return
    # Servers that are not OpenAI's refuse the newer name; OpenAI's own takes both.
    messages.append({"role": "system" if role == "developer" else role, "content": content})


def _called(call: Json, messages: list[Json]) -> None:
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        last: Json = {"role": "assistant", "content": None}
        messages.append(last)
    cast("list[Json]", last.setdefault("tool_calls", [])).append(call)


def _content(content: object, field: str, role: str) -> object:
    """Text as a text, where it is nothing else: not every server reads lists, and none but the user shows pictures."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Invalid(f"{field} must be a text or a list of parts.", field=field)
    parts = [_part(part, f"{field}[{place}]") for place, part in enumerate(cast("list[object]", content))]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    if len(texts) == len(parts) and (role != "user" or len(texts) == 1):
        return "".join(cast("list[str]", texts))
    return parts


def _joined(first: object, second: object) -> object:
    if not first:
        return second
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}" if second else first
    return [*_parts(first), *_parts(second)]


def _parts(content: object) -> list[object]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return cast("list[object]", content)


def _part(given: object, field: str) -> Json:
    if not isinstance(given, dict):
        raise Invalid(f"{field} must be an object.", field=field)
    part = cast("Json", given)
    match part.get("type"):
        case "input_text" | "output_text" | "text" | "summary_text":
            return {"type": "text", "text": _text(part, "text", field)}
        case "refusal":
            return {"type": "refusal", "refusal": _text(part, "refusal", field)}
        case "input_image":
            return {"type": "image_url", "image_url": _image(part, field)}
        case "image_url" if isinstance(part.get("image_url"), dict):
            # In the form of chat completions already.
            return {"type": "image_url", "image_url": part["image_url"]}
        case "file" if isinstance(part.get("file"), dict):
            return {"type": "file", "file": part["file"]}
        case "input_file":
            file = {name: part[name] for name in ("file_data", "filename") if part.get(name) is not None}
            if "file_data" not in file:
                raise Invalid(f"{field}: this server keeps no files and fetches none; send file_data.", field=field)
            return {"type": "file", "file": file}
        case "input_audio" if isinstance(part.get("input_audio"), dict):
            return {"type": "input_audio", "input_audio": part["input_audio"]}
        case kind:
            sentence = f"{field} is of the type {_shown(kind)}, which cannot be passed on."
            raise Invalid(sentence, field=f"{field}.type", allowed=_PARTS)


def _image(part: Json, field: str) -> Json:
    if part.get("image_url") is None:
        raise Invalid(f"{field}: this server keeps no files; send the picture as image_url.", field=field)
    image: Json = {"url": _text(part, "image_url", field)}
    if part.get("detail") is not None:
        image["detail"] = part["detail"]
    return image


def _text(of: Json, name: str, field: str) -> str:
    value = of.get(name)
    if not isinstance(value, str):
        raise Invalid(f"{field}.{name} must be a text.", field=f"{field}.{name}")
    return value


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()[:40]
