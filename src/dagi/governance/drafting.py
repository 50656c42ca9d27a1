"""A proposal as somebody wants to make it, checked: every text and number of it comes from outside."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dagi.catalogue import LANGUAGES, say
from dagi.catalogue.legible import legible
from dagi.errors import Invalid
from dagi.governance.counting import needed_people
from dagi.governance.proposal import ABSTAIN, AGAINST, FOR, MAX_WEIGHT, USUAL_CHOICES, Terms
from dagi.governance.shares import Share, read_quorum, read_share

MAX_TITLE: Final = 200
MAX_BODY: Final = 20_000
MAX_CHOICE: Final = 64
MAX_CHOICES: Final = 20
SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(days=366)
# Joiners are part of words and emoji in many scripts; everything else that formats without being seen turns text about or hides it.
_JOINERS: Final = frozenset("\u200c\u200d")
_ODD: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_WEIGHT: Final = re.compile(r"(0|[1-9]\d{0,77})\Z", re.ASCII)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody proposes, of the right form."""

    title: str
    body: str
    choices: tuple[str, ...]
    terms: Terms
    opens_at: datetime
    closes_at: datetime


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody proposes, as it was written.

    Attributes:
        choices: empty for `for`, `against` and `abstain`.
        quorum: `5` people, or `25%` of those who may vote.
        approval: `2/3` or `60%` of the weight without abstentions; empty for a simple majority.
        opens_at: None for at once.
    """

    title: str
    closes_at: datetime
    body: str = ""
    choices: Sequence[str] = ()
    quorum: str = "0"
    approval: str = ""
    abstentions_count: bool = True
    opens_at: datetime | None = None


def drafted(wish: Wish, now: datetime) -> Draft:
    """The wish, checked.

    Raises:
        Invalid: something of it is not what it has to be; names the field.
    """
    opens_at, closes_at = _times(wish, now)
    choices = _choices(wish.choices) if wish.choices else USUAL_CHOICES
    approval = read_share(wish.approval, "approval") if wish.approval else None
    if approval is not None and approval.part * 2 < approval.whole:
        raise Invalid("An approval of less than half would let the minority win. Write 50% or more, such as 2/3.", field="approval")
    return Draft(
        title=line(wish.title, "title", MAX_TITLE),
        body=text(wish.body, "body", MAX_BODY),
        choices=choices,
        terms=Terms(quorum=read_quorum(wish.quorum), approval=approval, abstentions_count=wish.abstentions_count),
        opens_at=opens_at,
        closes_at=closes_at,
    )


def check_reachable(quorum: int | Share, electorate: int) -> None:
    """Whether the proposal can be decided by those who may vote.

    Raises:
        Invalid: nobody may vote, or fewer than the quorum asks for.
    """
    if electorate == 0:
        raise Invalid("Nobody may vote: the DAO has no member in force whose role has proposal.vote.", field="dao_id")
    if (needed := needed_people(quorum, electorate)) > electorate:
        raise Invalid(f"The quorum of {needed} can never be reached: {electorate} may vote. Write a share, such as 25%.", field="quorum")


def find_choice(choices: Sequence[str], wish: str) -> int:
    """The place of the choice that is meant: by its name in any case (the usual ones in any language), or by its number from 1 on.

    Raises:
        Invalid: it is none of them.
    """
    meant = _folded(wish)
    meant = _MEANT.get(meant, meant)
    names = [_folded(choice) for choice in choices]
    if meant in names:
        return names.index(meant)
    if meant.isascii() and meant.isdigit() and len(meant) < 3 and 1 <= int(meant) <= len(choices):
        return int(meant) - 1
    raise Invalid(f"{_shown(wish)!r} is none of the choices.", field="choice", allowed=list(choices))


def read_weight(written: str) -> int:
    """A weight as JSON carries it: the digits of a uint256 above 0, as text.

    Raises:
        Invalid: it is none.
    """
    weight = int(written) if _WEIGHT.match(written) else 0
    if not 0 < weight <= MAX_WEIGHT:
        raise Invalid("A weight is a whole number from 1 to 2^256 - 1, written in digits.", field="weight")
    return weight


def line(written: str, field: str, longest: int) -> str:
    """One line for people to read.

    Raises:
        Invalid: it is empty, too long, or holds what nobody would see.
    """
    clean = unicodedata.normalize("NFC", " ".join(written[: longest * 4].split()))
    if not clean or len(clean) > longest or len(written) > longest * 4:
        raise Invalid(f"The {field} has 1 to {longest} characters.", field=field)
    if not legible(clean):
        raise Invalid(f"The {field} shows nothing: it holds blanks and joiners alone.", field=field)
    return _plain(clean, field, frozenset())


def text(written: str, field: str, longest: int) -> str:
    """Several lines for people to read; may be empty.

    Raises:
        Invalid: it is too long, or holds what nobody would see.
    """
    clean = written.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(clean) > longest:
        raise Invalid(f"The {field} has at most {longest} characters; this one has {len(clean)}.", field=field)
    return _plain(clean, field, frozenset("\n\t"))


def _plain(clean: str, field: str, allowed: frozenset[str]) -> str:
    for place, letter in enumerate(clean, 1):
        if letter not in allowed and letter not in _JOINERS and unicodedata.category(letter) in _ODD:
            what = f"U+{ord(letter):04X} at place {place}"
            raise Invalid(f"The {field} holds a character that nobody sees or that turns the text about ({what}). Remove it.", field=field)
    return clean


def _choices(wished: Sequence[str]) -> tuple[str, ...]:
    if len(wished) > MAX_CHOICES:
        raise Invalid(f"A proposal has at most {MAX_CHOICES} choices.", field="choices")
    found = tuple(line(choice, "choices", MAX_CHOICE) for choice in wished)
    # These three mean something, in whatever case they were written.
    found = tuple(_folded(choice) if _folded(choice) in USUAL_CHOICES else choice for choice in found)
    if len({_folded(choice) for choice in found}) < len(found):
        raise Invalid("Two choices have the same name.", field="choices")
    if len([choice for choice in found if choice != ABSTAIN]) < 2:
        raise Invalid("A proposal needs two choices at least, abstaining aside.", field="choices")
    if (FOR in found) != (AGAINST in found) or (FOR in found and not set(found) <= set(USUAL_CHOICES)):
        raise Invalid("`for` and `against` go together, and with no other choice but `abstain`.", field="choices")
    return found


def _times(wish: Wish, now: datetime) -> tuple[datetime, datetime]:
    opens_at = now if wish.opens_at is None else wish.opens_at
    for field, at in (("opens_at", opens_at), ("closes_at", wish.closes_at)):
        if at.tzinfo is None:
            raise Invalid(f"{field} needs its zone: write it as 2026-12-24T18:00:00Z.", field=field)
    if opens_at < now:
        raise Invalid("opens_at has passed. Leave it out to begin at once.", field="opens_at")
    if wish.closes_at <= now:
        raise Invalid("closes_at has passed already. Votes need a deadline to come.", field="closes_at")
    if not SHORTEST <= wish.closes_at - opens_at <= LONGEST or opens_at - now > LONGEST:
        raise Invalid(f"A vote takes from one minute to {LONGEST.days} days, and begins within as many.", field="closes_at")
    return opens_at, wish.closes_at


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", " ".join(name[: MAX_CHOICE * 4].split())).casefold()


def _shown(wish: str) -> str:
    return "".join(letter for letter in wish[:40] if letter.isprintable())


# The usual choices in the words of every language of the catalogue.
_MEANT: Final = {_folded(say(language, f"choice.{choice}")): choice for language in LANGUAGES for choice in USUAL_CHOICES}
