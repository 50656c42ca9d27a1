"""The words of a text as search terms: bounded, without the common ones, cut to what an inflection leaves alone."""

import re
import unicodedata

import msgspec

from dagi.catalogue.language import FILES

MAX_TERMS = 32

# What is looked at of a text, whatever its length: 32 distinct terms fit many times over.
_MAX_CHARACTERS = 8000
_MAX_LETTERS = 64
_WORD = re.compile(r"[^\W_]+")
# Putting marks in their order takes time with the square of how many stand together, and a request may bring a million of them.
_PIECE = re.compile(r"\S{1,64}")
_STOP = frozenset(word for file in FILES.values() for word in file.STOP_WORDS)
# One word in two alphabets: people write both, documents often only one.
_ALSO = {"дао": "dao", "dao": "дао"}

# Words from this length on are looked for by their beginning.
_PREFIX_FROM = 4
# From each length on, how many letters at the end an inflection may change: проєкт, проєкти, проєктами.
_CUTS = ((9, 3), (6, 2), (5, 1), (0, 0))


class Term(msgspec.Struct, frozen=True):
    """A word to look for: letters and digits only. `prefix`: any word that begins with it will do."""

    word: str
    prefix: bool

    def matches(self, word: str) -> bool:
        """Whether a word of a text, in lower case, is one that is looked for."""
        return word.startswith(self.word) if self.prefix else word == self.word


def normal(text: str) -> str:
    """Text as it is stored and searched: composed letters, one kind of apostrophe, nothing that UTF-8 cannot hold.

    The letter apostrophe U+02BC, which some Ukrainian keyboards produce, would otherwise make another word.
    """
    clean = text.encode("utf-8", "replace").decode() if not text.isascii() else text
    return composed(clean).replace("\u02bc", "\u2019")


def composed(text: str) -> str:
    """The text with composed letters (Unicode NFC), in time that grows with its length alone; 64 characters at once of very long words."""
    return text if text.isascii() else _PIECE.sub(lambda piece: unicodedata.normalize("NFC", piece[0]), text)


def words(text: str) -> list[str]:
    """Every word of the text, in lower case, in order."""
    return _WORD.findall(normal(text).lower())


def terms(text: str) -> tuple[Term, ...]:
    """What to look for: at most 32 distinct terms, none of them a common word."""
    found: dict[Term, None] = {}
    for word in words(text[:_MAX_CHARACTERS]):
        if word in _STOP or (len(word) == 1 and not word.isdigit()):
            continue
        found[_term(word[:_MAX_LETTERS])] = None
        if other := _ALSO.get(word):
            found[_term(other)] = None
        if len(found) >= MAX_TERMS:
            break
    return tuple(found)[:MAX_TERMS]


def _term(word: str) -> Term:
    if any(letter.isdigit() for letter in word) or len(word) < _PREFIX_FROM:
        return Term(word, prefix=False)
    cut = next(cut for length, cut in _CUTS if len(word) >= length)
    return Term(word[: len(word) - cut], prefix=True)
