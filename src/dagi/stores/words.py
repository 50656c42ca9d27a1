"""Full text on PostgreSQL: the words of passages, read by us and kept as a `tsvector`, and queries for them.

The server's own parser and its locale have no say in it: what is a word, and what is one letter in upper and in lower case, is the same
on every server, and the same as for what is asked.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.catalogue.words import Term, words

# Limits of the type: https://www.postgresql.org/docs/current/textsearch-limitations.html
_MOST_POSITION: Final = 16_383
_MOST_PLACES: Final = 255
_LONGEST: Final = 200
_TITLE, _TEXT = "A", "D"

# Beside the metadata: on SQLite the index of the same name is of its own kind.
fact_fts = Table(
    "fact_fts",
    MetaData(),
    Column("fact_id", BigInteger, primary_key=True),
    Column("dao_id", String(64), nullable=False),
    Column("words", TSVECTOR, nullable=False),
)


async def index(connection: AsyncConnection, dao_id: str, passages: Iterable[tuple[int, str, str]]) -> None:
    """Make passages findable; each is its id, title and text."""
    rows = [{"fact_id": fact_id, "dao_id": dao_id, "words": vector(title, body)} for fact_id, title, body in passages]
    if rows:
        await connection.execute(insert(fact_fts), rows)


def vector(title: str, body: str) -> str:
    """The words of a passage with their places, as PostgreSQL reads a tsvector; those of the title weigh more."""
    places: dict[str, list[str]] = {}
    number = 0
    for text, weight in ((title, _TITLE), (body, _TEXT)):
        for word in words(text):
            number = min(number + 1, _MOST_POSITION)
            places.setdefault(word[:_LONGEST], []).append(f"{number}{weight}")
    # Words are letters and digits alone, so nothing in them can be syntax.
    return " ".join(f"'{word}':{','.join(found[:_MOST_PLACES])}" for word, found in places.items())


def queries(wanted: Sequence[Term]) -> list[str]:
    """Each term as PostgreSQL reads a tsquery."""
    return [f"'{term.word}':*" if term.prefix else f"'{term.word}'" for term in wanted]
