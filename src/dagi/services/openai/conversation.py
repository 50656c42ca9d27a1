"""OpenAI's messages, and what of them the rest of the stack reads. The caller's own JSON of each stays beside it."""

from typing import Annotated, Final

import msgspec

from dagi.errors import Invalid
from dagi.message import Call, Role, Turn


class ImageUrl(msgspec.Struct):
    """Where an image is: `https:`, or `data:` with the image itself."""

    url: str


class Part(msgspec.Struct):
    """A part of a message: a text, an image; others are passed on unread."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None


class FunctionCall(msgspec.Struct):
    """The function of a call; `arguments` is JSON in a text."""

    name: str | None = None
    arguments: str | None = None


class ToolUse(msgspec.Struct):
    """A call of a tool."""

    id: str | None = None
    function: FunctionCall | None = None


class ChatMessage(msgspec.Struct):
    """One message of a conversation. Keys that are not listed here are passed on."""

    role: Role
    content: str | list[Part | str] | None = None
    name: str | None = None
    tool_calls: list[ToolUse] | None = None
    tool_call_id: str | None = None
    function_call: Annotated[FunctionCall | None, msgspec.Meta(description="The older form of tool_calls.")] = None


_RAW: Final = msgspec.json.Decoder(list[msgspec.Raw])


def turns_of(messages: list[ChatMessage], raw: msgspec.Raw) -> tuple[Turn, ...]:
    """The turns of a conversation.

    Args:
        raw: the same messages as JSON.

    Raises:
        Invalid: an image has no address.
    """
    return tuple([_turn(said, one, place) for place, (said, one) in enumerate(zip(messages, _RAW.decode(raw), strict=True))])


def asked(turns: tuple[Turn, ...]) -> str:
    """What is asked: the text of the last user turn; empty where there is none."""
    for turn in reversed(turns):
        if turn.role == "user":
            # No database takes a NUL; who answers gets the turn as it was sent.
            return turn.text.replace("\x00", "") if "\x00" in turn.text else turn.text
    return ""


def _turn(said: ChatMessage, raw: msgspec.Raw, place: int) -> Turn:
    content = said.content
    if said.tool_calls is None and said.function_call is None and (content is None or isinstance(content, str)):
        return Turn(said.role, content or "", raw, (), said.tool_call_id or "", said.name or "")
    texts: list[str] = []
    images: list[str] = []
    kinds: list[str] = []
    for number, part in enumerate(content if isinstance(content, list) else (content or "",)):
        if isinstance(part, str):
            texts.append(part)
        elif part.image_url is not None:
            images.append(_address(part.image_url, f"messages[{place}].content[{number}].image_url"))
        elif part.text is not None or part.refusal is not None:
            texts.append(part.text or part.refusal or "")
        elif part.type not in kinds:
            kinds.append(part.type)
    calls = said.tool_calls or ([ToolUse(function=said.function_call)] if said.function_call is not None else [])
    return Turn(
        role=said.role,
        text="\n".join(texts),
        raw=raw,
        calls=tuple(_call(call) for call in calls),
        call_id=said.tool_call_id or "",
        name=said.name or "",
        images=tuple(images),
        kinds=tuple(kinds),
    )


def _address(image: ImageUrl | str, field: str) -> str:
    url = image if isinstance(image, str) else image.url
    if not url:
        raise Invalid(f"{field} has no address.", field=field)
    return url


def _call(call: ToolUse) -> Call:
    function = call.function or FunctionCall()
    return Call(call.id or "", function.name or "", function.arguments or "")
