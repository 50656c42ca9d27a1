"""What a caller's metadata says, as rules see it."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from dagi.message import Grant, Message
from dagi.rules.rule import Condition

# What a request's metadata says about the sender and the payload is taken out of it before rules see it.
NEVER_METADATA: Final[Mapping[str, str]] = {
    "dao_id": "use the condition dao_id",
    "source": "use the condition source",
    "user_id": "use the condition role or entitlement",
    "session_id": "no rule can ask for a session",
    "params": "use the condition mode, or metadata.tool",
    "inputs": "use the condition mode, or metadata.workflow",
}


# Keys that have a place of their own in the message.
TYPED: Final = frozenset({"provider", "task_type", "agent", "tool", "workflow"})


def said(message: Message, name: str) -> object:
    """A key of the request's metadata, the typed ones included."""
    return getattr(message, name) if name in TYPED else message.metadata.get(name)


def has(name: str, message: Message, _grant: Grant) -> bool:
    """Whether the metadata has the key."""
    return said(message, name) is not None


def metadata_is(name: str, wanted: object) -> Condition:
    """The condition that the metadata's key has the value, or one of a list."""
    options = list(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]

    def test(message: Message, _grant: Grant) -> bool:
        value = said(message, name)
        # JSON's true is not its 1, though Python's is.
        return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in options)

    return Condition(
        key=f"metadata.{name}",
        text=f"metadata.{name}: {' | '.join(str(option) for option in options)}",
        test=test,
        wanted=frozenset((isinstance(option, bool), _frozen(option)) for option in options),
    )


def _frozen(value: object) -> Hashable:
    """Hashable, and equal for equal values."""
    match value:
        case Mapping():
            return frozenset((key, _frozen(inner)) for key, inner in value.items())
        case list() | tuple():
            return tuple(_frozen(inner) for inner in value)
        case _:
            return value
