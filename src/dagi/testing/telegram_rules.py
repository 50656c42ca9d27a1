"""What the Bot API takes and what it refuses: texts, entities, HTML, and how often (https://core.telegram.org/bots/api, …/bots/faq).

Where the real server repairs or drops something in silence, such as entities that overlap, this one refuses it: whoever is tested loses
nothing without hearing of it.
"""

import html
import json
import math
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

_TEXT_UNITS: Final = 4096
_CAPTION_UNITS: Final = 1024
_MOST_ENTITIES: Final = 100
_DATA_BYTES: Final = 64
# These contain each other and are contained, save in code.
_SPLITTABLE: Final = frozenset({"bold", "italic", "underline", "strikethrough", "spoiler"})
_QUOTES: Final = frozenset({"blockquote", "expandable_blockquote"})
_CODE: Final = frozenset({"code", "pre"})
_LINKS: Final = frozenset({"text_link", "text_mention", "custom_emoji"})
# The server finds these by itself; sent, they are taken as they are.
_FOUND: Final = frozenset({"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "date_time"})
_KINDS: Final = _SPLITTABLE | _QUOTES | _CODE | _LINKS | _FOUND
_TAGS: Final = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
}
# A text of these alone is an empty one.
_NOTHING: Final = re.compile("[\\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0f\ufeff]*\\Z")
_TAG: Final = re.compile(r"<(/?)([a-zA-Z-]+)([^<>]*)>")


class BotApiError(Exception):
    """What the server refuses; `parameters` as https://core.telegram.org/bots/api#responseparameters."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad(description: str, **parameters: int) -> BotApiError:
    """A 400."""
    return BotApiError(400, f"Bad Request: {description}", **parameters)


def text_of(parameters: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """A message's text with its entities."""
    text, entities = _marked(parameters, "text", "entities")
    if _NOTHING.match(text):
        raise bad("message text is empty")
    if units(text) > _TEXT_UNITS:
        raise bad("message is too long")
    return text, entities


def caption_of(parameters: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """A picture's or file's caption with its entities; it may be empty."""
    text, entities = _marked(parameters, "caption", "caption_entities")
    if units(text) > _CAPTION_UNITS:
        raise bad("message caption is too long")
    return text, entities


def keyboard_of(markup: dict[str, Any]) -> dict[str, Any]:
    """What stands below a message: each button with a label that shows something, and at most 64 bytes that come back."""
    for button in (button for row in markup.get("inline_keyboard", []) for button in row):
        if _NOTHING.match(button["text"]):
            raise bad("can't parse inline keyboard button: text buttons must be non-empty")
        if not 1 <= len(button["callback_data"].encode()) <= _DATA_BYTES:
            raise bad("BUTTON_DATA_INVALID")
    return markup


def units(text: str) -> int:
    """A text's length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def listed(value: object) -> list[Any]:
    """A list that may have come as JSON within a form."""
    found = json.loads(value) if isinstance(value, str) else value
    return cast("list[Any]", found) if isinstance(found, list) else []


def _marked(parameters: Mapping[str, Any], name: str, entities_name: str) -> tuple[str, list[dict[str, Any]]]:
    text = parameters.get(name, "")
    if not isinstance(text, str):
        raise bad(f"{name} must be a string")
    mode = str(parameters.get("parse_mode", ""))
    if mode.lower() == "html":
        return _from_html(text)
    if mode:
        raise bad("unsupported parse_mode")
    entities = [cast("dict[str, Any]", one) for one in listed(parameters.get(entities_name, []))]
    check_entities(entities, text)
    return text, entities[:_MOST_ENTITIES]


def check_entities(entities: Sequence[Mapping[str, Any]], text: str) -> None:
    """Refuse entities that lie outside of the text, split a character, are of no kind, or do not nest."""
    encoded = text.encode("utf-16-le", "surrogatepass")
    for entity in entities:
        start, length = entity.get("offset"), entity.get("length")
        if entity.get("type") not in _KINDS:
            raise bad("can't parse entities: unsupported entity type")
        if not isinstance(start, int) or not isinstance(length, int) or start < 0 or length <= 0 or start + length > len(encoded) // 2:
            raise bad("ENTITY_BOUNDS_INVALID")
        if any(0xDC <= encoded[at * 2 + 1] <= 0xDF for at in (start, start + length) if at * 2 < len(encoded)):
            raise bad("ENTITY_BOUNDS_INVALID")
        if entity["type"] == "text_link" and not entity.get("url"):
            raise bad("can't parse entities: text_link without url")
    for at, one in enumerate(entities):
        for other in entities[at + 1 :]:
            _check_nesting(one, other)


def _check_nesting(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    outer, inner = sorted((one, other), key=lambda entity: (entity["offset"], -entity["length"]))
    end = outer["offset"] + outer["length"]
    if inner["offset"] >= end:
        return
    kinds = {outer["type"], inner["type"]}
    if inner["offset"] + inner["length"] > end:
        raise bad("can't parse entities: entities overlap and none contains the other")
    if kinds & _CODE and outer["type"] not in _QUOTES:
        raise bad("can't parse entities: code contains nothing, and only quotations contain it")
    if kinds <= _QUOTES:
        raise bad("can't parse entities: a quotation within a quotation")
    if not kinds & (_SPLITTABLE | _QUOTES):
        raise bad("can't parse entities: entities of these kinds contain no others")


def _from_html(source: str) -> tuple[str, list[dict[str, Any]]]:
    """https://core.telegram.org/bots/api#html-style, its attributes but for `href` left aside."""
    text, entities, opened, at = "", list[dict[str, Any]](), list[tuple[str, int, str]](), 0
    for found in _TAG.finditer(source):
        text += _plain(source[at : found.start()], at)
        at = found.end()
        place, name = len(source[: found.start()].encode()), found[2].lower()
        if name not in _TAGS:
            raise bad(f'can\'t parse entities: Unsupported start tag "{name}" at byte offset {place}')
        if not found[1]:
            opened.append((name, units(text), found[3]))
            continue
        if not opened:
            raise bad(f"can't parse entities: Unexpected end tag at byte offset {place}")
        tag, start, attributes = opened.pop()
        if tag != name:
            raise bad(f'can\'t parse entities: Unmatched end tag at byte offset {place}, expected "</{tag}>", found "</{name}>"')
        if units(text) > start:
            href = re.search(r'href="([^"]*)"', attributes)
            url = {"url": html.unescape(href[1])} if href else {}
            entities.append({"type": _TAGS[tag], "offset": start, "length": units(text) - start, **url})
    if opened:
        raise bad(f"can't parse entities: Can't find end tag corresponding to start tag \"{opened[-1][0]}\"")
    return text + _plain(source[at:], at), sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))


def _plain(piece: str, at: int) -> str:
    if "<" in piece:
        raise bad(f"can't parse entities: Unclosed start tag at byte offset {at + piece.index('<')}")
    return html.unescape(piece)


class Limits:
    """How often a bot may show something: in all, in a chat, and in a group; edits count as messages do.

    Attributes:
        on: whether they are kept to.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.on = False
        self._now = now
        self._shown: defaultdict[tuple[str, int], deque[float]] = defaultdict(deque)

    def show(self, chat: int) -> None:
        """Count one.

        Raises:
            BotApiError: 429; it is not counted then.
        """
        if not self.on:
            return
        now = self._now()
        # As many within so many seconds; a burst of a chat's is let pass.
        windows = [("bot", 0, 30, 1.0), ("chat", chat, 8, 5.0)] + ([("group", chat, 20, 60.0)] if chat < 0 else [])
        for name, whose, most, seconds in windows:
            times = self._shown[name, whose]
            while times and times[0] <= now - seconds:
                times.popleft()
            if len(times) >= most:
                wait = max(1, math.ceil(times[0] + seconds - now))
                raise BotApiError(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        for name, whose, _, _ in windows:
            self._shown[name, whose].append(now)
