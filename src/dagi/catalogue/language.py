"""The languages of the catalogue, and telling them apart."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Protocol

from dagi.catalogue import en, uk

Language = Literal["uk", "en"]

LANGUAGES: tuple[Language, ...] = ("uk", "en")
DEFAULT: Language = "en"

# Enough text to tell a language by; a pasted book must not cost more than a sentence.
_SAMPLE = 2000


class LanguageFile(Protocol):
    """What a language's module defines.

    Attributes:
        LETTERS: letters that only this language of the catalogue uses.
        STOP_WORDS: words too common to search for.
        JOINERS: words that join two questions into one.
        PROPOSAL_WORDS, VOTE_WORDS, NOW_WORDS: beginnings of words by which a question about open proposals is known.
        PLACE_WORDS: beginnings of words for where one is, which change nothing about what is wished for.
        WISHES: phrases by which somebody asks for what a command does; see `dagi.channels.wishes`.
        MESSAGES: key to sentence, with `{name}` where a value goes.
    """

    LETTERS: frozenset[str]
    STOP_WORDS: frozenset[str]
    JOINERS: frozenset[str]
    PROPOSAL_WORDS: tuple[str, ...]
    VOTE_WORDS: tuple[str, ...]
    NOW_WORDS: tuple[str, ...]
    PLACE_WORDS: tuple[str, ...]
    WISHES: dict[str, tuple[str, ...]]
    MESSAGES: dict[str, str]


FILES: Mapping[str, LanguageFile] = MappingProxyType({"uk": uk, "en": en})


def language_of(text: str) -> Language:
    """The language of the catalogue that the text is written in, by its letters; English when they do not tell.

    A Ukrainian sentence about "GreenFood DAO" is Ukrainian: words of the other script are usually names.
    """
    letters = set(text[:_SAMPLE].lower())
    for language in LANGUAGES:
        if language != DEFAULT and letters & FILES[language].LETTERS:
            return language
    return DEFAULT


def say(language: str, key: str, **values: object) -> str:
    """The sentence in the language, or in English where the language has none.

    Raises:
        KeyError: no language has the key; a defect of ours.
    """
    file = FILES.get(language, FILES[DEFAULT])
    sentence = file.MESSAGES.get(key) or FILES[DEFAULT].MESSAGES[key]
    return sentence.format(**values)
