"""What somebody did in a chat, whatever the platform."""

import msgspec

from dagi.channels.told import Button
from dagi.message import Attachment


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer goes.

    Attributes:
        chat: the platform's id of the chat.
        topic: of a forum; 0 outside of one.
        reply_to: the message that is answered; 0 for none.
        private: nobody else reads along.
    """

    chat: str
    topic: int = 0
    reply_to: int = 0
    private: bool = False


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody said something to us.

    Attributes:
        user_id: their identity, such as `tg:12345`; empty for somebody who speaks as a group or channel and so is nobody.
        language: as their application tells it, such as `uk`; empty where it does not.
        command: without its slash, in lower case; empty for plain words.
        text: what was said, without the command and without our own name.
        edited: they changed what they had said before.
        unreadable: what came in place of words: `voice`, `sticker`, …; empty where there are words.
    """

    place: Place
    user_id: str = ""
    language: str = ""
    command: str = ""
    text: str = ""
    edited: bool = False
    unreadable: str = ""
    attachments: tuple[Attachment, ...] = ()


class Pressed(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody pressed a button under one of our messages.

    Attributes:
        query: what has to be acknowledged.
        data: what the button carries.
        message: the message it stands under.
        buttons: all that stand there, row by row.
    """

    place: Place
    user_id: str
    query: str
    data: str
    message: int = 0
    language: str = ""
    buttons: tuple[tuple[Button, ...], ...] = ()


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A group became another chat, or put us out (`to` is empty)."""

    chat: str
    to: str = ""


class Ignored(msgspec.Struct, frozen=True):
    """Not meant for us; `why` is for the log of somebody who wonders."""

    why: str


Heard = Incoming | Pressed | Moved | Ignored
