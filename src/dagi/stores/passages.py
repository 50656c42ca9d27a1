"""A DAO's passages in the database: found through the full-text index, fetched by id."""

import re
from collections.abc import Sequence

from sqlalchemy import Row, text

from dagi.catalogue.words import Term, terms
from dagi.message import Fact
from dagi.stores.database import Database

_ID = re.compile(r"[0-9]{1,18}")
# A word in the heading says more about a passage than one in its text.
_TITLE_WEIGHT = 2.0
_TEXT_WEIGHT = 1.0

_MATCHING = text(
    """
    SELECT fact.id, document.name, fact.title, fact.text
    FROM fact_fts
    JOIN fact ON fact.id = fact_fts.rowid
    JOIN document ON document.id = fact.document_id
    WHERE fact_fts MATCH :query AND fact.dao_id = :dao_id
    ORDER BY bm25(fact_fts, :title_weight, :text_weight), fact.id
    LIMIT :limit
    """
)
_BY_IDS = text(
    """
    SELECT fact.id, document.name, fact.title, fact.text
    FROM fact
    JOIN document ON document.id = fact.document_id
    WHERE fact.dao_id = :dao_id AND fact.id IN (SELECT value FROM json_each(:ids))
    """
)


class SqlPassages:
    """`ports.passages.Passages` over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def matching(self, dao_id: str, query: str, limit: int) -> tuple[Fact, ...]:
        """Passages that hold words of the query; see the port."""
        wanted = terms(query)
        if not wanted:
            return ()
        values = {
            "query": match_expression(wanted),
            "dao_id": dao_id,
            "title_weight": _TITLE_WEIGHT,
            "text_weight": _TEXT_WEIGHT,
            "limit": limit,
        }
        async with self._database.read() as connection:
            rows = (await connection.execute(_MATCHING, values)).all()
        return tuple(_fact(row) for row in rows)

    async def by_ids(self, dao_id: str, ids: Sequence[str]) -> tuple[Fact, ...]:
        """Those of the passages that belong to the DAO; see the port."""
        numbers = [str(int(identity)) for identity in ids if _ID.fullmatch(identity)]
        if not numbers:
            return ()
        async with self._database.read() as connection:
            rows = (await connection.execute(_BY_IDS, {"dao_id": dao_id, "ids": f"[{','.join(numbers)}]"})).all()
        return tuple(_fact(row) for row in rows)


def match_expression(wanted: Sequence[Term]) -> str:
    """The terms as an FTS5 expression. Each is quoted and holds letters and digits only, so nothing in it can be syntax."""
    return " OR ".join(f'"{term.word}"*' if term.prefix else f'"{term.word}"' for term in wanted)


def _fact(row: Row[int, str, str, str]) -> Fact:
    return Fact(id=str(row[0]), source=row[1], title=row[2], text=row[3])
