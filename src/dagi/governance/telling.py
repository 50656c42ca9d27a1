"""Open proposals in words: what models and members are told of them. Titles and bodies are quoted, never joined to a sentence of ours."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from dagi.catalogue import say
from dagi.catalogue.language import FILES
from dagi.catalogue.words import terms, words
from dagi.governance.proposal import USUAL_CHOICES, Counted
from dagi.message import Fact

MAX_TOLD: Final = 5
MAX_EXCERPT: Final = 300
# Proposals change with a vote, questions come far more often.
_KNOWN: Final = 1024
_NOUNS: Final = tuple(stem for file in FILES.values() for stem in file.PROPOSAL_WORDS)
_VERBS: Final = tuple(stem for file in FILES.values() for stem in file.VOTE_WORDS)
_NOW: Final = tuple(stem for file in FILES.values() for stem in file.NOW_WORDS)

_ALL: Final = (*_NOUNS, *_VERBS, *_NOW)
_NUMBER: Final = re.compile(r"#\d{1,9}", re.ASCII)
_LOOKED_AT: Final = 2000


def told(proposals: Sequence[Counted], language: str) -> tuple[Fact, ...]:
    """The first five as quotations with their source."""
    return tuple(_told(one, language) for one in proposals[:MAX_TOLD])


@lru_cache(maxsize=_KNOWN)
def _told(one: Counted, language: str) -> Fact:
    proposal, tally = one.proposal, one.tally
    name = say(language, "proposal.source", number=proposal.number)
    lines = [
        say(language, "proposal.open", until=proposal.closes_at.strftime("%Y-%m-%d %H:%M")),
        say(language, "proposal.quorum", counted=tally.counted, needed=tally.needed, electorate=proposal.electorate),
        ", ".join(f"{choice_name(choice, language)}: {weight}" for choice, weight in zip(proposal.choices, tally.weights, strict=True)),
    ]
    if proposal.body:
        lines.append(_excerpt(proposal.body))
    return Fact(id=f"proposal:{proposal.number}", source=name, title=f"#{proposal.number} {proposal.title}", text="\n".join(lines))


def choice_name(choice: str, language: str) -> str:
    """A choice as members read it: the three usual ones have a word in each language, others are names."""
    return say(language, f"choice.{choice}") if choice in USUAL_CHOICES else choice


class Sought(msgspec.Struct, frozen=True):
    """What a question wants of the open proposals.

    Attributes:
        facts: those it is about.
        first: they come before what the DAO's documents say.
        at_all: it asks for open proposals, whether there are any or not.
    """

    facts: tuple[Fact, ...] = ()
    first: bool = False
    at_all: bool = False


def sought(question: str, proposals: Sequence[Fact]) -> Sought:
    """Which of the open proposals a question is about: the one it numbers, all where it asks for them, or those it names."""
    numbers = set(_NUMBER.findall(question[:_LOOKED_AT]))
    if numbered := tuple(fact for fact in proposals if fact.title.partition(" ")[0] in numbers):
        return Sought(numbered, first=True)
    said = words(question[:_LOOKED_AT])
    now = any(word.startswith(_NOW) for word in said)
    if any(word.startswith(_NOUNS) for word in said) or (now and any(word.startswith(_VERBS) for word in said)):
        first = now or all(term.word.startswith(_ALL) for term in terms(question))
        return Sought(tuple(proposals), first=first, at_all=first)
    titled = tuple(fact for fact in proposals if _names(said, fact.title))
    return Sought(titled, first=bool(titled))


def _names(said: Sequence[str], title: str) -> bool:
    """Whether most of the title's words stand in the question: one alone is chance."""
    wanted = terms(title)
    found = sum(any(term.matches(word) for word in said) for term in wanted)
    return found >= max(2, (len(wanted) + 1) // 2)


def _excerpt(body: str) -> str:
    flat = " ".join(body.split())
    return flat if len(flat) <= MAX_EXCERPT else flat[: MAX_EXCERPT - 1].rstrip() + "…"
