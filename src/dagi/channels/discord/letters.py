"""What is owed for an interaction, as it waits in the outbox."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dagi.catalogue import say
from dagi.channels.discord.interactions import Interaction
from dagi.channels.discord.markup import contents
from dagi.channels.discord.messages import Plain
from dagi.channels.discord.reading import CHOSEN, PICK, is_ephemeral, with_others
from dagi.channels.sentences import language
from dagi.channels.told import Button, Told
from dagi.ports.inbox import Parcel, Update

# The promised answer, and what follows it.
EDIT: Final = "edit_original"
FOLLOW: Final = "follow_up"
# What answers plain words, which have no place of their own.
SAY: Final = "message"
# A token is good for 15 minutes (https://docs.discord.com/developers/interactions/receiving-and-responding); the last is left for the way.
TOKEN: Final = timedelta(minutes=14)
EPHEMERAL: Final = 1 << 6
# Nobody is called by what a model says.
QUIET: Final = {"parse": ()}
_ROW: Final = 1
_BUTTON: Final = 2
_GREY: Final = 2
# https://docs.discord.com/developers/components/reference#button
_IN_ROW: Final = 5
_MOST_ROWS: Final = 5
_LABEL: Final = 80
# https://docs.discord.com/developers/components/reference#string-select
_SELECT: Final = 3
_MOST_OPTIONS: Final = 25
_LONG_LABEL: Final = 100
_MENU_FROM: Final = 2


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One message.

    Attributes:
        interaction: its id; of plain words that of the message.
        until: the token is good so long.
        token: with which it is answered; empty for plain words.
        channel: where it is said without a token, or when it is good no more.
        places: the ids of where it was asked, the channel first, a server last.
        person: Discord's id of whoever asked.
        private: for their eyes alone, where others read along.
        message: as Discord takes it.
        ephemeral: the promised answer is seen by them alone, and so has to be whatever follows it or stands in its place.
    """

    interaction: str
    until: datetime
    token: str
    channel: str
    places: tuple[str, ...] = ()
    person: str
    private: bool
    message: msgspec.Raw
    ephemeral: bool = False


def letters(update: Update, interaction: Interaction, told: Told) -> list[Parcel]:
    """What is said, as messages: the first one is the promised answer, the others follow it.

    Args:
        update: what brought the interaction.
    """
    tongue = language(interaction.locale)
    shown = contents(told.markdown) or [say(tongue, "channel.no_words")]
    last, buttons = len(shown) - 1, _buttons(told)
    return [
        _parcel(update, interaction, told.request_id, _message(content, buttons if index == last else ()), first=index == 0)
        for index, content in enumerate(shown)
    ]


def replies(update: Update, plain: Plain, told: Told) -> list[Parcel]:
    """What is said to plain words, as messages in their channel: the first one replies to them."""
    shown = contents(told.markdown) or [say(language("", plain.content), "channel.no_words")]
    found: list[Parcel] = []
    for index, content in enumerate(shown):
        message = _message(content, _buttons(told) if index == len(shown) - 1 else ())
        if not index and plain.guild_id:
            message["message_reference"] = {"message_id": plain.id, "fail_if_not_exists": False}
        letter = Letter(
            interaction=plain.id,
            until=update.received_at,
            token="",
            channel=plain.channel_id,
            places=plain.places,
            person=plain.author,
            private=False,
            message=msgspec.Raw(msgspec.json.encode(message)),
        )
        sorry = _sorry(language("", plain.content), told.request_id or plain.id) if not index else b""
        found.append(Parcel(lane=update.lane, method=SAY, body=msgspec.json.encode(letter), plain=sorry, request_id=told.request_id))
    return found


def _parcel(update: Update, interaction: Interaction, request_id: str, message: dict[str, object], *, first: bool) -> Parcel:
    ephemeral = is_ephemeral(interaction)
    letter = Letter(
        interaction=interaction.id,
        until=update.received_at + TOKEN,
        token=interaction.token,
        channel=interaction.place,
        places=tuple(one for one in (*interaction.places, interaction.guild_id) if one),
        person=interaction.person,
        private=ephemeral and with_others(interaction),
        message=msgspec.Raw(msgspec.json.encode(message)),
        ephemeral=ephemeral,
    )
    return Parcel(
        lane=update.lane,
        method=EDIT if first else FOLLOW,
        body=msgspec.json.encode(letter),
        plain=_sorry(language(interaction.locale), request_id or interaction.id) if first else b"",
        request_id=request_id,
    )


def _sorry(tongue: str, request_id: str) -> bytes:
    """What is said where Discord takes the answer in no form, such as one that a server's moderation bars: nobody is left waiting."""
    return msgspec.json.encode({"content": say(tongue, "channel.internal", request_id=request_id), "allowed_mentions": QUIET})


def _buttons(told: Told) -> Sequence[Button]:
    # Those of a notice stand below the message whose button was pressed. Here that one is everybody's, and stays as it is.
    return () if told.notice else told.buttons


def letter_of(body: bytes) -> Letter | None:
    """The letter of a parcel; None where it is none."""
    try:
        return msgspec.json.decode(body, type=Letter)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _message(content: str, buttons: Sequence[Button]) -> dict[str, object]:
    message: dict[str, object] = {"content": content, "allowed_mentions": QUIET}
    if len(buttons) >= _MENU_FROM and all(button.data.startswith(CHOSEN) for button in buttons):
        message["components"] = [_menu(buttons)]
    elif buttons:
        message["components"] = _rows(buttons)
    return message


def _menu(buttons: Sequence[Button]) -> dict[str, object]:
    """Things to choose from, as a menu: several wide buttons would be a wall."""
    options = [{"label": _label(button, _LONG_LABEL), "value": button.data} for button in buttons[:_MOST_OPTIONS]]
    return {"type": _ROW, "components": [{"type": _SELECT, "custom_id": PICK, "options": options}]}


def _label(button: Button, most: int) -> str:
    return button.label.strip()[:most] or "…"


def _rows(buttons: Sequence[Button]) -> list[dict[str, object]]:
    shown = [{"type": _BUTTON, "style": _GREY, "label": _label(button, _LABEL), "custom_id": button.data} for button in buttons]
    found: list[dict[str, object]] = [{"type": _ROW, "components": shown[at : at + _IN_ROW]} for at in range(0, len(shown), _IN_ROW)]
    return found[:_MOST_ROWS]
