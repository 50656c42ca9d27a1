"""What somebody wants done who says it in plain words: offered beside the answer, never done unasked."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dagi.catalogue.language import FILES
from dagi.catalogue.words import words

# A text of more words than this tells a story.
_MOST: Final = 60
_REST: Final = "…"
_NUMBER: Final = "#"
_DIGITS: Final = 9
_STOP: Final = frozenset(word for file in FILES.values() for word in file.STOP_WORDS)
_PLACE: Final = tuple(stem for file in FILES.values() for stem in file.PLACE_WORDS)


class Wish(msgspec.Struct, frozen=True):
    """A command that does what is wished for; `words` follow it."""

    command: str
    words: str = ""


class _Phrase(msgspec.Struct, frozen=True):
    """Words as they are said one after another: `vot*` is any word that begins so, `#` a number, `…` at the end lets anything follow.

    Between them, before and after, stand words of no weight alone, and one other word where the phrase has a word of weight itself.
    """

    command: str
    parts: tuple[str, ...]
    open: bool
    spare: int

    def found(self, said: Sequence[str]) -> Wish | None:
        """The wish, where it is what is said."""
        for start in range(len(said)):
            wish = self._from(said, start)
            if wish is not None:
                return wish
        return None

    def _from(self, said: Sequence[str], start: int) -> Wish | None:
        at, number = start, ""
        others = _weight(said[:start])
        if not _fits(self.parts[0], said[start]):
            return None
        for part in self.parts:
            while at < len(said) and not _fits(part, said[at]):
                others += _weight(said[at : at + 1])
                at += 1
            if at == len(said) or others > self.spare:
                return None
            number = said[at] if part == _NUMBER else number
            at += 1
        if not self.open:
            others += _weight(said[at:])
        return Wish(self.command, number) if others <= self.spare else None


def wished(text: str) -> Wish | None:
    """The command that does what the text asks for; None for a question like any other."""
    said = words(text[: _MOST * 20])
    if not said or len(said) > _MOST:
        return None
    return next((wish for phrase in _PHRASES if (wish := phrase.found(said)) is not None), None)


def _phrase(command: str, written: str) -> _Phrase:
    parts = tuple(written.removesuffix(_REST).split())
    has_weight = any(part not in _STOP for part in parts)
    return _Phrase(command, parts, written.endswith(_REST), 1 if has_weight else 0)


def _weight(said: Sequence[str]) -> int:
    return sum(len(word) > 1 and word not in _STOP and not word.startswith(_PLACE) for word in said)


def _fits(part: str, word: str) -> bool:
    if part == _NUMBER:
        return word.isascii() and word.isdecimal() and len(word) <= _DIGITS
    return word.startswith(part[:-1]) if part.endswith("*") else word == part


# Those with a number come first: they say more.
_PHRASES: Final = tuple(
    sorted(
        (_phrase(command, written) for file in FILES.values() for command, phrases in file.WISHES.items() for written in phrases),
        key=lambda phrase: _NUMBER not in phrase.parts,
    )
)
