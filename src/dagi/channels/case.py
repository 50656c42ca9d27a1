"""What was said, and where that belongs to."""

import msgspec

from dagi.channels.incoming import Incoming
from dagi.message import Message, Sender, Source

# As long as a request's id may be.
_ID = 64


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, and where that belongs to.

    Attributes:
        dao_id: of the chat's or the bot's binding, never out of what was said.
        request_id: of whatever comes of it; the same at every attempt.
        session_id: the conversation it belongs to.
        ids: what the request ids of this bot begin with, before the platform's number of an update: that number alone fits onto a button.
            Empty where answers cannot be named so; they get no thumbs then.
    """

    said: Incoming
    dao_id: str
    source: Source
    request_id: str
    session_id: str
    ids: str = ""

    @property
    def number(self) -> str:
        """What tells this request apart from the bot's others; empty where `ids` does not lead to it."""
        number = self.request_id.removeprefix(self.ids) if self.ids and self.request_id.startswith(self.ids) else ""
        return number if number.isdecimal() and number.isascii() else ""

    def request_of(self, number: str) -> str:
        """The id of the request of that number; empty where it is no number."""
        return f"{self.ids}{number}" if self.ids and number.isdecimal() and number.isascii() else ""

    def message(self, *, streamed: bool = False) -> Message:
        """What the router is asked."""
        sender = Sender(dao_id=self.dao_id, user_id=self.said.user_id, source=self.source, session_id=self.session_id)
        return Message(id=self.request_id[:_ID], sender=sender, prompt=self.said.text, attachments=self.said.attachments, streamed=streamed)
