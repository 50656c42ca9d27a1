"""Who said what to us: an update of Telegram, read. Groups speak to us only where they address us."""

import re
from typing import Final

import msgspec

from dagi.channels.incoming import Heard, Ignored, Incoming, Moved, Place, Pressed
from dagi.channels.telegram.updates import CallbackQuery, ChatMemberUpdated, Entity, File, Markup, TelegramMessage, Update, User
from dagi.channels.told import Button
from dagi.message import Attachment

# Whoever speaks as the group itself (https://core.telegram.org/bots/api#message, sender_chat). Nobody can tell who it is.
ANONYMOUS_ADMIN: Final = 1087968824
# The account "Telegram", in whose name posts of a linked channel arrive in the group.
TELEGRAM: Final = 777000
_PUT_OUT: Final = frozenset({"left", "kicked"})
_PRIVATE: Final = "private"
_OTHER_MEDIA: Final = ("voice", "audio", "video", "video_note", "animation", "sticker", "document")
_NO_MEDIA: Final = ("checklist", "contact", "dice", "game", "location", "paid_media", "poll", "story", "venue")
# As https://core.telegram.org/bots/features#commands has them.
_COMMAND: Final = re.compile(r"/([A-Za-z0-9_]{1,64})(?:@([A-Za-z0-9_]{1,64}))?\Z")


class Self(msgspec.Struct, frozen=True):
    """Who we are, as getMe tells it."""

    id: int
    username: str


def unread(chat: str) -> Heard:
    """What an update means of which nothing but its chat can be read: in a private chat, that its person wrote something."""
    if not chat.isdecimal() or chat == "0":
        return Ignored("an update that cannot be read")
    return Incoming(place=Place(chat=chat, private=True), user_id=f"tg:{chat}", unreadable="other")


def read(update: Update, me: Self, *, mention_only: bool) -> Heard:
    """What an update means to us.

    Args:
        mention_only: in groups, hear those alone who address us.
    """
    if update.callback_query is not None:
        return _pressed(update.callback_query)
    if update.my_chat_member is not None:
        return _membership(update.my_chat_member)
    message = update.message or update.edited_message
    if message is None:
        return Ignored("an update of a kind that is not asked for")
    if message.migrate_to_chat_id:
        return Moved(chat=str(message.chat.id), to=str(message.migrate_to_chat_id))
    if message.migrate_from_chat_id:
        # The first there is in the new chat: what is said there after it knows where it belongs.
        return Moved(chat=str(message.migrate_from_chat_id), to=str(message.chat.id))
    why = _not_a_person(message)
    if why:
        return Ignored(why)
    return _said(message, me, mention_only=mention_only, edited=update.edited_message is not None)


def _pressed(query: CallbackQuery) -> Heard:
    message = query.message
    if message is None:
        return Ignored("a button under a message that is not there")
    place = _place(message)
    return Pressed(
        place=place,
        user_id=f"tg:{query.sender.id}",
        query=query.id,
        data=query.data,
        message=message.message_id,
        language=query.sender.language_code,
        buttons=() if message.reply_markup is None else _buttons(message.reply_markup),
    )


def _buttons(markup: Markup) -> tuple[tuple[Button, ...], ...]:
    return tuple(tuple(Button(one.text, one.callback_data) for one in row) for row in markup.inline_keyboard)


def _membership(change: ChatMemberUpdated) -> Heard:
    if change.new_chat_member.status in _PUT_OUT:
        return Moved(chat=str(change.chat.id))
    return Ignored("the bot's own place in a chat")


def _not_a_person(message: TelegramMessage) -> str:
    if message.is_automatic_forward:
        return "a post of the linked channel"
    if message.sender is None:
        return "nobody's message"
    if message.sender.id == TELEGRAM or (message.sender.is_bot and message.sender.id != ANONYMOUS_ADMIN):
        return "a bot's message"
    return ""


def _said(message: TelegramMessage, me: Self, *, mention_only: bool, edited: bool) -> Heard:
    text = message.text or message.caption
    entities = message.entities or message.caption_entities
    private = message.chat.type == _PRIVATE
    spoken = _Spoken(text, entities)
    command, addressee = spoken.command()
    if addressee and addressee.lower() != me.username.lower():
        return Ignored("a command for another bot")
    named = spoken.mentions(me)
    if not private and mention_only and not (command or named or _answers(message, me)):
        return Ignored("not addressed to the bot")
    attachments = _attachments(message)
    words = spoken.words(me, named=named)
    unreadable = "" if words or command else _kind(message)
    if edited and unreadable:
        # They heard of it the first time; a location that is shared live changes every few seconds.
        return Ignored("an edit of what holds no words")
    if not words and not command and not unreadable and not attachments and not named:
        return Ignored("a message without words")
    return Incoming(
        place=_place(message),
        user_id=_user_id(message.sender, message),
        language=message.sender.language_code if message.sender is not None else "",
        command=command,
        text=words,
        edited=edited,
        unreadable=unreadable,
        attachments=attachments,
    )


def _user_id(sender: User | None, message: TelegramMessage) -> str:
    # A person who speaks as a group or a channel proves nothing about who they are.
    if sender is None or sender.is_bot or message.sender_chat is not None:
        return ""
    return f"tg:{sender.id}"


def _place(message: TelegramMessage) -> Place:
    # message_thread_id is set on answers outside forums, too.
    topic = message.message_thread_id if message.is_topic_message else 0
    return Place(chat=str(message.chat.id), topic=topic, reply_to=message.message_id, private=message.chat.type == _PRIVATE)


def _answers(message: TelegramMessage, me: Self) -> bool:
    """Whether it answers a message of ours. In a forum every plain message hangs below the topic's first one, which may be ours."""
    answered = message.reply_to_message
    if answered is None or answered.sender is None or answered.forum_topic_created is not None:
        return False
    return answered.sender.id == me.id


def _attachments(message: TelegramMessage) -> tuple[Attachment, ...]:
    found: list[tuple[str, File]] = []
    if message.photo:
        # The same picture in several sizes, the largest last.
        found.append(("image/jpeg", message.photo[-1]))
    for name in _OTHER_MEDIA:
        file = getattr(message, name)
        if file is not None:
            found.append((file.mime_type or "application/octet-stream", file))
    return tuple(
        Attachment(media_type=media_type, name=file.file_name, size_bytes=file.file_size, ref=file.file_id) for media_type, file in found
    )


def _kind(message: TelegramMessage) -> str:
    if message.photo:
        return "photo"
    media = next((name for name in _OTHER_MEDIA if getattr(message, name) is not None), "")
    return media or ("other" if any(getattr(message, name) is not None for name in _NO_MEDIA) else "")


class _Spoken:
    """A text with its entities, whose places count UTF-16 code units. An entity that does not lie within the text is none."""

    def __init__(self, text: str, entities: tuple[Entity, ...]) -> None:
        self._units = text.encode("utf-16-le", "surrogatepass")
        self._entities = [one for one in entities if self._holds(one)]
        first = next((one for one in self._entities if one.type == "bot_command" and one.offset == 0), None)
        self._command = None if first is None else _COMMAND.match(self._at(first))
        self._command_units = first.length if first is not None and self._command is not None else 0

    def command(self) -> tuple[str, str]:
        """The command the text begins with, in lower case, and the bot it names; both empty without one."""
        return ("", "") if self._command is None else (self._command[1].lower(), self._command[2] or "")

    def mentions(self, me: Self) -> bool:
        """Whether we are named anywhere in it."""
        return any(self._is_me(one, me) for one in self._entities)

    def words(self, me: Self, *, named: bool) -> str:
        """The text without the command it begins with, and without our name where it is the first or last word."""
        units, start, end = self._units, self._command_units * 2, len(self._units)
        cut = [one for one in self._entities if named and self._is_me(one, me)]
        for one in sorted(cut, key=lambda one: one.offset):
            if not _text(units[start : one.offset * 2]).strip():
                start = max(start, (one.offset + one.length) * 2)
        for one in sorted(cut, key=lambda one: -one.offset):
            if one.offset * 2 >= start and not _text(units[(one.offset + one.length) * 2 : end]).strip():
                end = one.offset * 2
        words = _text(units[start:end]).strip()
        return words.lstrip(",:").strip() if start else words

    def _is_me(self, one: Entity, me: Self) -> bool:
        if one.type == "text_mention":
            return one.user is not None and one.user.id == me.id
        return one.type == "mention" and self._at(one).removeprefix("@").lower() == me.username.lower()

    def _holds(self, one: Entity) -> bool:
        whole = len(self._units) // 2
        within = 0 <= one.offset < whole and 0 < one.length <= whole - one.offset
        return within and not self._splits(one.offset) and not self._splits(one.offset + one.length)

    def _splits(self, place: int) -> bool:
        """Whether it is in the middle of a character of two units."""
        return 0xDC <= (self._units[place * 2 + 1 : place * 2 + 2] or b"\0")[0] <= 0xDF

    def _at(self, one: Entity) -> str:
        return _text(self._units[one.offset * 2 : (one.offset + one.length) * 2])


def _text(units: bytes) -> str:
    return units.decode("utf-16-le", "replace")
