"""When an answer may be given again, to which question, and what of it is kept. Pure."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from dagi.catalogue.words import composed
from dagi.message import Grant, Message
from dagi.ports.target import Data, Delta, End, Event, Other, ToolCall

_OVERHEAD: Final = 512
_INSTRUCTIONS: Final = frozenset({"user", "system", "developer"})
_encoder: Final = msgspec.json.Encoder(order="sorted")


class Kept(msgspec.Struct, frozen=True):
    """An answer as it is given again, and the bytes it takes."""

    events: tuple[Event, ...]
    size: int


def reusable(message: Message) -> bool:
    """Whether the question is one that others may ask in the same words and mean the same.

    A conversation is not, neither the caller's own nor the session's history or the summary of it; nor is anything but a chat, or what
    comes with files, or an answer of which more than its text is wanted.
    """
    return (
        message.reuse_s is not None
        and message.mode == "chat"
        and bool(message.prompt.strip())
        and not message.earlier
        and not message.context.history
        and not message.context.summary
        and not message.attachments
        and not message.entire
        and (not message.conversation or _single(message))
    )


def _single(message: Message) -> bool:
    """Whether it is one question, with instructions at most."""
    roles = [turn.role for turn in message.conversation]
    return roles.count("user") == 1 and _INSTRUCTIONS.issuperset(roles)


def key_of(message: Message, grant: Grant, identity: bytes) -> bytes | None:
    """What must be equal for an answer to be given again: the DAO, the entitlements, the providers as they are configured, the model's
    parameters, and all that the model is told. None where the caller's parameters are no JSON.

    Args:
        identity: of the chain: the names of its providers and their configuration.
    """
    context = message.context
    try:
        told = (
            grant.dao_id,
            sorted(grant.entitlements),
            None if message.options is None else msgspec.json.decode(message.options),
            context.dao_name,
            None if context.facts is None else [(fact.source, fact.title, fact.text) for fact in context.facts],
            context.roles,
            None if context.proposals is None else [(fact.title, fact.text) for fact in context.proposals],
            normalised(message.prompt),
            [(turn.role, turn.text if turn.raw is None else turn.raw) for turn in message.conversation],
        )
        return blake2b(_encoder.encode(told), digest_size=32, key=identity).digest()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def normalised(prompt: str) -> str:
    """The prompt without differences nobody means: Unicode NFC, no spaces around, one space for several. Case is kept, for it can matter.

    Where there are several lines the spaces that begin one are kept too: they are the meaning of some programs and lists.
    """
    lines = composed(prompt).strip().splitlines()
    return "\n".join(line[: len(line) - len(line.lstrip())] + " ".join(line.split()) for line in lines)


def kept(events: Sequence[Event], message: Message, first: str) -> Kept | None:
    """What to keep of a finished answer; None where it is not to be given again.

    Only a complete answer (`stop`) of the chain's first provider is: what stands in for it must not outlive its trouble. Answers with
    structured results are kept only where these were part of the question; others have read something the question does not tell of.
    """
    end = events[-1] if events else None
    if not isinstance(end, End) or end.finish_reason != "stop" or end.provider != first:
        return None
    content: list[Event] = []
    texts: list[str] = []
    size = _OVERHEAD
    for event in events:
        match event:
            case Delta(text):
                texts.append(text)
                size += len(text.encode("utf-8", "surrogatepass"))
            case Data(values) if message.context.facts is not None:
                content.append(event)
                size += len(msgspec.json.encode(values, enc_hook=str))
            case Data() | ToolCall() | Other():
                return None
            case _:
                # How the model came to its answer, and what it cost, is not the answer.
                pass
    ending = End(provider=end.provider, model=end.model, cached=True)
    return Kept((Delta("".join(texts)), *content, ending), size) if texts else None
