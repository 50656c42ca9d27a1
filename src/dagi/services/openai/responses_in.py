"""From a body of OpenAI's Responses API to one of chat completions, which says the same. Pure.

What the other form cannot say is an error that names it. What asks for nothing (`store`, `include` of encrypted thoughts) is passed over.
"""

from collections.abc import Iterable, Mapping
from typing import Final, cast

import msgspec

from dagi.errors import Invalid
from dagi.services.openai.response_items import Json, items_to_messages
from dagi.services.openai.response_names import spread

# Fields of the Responses API that chat completions do not have: translated here, or of no consequence for an answer of ours.
_OWN: Final = frozenset(
    {
        *("input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "max_output_tokens", "reasoning", "include"),
        *("store", "previous_response_id", "conversation", "background", "prompt", "truncation", "max_tool_calls", "top_logprobs"),
        *("stream_options", "prompt_cache_retention", "context_management", "client_metadata"),
    }
)
# Of a tool: what chat completions do not have, and what is of no consequence without a server that calls it.
_UNSAID: Final = frozenset({"type", "allowed_callers", "async", "defer_loading", "output_schema"})


class _Tool(msgspec.Struct):
    """Enough of a tool to know its form."""

    name: object = None
    function: object = None
    custom: object = None


_BODY: Final = msgspec.json.Decoder(dict[str, object])
_TOOLS: Final = msgspec.json.Decoder(list[_Tool])
_ANY: Final = msgspec.json.Decoder(list[object])
_STATELESS: Final = "This server keeps no responses: send the whole conversation as input."
_CHOICES: Final = frozenset({"auto", "none", "required"})


def as_chat(data: bytes) -> bytes | None:
    """The body of a chat completion, where one was sent in the words of the Responses API, as Cursor's agent does; None where it was not.

    Raises:
        Invalid: it is one of the Responses API, and cannot be said as a chat completion; names the field.
    """
    try:
        fields = _BODY.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if "input" not in fields or fields.get("messages"):
        return None
    return msgspec.json.encode(chat_fields(fields, for_chat=True))


def nested_tools(tools: msgspec.Raw) -> msgspec.Raw:
    """The tools of a chat completion, those among them put right that have the form of the Responses API: Cursor mixes them."""
    try:
        flat = any(tool.function is None and tool.custom is None and tool.name is not None for tool in _TOOLS.decode(tools))
        given = _ANY.decode(tools) if flat else []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return tools
    if not given:
        return tools
    return msgspec.Raw(msgspec.json.encode([_nested(tool) for tool in given]))


def chat_fields(body: Mapping[str, object], *, for_chat: bool = False) -> Json:
    """The body of a chat completion that asks for the same.

    Args:
        for_chat: the answer is to be a chat completion, too. So tools of the type `custom` are passed on, in the form that chat
            completions have for them, and so are options of the stream.

    Raises:
        Invalid: something is not of its form, or cannot be said there; names the field.
    """
    _refuse_state(body)
    chat = {name: value for name, value in body.items() if name not in _OWN and value is not None}
    if for_chat and body.get("stream_options") is not None:
        chat["stream_options"] = body["stream_options"]
    chat["messages"] = [*_instructions(body), *_messages(body)]
    choice, tools = _tools(body, customs=for_chat)
    if tools:
        chat["tools"] = tools
        if choice is not None:
            chat["tool_choice"] = choice
        if isinstance(body.get("parallel_tool_calls"), bool):
            chat["parallel_tool_calls"] = body["parallel_tool_calls"]
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = _whole_number(body["max_output_tokens"], "max_output_tokens")
    effort = _object(body.get("reasoning"), "reasoning").get("effort")
    if effort is not None:
        chat["reasoning_effort"] = _text(effort, "reasoning.effort")
    return chat | _text_wishes(_object(body.get("text"), "text"))


def _refuse_state(body: Mapping[str, object]) -> None:
    for name in ("previous_response_id", "conversation"):
        if body.get(name) is not None:
            raise Invalid(f"{name} is not supported. {_STATELESS}", field=name)
    if body.get("background"):
        raise Invalid("background is not supported: answers are given at once, whole or as a stream.", field="background")
    if body.get("prompt") is not None:
        raise Invalid("prompt (a stored template) is not supported. Send its text as instructions and input.", field="prompt")
    include = body.get("include")
    if body.get("top_logprobs") or (isinstance(include, list) and "message.output_text.logprobs" in include):
        raise Invalid("Log probabilities are given by /v1/chat/completions only.", field="top_logprobs")


def _instructions(body: Mapping[str, object]) -> Iterable[Json]:
    instructions = body.get("instructions")
    if instructions is not None and instructions != "":
        yield {"role": "system", "content": _text(instructions, "instructions")}


def _messages(body: Mapping[str, object]) -> Iterable[Json]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise Invalid("input must be a text or a list of items.", field="input")
    messages = items_to_messages(cast("list[object]", given))
    if not messages:
        raise Invalid("input says nothing: it holds no message.", field="input")
    return messages


def _tools(body: Mapping[str, object], *, customs: bool) -> tuple[object, list[Json]]:
    """The choice of tools and the tools; without tools there is nothing to choose."""
    given = body.get("tools")
    if given is None:
        given = []
    if not isinstance(given, list):
        raise Invalid("tools must be a list.", field="tools")
    tools = [_tool(tool, field, customs=customs) for field, tool in spread(cast("list[object]", given), namespaces=not customs)]
    return _choice(body.get("tool_choice"), tools)


def _tool(given: object, field: str, *, customs: bool) -> Json:
    tool = _object(given, field)
    kind = tool.get("type")
    if kind == "function" or (kind == "custom" and customs):
        if not isinstance(tool.get(str(kind)), dict):
            _text(tool.get("name"), f"{field}.name")
        return _nested(tool)
    sentence = f"{field} is of the type {_shown(kind)}, which this server does not run. It passes on tools of the type function."
    raise Invalid(sentence, field=f"{field}.type", allowed=["function"])


def _nested(given: object) -> Json:
    """A tool in the form of chat completions, which it may have already."""
    tool = cast("Json", given)
    kind = str(tool.get("type"))
    if kind not in {"function", "custom"} or isinstance(tool.get(kind), dict):
        return tool
    named = {name: value for name, value in tool.items() if name not in _UNSAID and value is not None}
    form = named.get("format")
    if isinstance(form, dict) and form.get("type") == "grammar" and "grammar" not in form:
        named["format"] = {"type": "grammar", "grammar": {name: value for name, value in form.items() if name != "type"}}
    return {"type": kind, kind: named}


def _choice(choice: object, tools: list[Json]) -> tuple[object, list[Json]]:
    if choice is None or (isinstance(choice, str) and choice in _CHOICES):
        return choice, tools
    if isinstance(choice, dict):
        wish = cast("Json", choice)
        kind, name = wish.get("type"), wish.get("name")
        if isinstance(kind, str) and kind in {"function", "custom"}:
            return (wish if name is None else {"type": kind, kind: {"name": _text(name, "tool_choice.name")}}), tools
        if kind == "allowed_tools" and isinstance(wish.get("tools"), list):
            allowed = [_name(tool) for tool in cast("list[object]", wish["tools"])]
            return wish.get("mode", "auto"), [tool for tool in tools if _name(tool) in allowed]
    sentence = "tool_choice must be auto, none, required, or name a function."
    raise Invalid(sentence, field="tool_choice", allowed=sorted(_CHOICES))


def _name(tool: object) -> object:
    if not isinstance(tool, dict):
        return None
    named = cast("Json", tool)
    inner = named.get(str(named.get("type")))
    return cast("Json", inner).get("name") if isinstance(inner, dict) else named.get("name")


def _text_wishes(text: Json) -> Json:
    wishes: Json = {}
    if text.get("verbosity") is not None:
        wishes["verbosity"] = text["verbosity"]
    form = _object(text.get("format"), "text.format")
    match form.get("type"):
        case None | "text":
            pass
        case "json_object":
            wishes["response_format"] = {"type": "json_object"}
        case "json_schema":
            names = ("name", "description", "schema", "strict")
            schema = {name: form[name] for name in names if form.get(name) is not None}
            schema["name"] = _text(form.get("name"), "text.format.name")
            wishes["response_format"] = {"type": "json_schema", "json_schema": schema}
        case kind:
            allowed = ["text", "json_object", "json_schema"]
            raise Invalid(f"text.format.type is {_shown(kind)}; it may be {', '.join(allowed)}.", field="text.format.type", allowed=allowed)
    return wishes


def _object(value: object, field: str) -> Json:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(f"{field} must be an object.", field=field)
    return cast("Json", value)


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{field} must be a text.", field=field)
    return value


def _whole_number(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Invalid(f"{field} must be a whole number greater than 0.", field=field)
    return value


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()[:40]
