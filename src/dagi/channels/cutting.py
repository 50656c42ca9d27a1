"""Long answers in parts a platform takes: cut between blocks where it can be, styles going on in the next part."""

from collections.abc import Iterator
from typing import Final

from dagi.catalogue.legible import legible
from dagi.channels.rich import Rich, Span

_BMP: Final = 0xFFFF


def utf16(text: str) -> int:
    """How long the text is in UTF-16 code units, in which Telegram counts."""
    return len(text) + sum(1 for letter in text if ord(letter) > _BMP) if not text.isascii() else len(text)


def parts(whole: Rich, limit: int) -> list[Rich]:
    """The text in parts of at most `limit` UTF-16 code units; none of them shows nothing, so a text of blanks alone has none.

    A part ends before a block where that leaves it at least a third full, else after a line, a word, or in the middle of one.
    """
    return [part for start, end in _cuts(whole, limit) if legible((part := _piece(whole, start, end)).text)]


def _cuts(whole: Rich, limit: int) -> Iterator[tuple[int, int]]:
    text, start = whole.text, 0
    while start < len(text):
        end = _reach(text, start, limit)
        if end < len(text):
            end = _best(whole, start, end)
        yield start, end
        start = end


def _reach(text: str, start: int, limit: int) -> int:
    """How far the limit reaches. A character beyond the first 65,536 counts twice."""
    end = min(len(text), start + limit)
    over = utf16(text[start:end]) - limit
    while over > 0:
        # Each of those left out gives back one or two.
        end -= max(over // 2, 1)
        over = utf16(text[start:end]) - limit
    while end < len(text) and utf16(text[start : end + 1]) <= limit:
        end += 1
    return max(end, start + 1)


def _best(whole: Rich, start: int, end: int) -> int:
    text, least = whole.text, start + (end - start) // 3
    block = max((at for at in whole.blocks if least <= at <= end), default=None)
    if block is not None:
        return block
    for mark in ("\n\n", "\n", ". ", " "):
        at = text.rfind(mark, least, end)
        if at >= 0:
            return at + len(mark)
    # A character that is put together of several must not fall apart: joiners, marks and variation selectors stay with what they follow.
    at = end
    while at > least and _clings(text[at]):
        at -= 1
    return at if at > least else end


def _clings(letter: str) -> bool:
    return letter in "\u200d\ufe0f\u20e3" or "\u0300" <= letter <= "\u036f" or "\U0001f3fb" <= letter <= "\U0001f3ff"


def _piece(whole: Rich, start: int, end: int) -> Rich:
    """A part without the blank lines at its ends; an indented first line keeps its place."""
    text = whole.text
    while end > start and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    spans = (
        Span(max(span.start, start) - start, min(span.end, end) - start, span.style)
        for span in whole.spans
        if span.start < end and span.end > start
    )
    return Rich(text[start:end], tuple(span for span in spans if span.end > span.start))
