"""What is said, as calls of the Bot API: messages, and what becomes of a button that was pressed."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from dagi.channels.cutting import utf16
from dagi.channels.incoming import Place, Pressed
from dagi.channels.telegram.markup import Text, texts
from dagi.channels.told import Button, Told
from dagi.ports.inbox import Lane, Parcel

SEND: Final = "sendMessage"
EDIT: Final = "editMessageText"
# https://core.telegram.org/bots/api#answercallbackquery
NOTICE_UNITS: Final = 200
# What a telephone shows of a row of buttons without cutting it short.
_ROW: Final = 30
_MOST_IN_ROW: Final = 4


def parcels(lane: Lane, place: Place, told: Told, message: int = 0) -> list[Parcel]:
    """What is said, as messages: the first one answers the question, the others follow it.

    Args:
        message: one that shows the beginning of it already, and becomes the first; 0 for none.
    """
    shown = texts(told.markdown) or [Text("…")]
    last = len(shown) - 1
    found: list[Parcel] = []
    for index, text in enumerate(shown):
        parameters = body_of(place, first=index == 0, buttons=told.buttons if index == last else ())
        edited = message if index == 0 else 0
        if edited:
            parameters["message_id"] = edited
        body, plain = encoded(parameters, text)
        found.append(Parcel(lane=lane, method=EDIT if edited else SEND, body=body, plain=plain, request_id=told.request_id))
    return found


def pressed_parcels(lane: Lane, pressed: Pressed, told: Told, message: int = 0, *, late: bool = False) -> list[Parcel]:
    """What is said to somebody who pressed a button, which goes on turning until its press is answered.

    Args:
        message: as for `parcels`.
        late: the press shows no notice any more. A group sees of what it would have held why nothing came of the press, and nothing else.
    """
    # What was shown to all already must not stay as it is.
    aloud = not told.notice or bool(message) or (late and (pressed.place.private or told.keep))
    query: dict[str, object] = {"callback_query_id": pressed.query}
    if not aloud:
        text = "".join(text.text for text in texts(told.markdown)[:1])
        query["text"] = _short(text)
    # What a button belonged to is done with where it was no notice that came of it.
    keyboard = None if told.keep or told.notice else []
    if told.notice and told.buttons:
        keyboard = _changed(pressed.buttons, told.buttons)
    found = [Parcel(lane=lane, method="answerCallbackQuery", body=msgspec.json.encode(query), optional=True)]
    if keyboard is not None:
        edit: dict[str, object] = {"message_id": pressed.message}
        if keyboard:
            edit["reply_markup"] = {"inline_keyboard": keyboard}
        found.append(Parcel(lane=lane, method="editMessageReplyMarkup", body=msgspec.json.encode(edit), optional=True))
    if not aloud:
        return found
    said = msgspec.structs.replace(told, buttons=()) if told.notice else told
    return [*found, *parcels(lane, pressed.place, said, message)]


def encoded(body: Mapping[str, object], text: Text) -> tuple[bytes, bytes]:
    """The parameters with the text; and without what the server could refuse as markup, empty where there is nothing like it."""
    whole = {"text": text.text, "link_preview_options": {"is_disabled": True}, **body}
    if not text.entities:
        return msgspec.json.encode(whole), b""
    return msgspec.json.encode({**whole, "entities": text.entities}), msgspec.json.encode(whole)


def body_of(place: Place, *, first: bool, buttons: Sequence[Button] = ()) -> dict[str, object]:
    """Where a message goes, what it answers and what stands below it."""
    # The chat's id is the sender's business: a group may get another one meanwhile.
    body: dict[str, object] = {}
    if place.topic:
        body["message_thread_id"] = place.topic
    if first and place.reply_to and not place.private:
        body["reply_parameters"] = {"message_id": place.reply_to, "allow_sending_without_reply": True}
    if buttons:
        body["reply_markup"] = {"inline_keyboard": [_row(row) for row in _rows(buttons)]}
    return body


def _changed(present: Sequence[Sequence[Button]], new: Sequence[Button]) -> list[object]:
    """The keyboard with other labels for buttons that carry the same; the new ones alone where the present ones are not told."""
    labels = {button.data: button for button in new}
    if not any(button.data in labels for row in present for button in row):
        return [_row(row) for row in _rows(new)]
    return [_row([labels.get(button.data, button) for button in row]) for row in present]


def _rows(buttons: Sequence[Button]) -> list[list[Button]]:
    rows: list[list[Button]] = []
    for button in buttons:
        row = rows[-1] if rows else []
        if row and len(row) < _MOST_IN_ROW and sum(len(one.label) + 2 for one in row) + len(button.label) <= _ROW:
            row.append(button)
        else:
            rows.append([button])
    return rows


def _row(buttons: Sequence[Button]) -> list[dict[str, str]]:
    return [{"text": button.label, "callback_data": button.data} for button in buttons]


def _short(text: str) -> str:
    if utf16(text) <= NOTICE_UNITS:
        return text
    while utf16(text) > NOTICE_UNITS - 1:
        text = text[: NOTICE_UNITS - 1 if len(text) >= NOTICE_UNITS else -1]
    return text + "…"
