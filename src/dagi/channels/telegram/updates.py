"""Telegram's updates, as far as we use them (https://core.telegram.org/bots/api#update, Bot API 10).

Lenient on purpose: a field we do not know is skipped, one that is missing has a default, and an update of which not even that can be read
is known by its number and its chat alone. A server that is newer or older than this file must never make an update fail.
"""

from typing import Annotated, Final

import msgspec

# Numbers of Telegram's, which has them below 2^52: one that no database could hold is none.
Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """See https://core.telegram.org/bots/api#user."""

    id: Id
    is_bot: bool = False
    first_name: str = ""
    username: str = ""
    language_code: str = ""


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """See https://core.telegram.org/bots/api#chat; `type` is private, group, supergroup or channel."""

    id: Id
    type: str = ""
    title: str = ""
    is_forum: bool = False


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """See https://core.telegram.org/bots/api#messageentity; offset and length in UTF-16 code units."""

    type: str = ""
    offset: int = 0
    length: int = 0
    user: User | None = None


class File(msgspec.Struct, frozen=True, kw_only=True):
    """What all kinds of files have in common."""

    file_id: str = ""
    file_name: str = ""
    mime_type: str = ""
    file_size: int = 0


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A service message about a forum's topic; that it is there is all we read."""


class MarkupButton(msgspec.Struct, frozen=True, kw_only=True):
    """See https://core.telegram.org/bots/api#inlinekeyboardbutton; ours all have `callback_data`."""

    text: str = ""
    callback_data: str = ""


class Markup(msgspec.Struct, frozen=True, kw_only=True):
    """See https://core.telegram.org/bots/api#inlinekeyboardmarkup."""

    inline_keyboard: tuple[tuple[MarkupButton, ...], ...] = ()


class TelegramMessage(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """See https://core.telegram.org/bots/api#message."""

    message_id: Id
    chat: Chat
    date: int = 0
    sender: User | None = None
    sender_chat: Chat | None = None
    message_thread_id: Id = 0
    is_topic_message: bool = False
    is_automatic_forward: bool = False
    via_bot: User | None = None
    text: str = ""
    caption: str = ""
    entities: tuple[Entity, ...] = ()
    caption_entities: tuple[Entity, ...] = ()
    reply_to_message: "TelegramMessage | None" = None
    forum_topic_created: Created | None = None
    reply_markup: Markup | None = None
    migrate_to_chat_id: Id = 0
    migrate_from_chat_id: Id = 0
    photo: tuple[File, ...] = ()
    document: File | None = None
    voice: File | None = None
    audio: File | None = None
    video: File | None = None
    video_note: File | None = None
    animation: File | None = None
    sticker: File | None = None
    # Of these, that they are there is all we read.
    checklist: object = None
    contact: object = None
    dice: object = None
    game: object = None
    location: object = None
    paid_media: object = None
    poll: object = None
    story: object = None
    venue: object = None


class CallbackQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """See https://core.telegram.org/bots/api#callbackquery: somebody pressed a button. `message` may be one that can no longer be read."""

    id: str
    sender: User
    message: TelegramMessage | None = None
    data: str = ""


class ChatMember(msgspec.Struct, frozen=True, kw_only=True):
    """See https://core.telegram.org/bots/api#chatmember; `status` is member, administrator, restricted, left, kicked or creator."""

    status: str = ""


class ChatMemberUpdated(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """See https://core.telegram.org/bots/api#chatmemberupdated: the bot itself was let in or put out."""

    chat: Chat
    sender: User | None = None
    new_chat_member: ChatMember = ChatMember()


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """See https://core.telegram.org/bots/api#update; exactly one of the others is there, or none that we know."""

    update_id: int
    message: TelegramMessage | None = None
    edited_message: TelegramMessage | None = None
    channel_post: TelegramMessage | None = None
    callback_query: CallbackQuery | None = None
    my_chat_member: ChatMemberUpdated | None = None


# Whatever is wrong with a body; nested deeper than Python's stack is one of it.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Numbered(msgspec.Struct, frozen=True):
    update_id: Id


class _Named(msgspec.Struct, frozen=True):
    id: Id = 0


class _Placed(msgspec.Struct, frozen=True, rename={"sender": "from"}):
    chat: _Named | None = None
    sender: _Named | None = None


class _Query(msgspec.Struct, frozen=True, rename={"sender": "from"}):
    sender: _Named | None = None
    message: _Placed | None = None


class _Anywhere(msgspec.Struct, frozen=True):
    message: _Placed | None = None
    edited_message: _Placed | None = None
    channel_post: _Placed | None = None
    callback_query: _Query | None = None
    my_chat_member: _Placed | None = None


# What we ask Telegram for. Reactions and changes of other members are not among what it sends by itself.
ALLOWED: Final = ("message", "edited_message", "callback_query", "my_chat_member")


def number_of(body: bytes) -> int:
    """The update's number.

    Raises:
        ValueError: this is no update: not JSON, not an object, or without a number.
    """
    try:
        number = msgspec.json.decode(body, type=_Numbered).update_id
    except _UNREADABLE:
        number = -1
    if number < 0:
        raise ValueError("the body is no update of the Bot API: a JSON object with update_id")
    return number


def chat_of(body: bytes) -> int:
    """The chat an update belongs to, whose updates are handled one after another; 0 where it belongs to none that we can read."""
    try:
        found = msgspec.json.decode(body, type=_Anywhere)
    except _UNREADABLE:
        return 0
    query = found.callback_query
    placed = (found.message, found.edited_message, found.channel_post, None if query is None else query.message, found.my_chat_member)
    chat = next((one.chat.id for one in placed if one is not None and one.chat is not None), 0)
    return chat or (query.sender.id if query is not None and query.sender is not None else 0)


def person_of(body: bytes) -> int:
    """Who said it or pressed the button, or wrote what was changed; 0 for nobody whom we can read."""
    try:
        found = msgspec.json.decode(body, type=_Anywhere)
    except _UNREADABLE:
        return 0
    known = (found.message, found.edited_message, found.callback_query, found.my_chat_member)
    return next((one.sender.id for one in known if one is not None and one.sender is not None), 0)


def update_of(body: bytes) -> Update | None:
    """The update; None where what it holds is not what we know."""
    try:
        return msgspec.json.decode(body, type=Update)
    except _UNREADABLE:
        return None
