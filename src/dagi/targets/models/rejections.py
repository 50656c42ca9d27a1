"""Whose matter it is that a server refuses a request (HTTP 400 and 422): the caller's, whose words it is about, or the operator's. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from dagi.message import Context, Message
from dagi.targets.models.wire import WireError
from dagi.targets.models.wire.openai_frames import loose
from dagi.targets.models.wire.openai_request import TOKEN_LIMITS, caller_options

STATUSES: Final = frozenset({400, 422})
_FILTERS: Final = frozenset({"content_filter", "content_policy_violation"})
# What servers call the conversation, and what only a conversation has.
_CONVERSATION: Final = re.compile(r"\b(messages|roles?|tool_call(s|_id)?|image_url)\b")
_OF_CONVERSATION: Final = frozenset({"messages", "prompt", "input"})
# Ollama's word for both names of the token limit.
_LIMITS: Final = (*TOKEN_LIMITS, "num_predict")
_FIELD_MOST: Final = 80
# Nothing that matters stands later, and looking through it takes time.
_TEXT_MOST: Final = 2000
_WORD: Final = re.compile(r"[\w-]+")
# Where things stand at the operator's, and under whose account.
_PLACES: Final = re.compile(r"\w+://\S+|(?<![\w.])/[\w.-]+/\S*|\b\d{1,3}(\.\d{1,3}){3}\b(:\d+)?|\b(org|proj|acct|user)[-_][A-Za-z0-9]{4,}")


class Refusal(msgspec.Struct, frozen=True):
    """What a server has said."""

    text: str
    code: str = ""
    param: str = ""


class _Error(msgspec.Struct):
    param: str | None = None


class _Detail(msgspec.Struct):
    loc: list[str | int]
    msg: str


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    param: str | None = None


class _Details(msgspec.Struct):
    detail: list[_Detail]


def read(data: bytes, fault: WireError | None) -> Refusal | None:
    """The refusal in an error's body; None where it holds none.

    Args:
        fault: the error in it, where it has the form of OpenAI's or Ollama's.
    """
    try:
        if fault is None:
            first = msgspec.json.decode(data, type=_Details).detail[0]
            return Refusal(first.msg[:_TEXT_MOST], param=".".join(str(part) for part in first.loc if part != "body"))
        body = msgspec.json.decode(data, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IndexError):
        return None if fault is None else Refusal(str(fault)[:_TEXT_MOST], fault.code)
    param = body.error.param if isinstance(body.error, _Error) else body.param
    return Refusal(str(fault)[:_TEXT_MOST], fault.code, param or "")


def field_of(refusal: Refusal, message: Message) -> str | None:
    """What of the caller's own request it is about; None where it is about something else, such as the provider's settings."""
    # What we put before a conversation may be what is wrong with it.
    conversation = bool(message.conversation) and message.context == Context()
    if conversation and refusal.code in _FILTERS:
        return "messages"
    # Their word for it, and the caller's.
    names = {name: name for name in _own(message)}
    limit = next((name for name in TOKEN_LIMITS if name in names), None)
    if limit is not None:
        names = {**dict.fromkeys(_LIMITS, limit), **names}
    if refusal.param:
        root = re.split(r"[.\[]", refusal.param)[0]
        if conversation and root in _OF_CONVERSATION:
            return refusal.param[:_FIELD_MOST] if root == "messages" else "messages"
        ours = names.get(root)
        return refusal.param[:_FIELD_MOST] if ours == root else ours
    said = [word for word in _WORD.findall(refusal.text) if word in names]
    if said:
        return names[max(said, key=len)][:_FIELD_MOST]
    return "messages" if conversation and _CONVERSATION.search(refusal.text) else None


def placeless(text: str) -> str:
    """The text without addresses, paths and accounts."""
    return _PLACES.sub("…", text)


def _own(message: Message) -> Iterator[str]:
    """The names of the parameters that the caller has set."""
    of_rule: Mapping[str, object] = message.ruled
    for name, raw in caller_options(message.options).items():
        value = loose(raw)
        if value is not None and (name not in of_rule or of_rule[name] != value):
            yield name
