"""The body of `POST /v1/chat/completions`, and how it becomes a message.

Types of what is read here are checked; everything else goes to the model as the caller sent it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Protocol, TypeVar

import msgspec

from dagi.errors import Invalid
from dagi.message import Message, Sender
from dagi.services.callers import Caller, Callers, claims
from dagi.services.openai.conversation import ChatMessage, asked, turns_of

T = TypeVar("T")

# The model whose answers come from whoever the rules choose.
ROUTED: Final = "dagi-stack"
# An account on a platform where people speak: what `user` has to be to name one.
_PERSON: Final = re.compile(r"(tg|dc):")
_CLAIMS: Final = ("dao_id", "user_id", "source", "session_id")
OURS: Final = frozenset({f"dagi_{name}" for name in _CLAIMS})
# Keys of `metadata` that mean something to us, so they are no business of a vendor's.
_READ: Final = frozenset({*_CLAIMS, "task_type", "provider", "agent"})
# What is not for the model as it was sent.
_KEPT: Final = frozenset({"model", "messages", "stream", "stream_options", "user", "metadata"})


_MORE: Final = frozenset({"logprobs", "top_logprobs", "audio", "modalities", "web_search_options", "functions"})
_NOTHING: Final = frozenset({b"null", b"false", b"0", b"[]", b'["text"]'})
_CUSTOM: Final = re.compile(rb'"type"\s*:\s*"custom"')


class Claiming(Protocol):
    """What every body of this API may say about whom it speaks for."""

    user: str | None
    metadata: dict[str, object] | None
    dagi_dao_id: str | None
    dagi_user_id: str | None
    dagi_source: str | None
    dagi_session_id: str | None


class StreamOptions(msgspec.Struct):
    """Options of a stream."""

    include_usage: Annotated[bool | None, msgspec.Meta(description="Tell the token counts in a last chunk.")] = None


class ChatBody(msgspec.Struct):
    """The body of POST /v1/chat/completions. Keys that are not listed here, such as `temperature` or `tools`, go to the model."""

    model: Annotated[str, msgspec.Meta(description="`dagi-stack`, which the rules route, or the name of a provider that may be chosen.")]
    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    user: Annotated[str | None, msgspec.Meta(description="A label of yours; for a key that may act for others, whom it speaks for.")] = None
    metadata: Annotated[
        dict[str, object] | None,
        msgspec.Meta(description="dao_id, user_id, source, session_id, task_type, provider, agent; all else is for rules to match on."),
    ] = None
    dagi_dao_id: str | None = None
    dagi_user_id: str | None = None
    dagi_source: str | None = None
    dagi_session_id: str | None = None


_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BODY: Final = msgspec.json.Decoder(ChatBody)


class ChatRequest(msgspec.Struct, frozen=True):
    """A body, read: what we know of it, and everything as it was sent."""

    body: ChatBody
    fields: dict[str, msgspec.Raw]

    @property
    def usage_asked(self) -> bool:
        """Whether a stream is to tell its token counts."""
        options = self.body.stream_options
        return options is not None and options.include_usage is True


def read_chat(data: bytes) -> ChatRequest:
    """Decode the body.

    Raises:
        Invalid: it is no JSON, or something read here is not of its form; names the field.
    """
    return ChatRequest(decoded(_BODY, data), _FIELDS.decode(data))


def decoded(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """A body, or an Invalid that names the field.

    Raises:
        Invalid: it is no JSON, or not of the form.
    """
    try:
        if not data.isascii():
            # What is passed on unread must be a text as well.
            data.decode()
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$")
        missing = re.fullmatch(r"Object missing required field `(\w+)`", sentence)
        field = ".".join(part for part in (path.rstrip("`").lstrip("."), missing[1] if missing else "") if part) or "body"
        raise Invalid(f"{field} is missing." if missing else f"{field}: {sentence}.", field=field) from error
    except RecursionError as error:
        raise Invalid("The JSON is nested too deeply.", field="body") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.", field="body") from error


def to_message(chat: ChatRequest, caller: Caller, callers: Callers, request_id: str) -> Message:
    """The message a body says.

    Raises:
        Invalid: a claim, or something for rules, is not of its form.
        Denied: the caller may not speak for whom it names.
    """
    body = chat.body
    metadata = body.metadata or {}
    sender, person = sender_of(body, caller, callers, request_id)
    turns = turns_of(body.messages, chat.fields["messages"])
    routed = body.model == ROUTED
    return Message(
        id=request_id,
        sender=sender,
        prompt=asked(turns),
        conversation=turns,
        agent=_text(metadata, "agent"),
        task_type=_text(metadata, "task_type"),
        provider=_text(metadata, "provider") if routed else body.model,
        insists=not routed,
        metadata={name: value for name, value in metadata.items() if name not in _READ} if metadata else metadata,
        options=_options(chat, metadata, "" if person is None else "user"),
        streamed=body.stream is True,
        entire=_wants_more(chat),
    )


def sender_of(body: Claiming, caller: Caller, callers: Callers, request_id: str) -> tuple[Sender, str | None]:
    """Who asks, and whom of them `user` has named; None where that is a label that only the caller understands.

    Raises:
        Invalid: a claim is not of its form.
        Denied: the caller may not speak for whom it names.
    """
    person = _person(body.user, caller)
    return callers.sender(caller, _claimed(body, body.metadata or {}, person), request_id), person


def check_ours(name: str) -> None:
    """A key that begins like ours is one of them: a mistake in it must not go to a vendor.

    Raises:
        Invalid: it is not.
    """
    if name.startswith("dagi_") and name not in OURS:
        raise Invalid(f"{name[:40]} is nothing there is.", field=name[:40], allowed=sorted(OURS))


def _person(user: str | None, caller: Caller) -> str | None:
    """Whom `user` names; None where it is a label that only the caller understands."""
    acting = user is not None and caller.key is not None and caller.key.act_as
    return user if acting and user is not None and _PERSON.match(user) else None


def _claimed(body: Claiming, metadata: Mapping[str, object], person: str | None) -> Mapping[str, str]:
    own: dict[str, object] = {
        name: value
        for name, value in (
            ("dao_id", body.dagi_dao_id),
            ("user_id", body.dagi_user_id),
            ("source", body.dagi_source),
            ("session_id", body.dagi_session_id),
        )
        if value is not None
    }
    if person is not None:
        own = {"user_id": person, **{name: metadata[name] for name in ("user_id",) if metadata.get(name) is not None}, **own}
    return claims({**metadata, **own}) if metadata or own else {}


def _text(metadata: Mapping[str, object], name: str) -> str | None:
    value = metadata.get(name) if metadata else None
    if value is not None and (not isinstance(value, str) or not value):
        raise Invalid(f"metadata.{name} must be a text.", field=f"metadata.{name}")
    return value


def _wants_more(chat: ChatRequest) -> bool:
    """Whether text and calls of functions are not all of the answer that was asked for."""
    fields = chat.fields
    if (chat.body.n or 1) > 1 or any(bytes(fields[name]) not in _NOTHING for name in _MORE.intersection(fields)):
        return True
    return "tools" in fields and _CUSTOM.search(fields["tools"]) is not None


def _options(chat: ChatRequest, metadata: Mapping[str, object], person: str) -> msgspec.Raw | None:
    """What goes to the model beside the conversation."""
    fields = chat.fields
    options: dict[str, object] = {}
    for name, value in fields.items():
        if name in _KEPT:
            continue
        if name.startswith("dagi_"):
            check_ours(name)
        else:
            options[name] = value
    if chat.body.user is not None and not person:
        options["user"] = fields["user"]
    if len(fields) > len(options) + 2:
        _add_ours(options, chat, metadata)
    return msgspec.Raw(msgspec.json.encode(options)) if options else None


def _add_ours(options: dict[str, object], chat: ChatRequest, metadata: Mapping[str, object]) -> None:
    wishes = _FIELDS.decode(chat.fields["stream_options"]) if chat.body.stream_options is not None else {}
    wishes.pop("include_usage", None)
    if wishes:
        options["stream_options"] = wishes
    # Vendors take it where answers are to be stored, and refuse it elsewhere.
    others = {name: value for name, value in metadata.items() if name not in _READ}
    if others and chat.fields.get("store") == msgspec.Raw(b"true"):
        options["metadata"] = others
