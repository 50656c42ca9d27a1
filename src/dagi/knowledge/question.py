"""A question's parts: "Що це за DAO і які тут проєкти?" asks two things, and each wants its own passages. Pure."""

import re

from dagi.catalogue.language import FILES
from dagi.catalogue.words import terms

MAX_PARTS = 3

_CONSIDERED = 2000
_JOINERS = frozenset(word for file in FILES.values() for word in file.JOINERS)
_SENTENCE_END = re.compile(r"[?!;\n]+|\.(?:\s|$)")
_JOINED = re.compile(rf"\s*(?:,\s*(?:{'|'.join(sorted(_JOINERS))})?|\s(?:{'|'.join(sorted(_JOINERS))}))\s+", re.IGNORECASE)


def parts(question: str) -> tuple[str, ...]:
    """The question's parts, at most three; the question itself when it has one only, or more than can be told apart.

    A part is kept only when it holds a word worth searching for, so a greeting or "та як?" is none.
    """
    text = question[:_CONSIDERED].strip()
    told = [piece for sentence in _SENTENCE_END.split(text) for piece in _joined(sentence.strip())]
    if 1 < len(told) <= MAX_PARTS:
        return tuple(told)
    # One part with its greeting cut off asks better than the whole.
    return (told[0],) if len(told) == 1 else (text,)


def _joined(sentence: str) -> list[str]:
    pieces = _JOINED.split(sentence)
    if len(pieces) > 1 and all(terms(piece) for piece in pieces):
        return pieces
    return [sentence] if terms(sentence) else []
