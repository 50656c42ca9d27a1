"""Texts that code of others has written: readable, bounded, and nothing a terminal would obey."""

import codecs
import re
from collections.abc import Mapping

from dagi.ports.devtools import Hear

_COLOURS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def limited(hear: Hear, most: int = 20_000) -> Hear:
    """Tell so many events and no more: code that tells without end fills nobody's memory."""
    left = most

    def told(event: Mapping[str, object]) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            hear(event)

    return told


def plain(text: str) -> str:
    """The text without escape sequences, control characters and marks that turn its direction."""
    return _CONTROLS.sub("", _COLOURS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def clipped(text: str, limit: int) -> str:
    """At most about `limit` characters of it, plain: its beginning and twice as much of its end."""
    if not text:
        return ""
    # What will not be shown is not cleaned; the margin is for what cleaning takes away.
    if len(text) > 2 * limit:
        text = text[:limit] + text[-limit:] if limit else ""
        return _shortened(plain(text), limit, always=True)
    return _shortened(plain(text), limit)


def decoded(data: bytes, limit: int) -> tuple[str, bool]:
    """Output as text, and whether something of it was left out."""
    text = data.decode("utf-8", "replace")
    return clipped(text, limit), len(text) > limit


def _shortened(text: str, limit: int, *, always: bool = False) -> str:
    if len(text) <= limit and not always:
        return text
    head = limit // 3
    return f"{text[:head]}\n… left out …\n{text[len(text) - (limit - head) :]}"


class Told:
    """A stream of output, told on as text while it comes, up to a bound."""

    def __init__(self, stream: str, hear: Hear, limit: int) -> None:
        self._stream = stream
        self._hear = hear
        self._left = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> None:
        """The next piece."""
        if self._left <= 0:
            return
        text = plain(self._decoder.decode(piece[: 4 * self._left]))[: self._left]
        self._left -= len(piece)
        if text:
            self._hear({"kind": "output", "stream": self._stream, "text": text})
        if self._left <= 0:
            self._hear({"kind": "output", "stream": self._stream, "text": "", "cut": True})
