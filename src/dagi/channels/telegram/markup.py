"""Rich text as the Bot API takes it: plain text and entities. There is nothing to escape, and so nothing to forget to escape."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dagi.channels.cutting import parts, utf16
from dagi.channels.rich import Rich, rich

# https://core.telegram.org/bots/api#sendmessage: 1-4096 characters after entities parsing, counted in UTF-16 code units.
TEXT_UNITS: Final = 4096
# Beyond a hundred entities of a message the server drops some in silence.
MOST_ENTITIES: Final = 100


class MessageEntity(msgspec.Struct, frozen=True, omit_defaults=True):
    """https://core.telegram.org/bots/api#messageentity; offset and length in UTF-16 code units."""

    type: str
    offset: int
    length: int
    url: str = ""
    language: str = ""


class Text(msgspec.Struct, frozen=True):
    """One message's text."""

    text: str
    entities: tuple[MessageEntity, ...] = ()


def texts(markdown: str) -> list[Text]:
    """A model's Markdown as messages, in their order; none where it holds nothing to be read."""
    # Halves of characters, which a model can say, are no text that could be sent.
    clean = markdown.encode("utf-8", "replace").decode().replace("\0", "")
    return [_text(part) for part in parts(rich(clean), TEXT_UNITS)]


def _text(part: Rich) -> Text:
    spans = [span for span in part.spans if span.style.kind != "text_link" or span.style.url]
    # Where there are too many, the whole loses its small ones rather than its end all of them.
    spans = sorted(sorted(spans, key=lambda span: span.start - span.end)[:MOST_ENTITIES], key=lambda span: (span.start, -span.end))
    places = _units(part.text, [at for span in spans for at in (span.start, span.end)])
    entities = (
        MessageEntity(
            span.style.kind, places[span.start], places[span.end] - places[span.start], url=span.style.url, language=span.style.language
        )
        for span in spans
    )
    return Text(part.text, tuple(entities))


def _units(text: str, wanted: Sequence[int]) -> dict[int, int]:
    """Where characters stand, in UTF-16 code units; in one pass through the text."""
    found: dict[int, int] = {}
    at = units = 0
    for place in sorted(set(wanted)):
        units += utf16(text[at:place])
        found[place] = units
        at = place
    return found
