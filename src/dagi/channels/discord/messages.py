"""What people say to the bot in plain words, outside of interactions: as it lies in the inbox."""

from typing import Literal

import msgspec

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Plain(msgspec.Struct, frozen=True, kw_only=True):
    """A message that mentions the bot, answers one of its own, or was written to it in private.

    Attributes:
        type: tells it from an interaction, whose type is a number.
        guild_id: of the server; empty in private.
        author: who wrote it, a person.
        content: the words without the bot's name.
        files: how many pictures and other files came with it.
    """

    type: Literal["message"] = "message"
    id: str
    channel_id: str
    guild_id: str = ""
    author: str = ""
    content: str = ""
    files: int = 0

    @property
    def places(self) -> tuple[str, ...]:
        """The ids of the channel and, where it is on one, of the server."""
        return (self.channel_id, self.guild_id) if self.guild_id else (self.channel_id,)


def plain_of(body: bytes) -> Plain | None:
    """The message; None where the body is something else, such as an interaction."""
    try:
        return msgspec.json.decode(body, type=Plain)
    except _UNREADABLE:
        return None
