"""Shares of a whole as people write them, kept exact: `25%`, `66.67%`, `2/3`."""

import re
from decimal import Decimal
from typing import Final

import msgspec

from dagi.errors import Invalid

_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%\Z", re.ASCII)
_FRACTION: Final = re.compile(r"(\d{1,6})/(\d{1,6})\Z", re.ASCII)
_COUNT: Final = re.compile(r"\d{1,9}\Z", re.ASCII)


class Share(msgspec.Struct, frozen=True):
    """`part` of `whole`, above nothing and at most all of it; `text` is how it was written."""

    part: int
    whole: int
    text: str

    def least(self, count: int) -> int:
        """The smallest number that is at least this share of `count`."""
        return -(-count * self.part // self.whole)

    def reached(self, some: int, of: int) -> bool:
        """Whether `some` is at least this share of `of`. Nothing is no share of nothing."""
        return of > 0 and some * self.whole >= of * self.part


def read_share(text: str, field: str) -> Share:
    """A share as it is written.

    Raises:
        Invalid: it is none, or not above zero and at most the whole.
    """
    clean = text.strip().replace(",", ".")
    if found := _PERCENT.match(clean):
        part, whole = (Decimal(found[1]) / 100).as_integer_ratio()
    elif found := _FRACTION.match(clean):
        part, whole = int(found[1]), int(found[2])
    else:
        raise Invalid(f"{text[:40]!r} is no share. Write it as 25% or 2/3.", field=field)
    if not 0 < part <= whole:
        raise Invalid(f"{text[:40]} is not a share above 0 and at most the whole.", field=field)
    return Share(part, whole, clean.replace(" ", ""))


def read_quorum(text: str, field: str = "quorum") -> int | Share:
    """A quorum as it is written: a number of people (`5`), or a share of those who may vote (`25%`, `1/4`).

    Raises:
        Invalid: it is neither.
    """
    clean = text.strip()
    if _COUNT.match(clean):
        return int(clean)
    try:
        return read_share(clean, field)
    except Invalid as error:
        sentence = f"{text[:40]!r} is no quorum. Write a number of people (5), or a share of those who may vote (25% or 1/4)."
        raise Invalid(sentence, field=field) from error


def show_quorum(quorum: int | Share) -> str:
    """A quorum as it is written."""
    return str(quorum) if isinstance(quorum, int) else quorum.text
