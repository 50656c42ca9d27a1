"""Discord's interactions, as far as we use them (https://docs.discord.com/developers/interactions/receiving-and-responding).

Lenient on purpose, as `telegram.updates` is: what we do not know is skipped, what is missing has a default, and an interaction of which no
more can be read is known by its id, type and token.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LARGEST: Final = 2**63 - 1
_DIGITS: Final = 20
# How deep components lie within one another: a label or a row, and what stands in it.
_DEEPEST: Final = 4


# Where it happened (https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-object-interaction-context-types):
# in private messages with the bot itself, rather than in a server or among people.
_WITH_BOT: Final = 1


class Type(IntEnum):
    """What happened."""

    PING = 1
    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL = 5


# What can be answered whatever else it holds: with the same as ever, with nothing to choose from.
_WITHOUT_MORE: Final = frozenset({Type.PING, Type.AUTOCOMPLETE})


class User(msgspec.Struct, frozen=True, kw_only=True):
    """See https://docs.discord.com/developers/resources/user#user-object."""

    id: str = ""
    bot: bool = False


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A user within a server."""

    user: User = User()


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody gave a command, or is typing just now (`focused`)."""

    name: str = ""
    value: str | int | float | bool = ""
    focused: bool = False


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """An input of a modal, or what holds one."""

    custom_id: str = ""
    value: str = ""
    component: "Component | None" = None
    components: "tuple[Component, ...]" = ()

    def inputs(self, depth: int = 0) -> Iterator["Component"]:
        """The inputs within it, and it itself."""
        if depth < _DEEPEST:
            yield self
            for one in (*self.components, *(() if self.component is None else (self.component,))):
                yield from one.inputs(depth + 1)


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Of a command, a component or a modal. `type` is that of the command: 1 is one with a slash."""

    name: str = ""
    type: int = 1
    options: tuple[Option, ...] = ()
    custom_id: str = ""
    values: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What has an id."""

    id: str = ""


class Channel(Named, frozen=True, kw_only=True):
    """A channel; of a thread `parent_id` is the one it belongs to."""

    parent_id: str | None = None


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """One interaction. `locale` is what the person's application is set to; a person's token is good for 15 minutes."""

    id: str
    type: int
    token: str = ""
    guild_id: str = ""
    context: int | None = None
    channel_id: str = ""
    channel: Channel = Channel()
    data: Data = Data()
    member: Member | None = None
    user: User | None = None
    message: Named | None = None
    locale: str = ""

    @property
    def person(self) -> str:
        """Discord's id of whoever did it; empty for nobody."""
        user = self.member.user if self.member is not None else self.user
        return snowflake(user.id) if user is not None and not user.bot else ""

    @property
    def with_bot_alone(self) -> bool:
        """Whether it happened in private messages with the bot, where nobody else reads along."""
        return not self.guild_id and self.context in {None, _WITH_BOT}

    @property
    def place(self) -> str:
        """The id of the channel."""
        return snowflake(self.channel_id or self.channel.id)

    @property
    def places(self) -> tuple[str, ...]:
        """The ids of the channel, and of the one its thread belongs to."""
        return tuple(one for one in (self.place, snowflake(self.channel.parent_id or "")) if one)


class _Bare(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: int
    token: object = ""
    locale: object = ""


def snowflake(text: str) -> str:
    """An id of Discord, which is digits alone (https://docs.discord.com/developers/reference#snowflakes); empty where it is none."""
    return text if text.isascii() and text.isdigit() and len(text) <= _DIGITS else ""


def interaction_of(body: bytes) -> Interaction:
    """The interaction.

    Raises:
        ValueError: it is none.
    """
    try:
        found = msgspec.json.decode(body, type=Interaction)
    except _UNREADABLE:
        found = _bare(body)
    if not (snowflake(found.id) and int(found.id) <= _LARGEST):
        raise ValueError(_NONE)
    return found


_NONE: Final = "the body is no interaction: a JSON object with id and type"


def _bare(body: bytes) -> Interaction:
    try:
        known = msgspec.json.decode(body, type=_Bare)
    except _UNREADABLE:
        raise ValueError(_NONE) from None
    # Of an unknown type, whatever it calls itself: what it holds cannot be read.
    kind = known.type if known.type in _WITHOUT_MORE else 0
    return Interaction(id=known.id, type=kind, token=_text(known.token), locale=_text(known.locale))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
