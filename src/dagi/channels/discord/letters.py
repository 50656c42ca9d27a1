"""What is owed for an interaction, as it waits in the outbox."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dagi.channels.discord.interactions import Interaction
from dagi.channels.discord.markup import contents
from dagi.channels.discord.messages import Plain
from dagi.channels.discord.reading import PICK, is_private
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
# What buttons carry that lead somewhere, rather than say something.
_CHOSEN: Final = ("do:", "ask:")


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One message.

    Attributes:
        interaction: its id; of plain words that of the message.
        until: the token is good so long.
        token: with which it is answered; empty for plain words.
        channel: where it is said without a token, or when it is good no more.
        places: the ids of where it was asked, the channel first, a server last.
        person: Discord's id of whoever asked.
        private: for their eyes alone.
        message: as Discord takes it.
    """

    interaction: str
    until: datetime
    token: str
    channel: str
    places: tuple[str, ...] = ()
    person: str
    private: bool
    message: msgspec.Raw


def letters(update: Update, interaction: Interaction, told: Told) -> list[Parcel]:
    """What is said, as messages: the first one is the promised answer, the others follow it.

    Args:
        update: what brought the interaction.
    """
    shown = contents(told.markdown) or ["…"]
    last = len(shown) - 1
    return [
        _parcel(update, interaction, told.request_id, _message(content, told.buttons if index == last else ()), first=index == 0)
        for index, content in enumerate(shown)
    ]


def replies(update: Update, plain: Plain, told: Told) -> list[Parcel]:
    """What is said to plain words, as messages in their channel: the first one replies to them."""
    shown = contents(told.markdown) or ["…"]
    found: list[Parcel] = []
    for index, content in enumerate(shown):
        message = _message(content, told.buttons if index == len(shown) - 1 else ())
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
        found.append(Parcel(lane=update.lane, method=SAY, body=msgspec.json.encode(letter), request_id=told.request_id))
    return found


def _parcel(update: Update, interaction: Interaction, request_id: str, message: dict[str, object], *, first: bool) -> Parcel:
    private = is_private(interaction)
    if private and not first:
        message["flags"] = EPHEMERAL
    letter = Letter(
        interaction=interaction.id,
        until=update.received_at + TOKEN,
        token=interaction.token,
        channel=interaction.place,
        places=tuple(one for one in (*interaction.places, interaction.guild_id) if one),
        person=interaction.person,
        private=private and bool(interaction.guild_id),
        message=msgspec.Raw(msgspec.json.encode(message)),
    )
    return Parcel(lane=update.lane, method=EDIT if first else FOLLOW, body=msgspec.json.encode(letter), request_id=request_id)


def letter_of(body: bytes) -> Letter | None:
    """The letter of a parcel; None where it is none."""
    try:
        return msgspec.json.decode(body, type=Letter)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _message(content: str, buttons: Sequence[Button]) -> dict[str, object]:
    message: dict[str, object] = {"content": content, "allowed_mentions": QUIET}
    if len(buttons) >= _MENU_FROM and all(button.data.startswith(_CHOSEN) for button in buttons):
        message["components"] = [_menu(buttons)]
    elif buttons:
        message["components"] = _rows(buttons)
    return message


def _menu(buttons: Sequence[Button]) -> dict[str, object]:
    """Things to choose from, as a menu: several wide buttons would be a wall."""
    options = [{"label": button.label[:_LONG_LABEL], "value": button.data} for button in buttons[:_MOST_OPTIONS]]
    return {"type": _ROW, "components": [{"type": _SELECT, "custom_id": PICK, "options": options}]}


def _rows(buttons: Sequence[Button]) -> list[dict[str, object]]:
    shown = [{"type": _BUTTON, "style": _GREY, "label": button.label[:_LABEL], "custom_id": button.data} for button in buttons]
    found: list[dict[str, object]] = [{"type": _ROW, "components": shown[at : at + _IN_ROW]} for at in range(0, len(shown), _IN_ROW)]
    return found[:_MOST_ROWS]
