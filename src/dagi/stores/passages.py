"""A DAO's passages in the database: found through the full-text index, fetched by id."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, bindparam, select, text

from dagi.catalogue.words import Term, terms
from dagi.message import Fact
from dagi.stores.database import Database
from dagi.stores.tables import document, fact
from dagi.stores.words import queries

_ID: Final = re.compile(r"[0-9]{1,18}")
# A word in the heading says more about a passage than one in its text.
_TITLE_WEIGHT: Final = 2.0
_TEXT_WEIGHT: Final = 1.0

_FTS5: Final = text(
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
# As BM25 does: a rare word counts more than a common one, a second time less than the first, and in a long passage less than in a short
# one. What is rare is judged by the DAO's own passages. Each step is kept (MATERIALIZED), because the planner, who guesses that few
# passages match, would otherwise run the next one for each row. The DAO's passages are found by its id and then looked through: row-level
# security lets no index be used for `@@`, and the most a DAO can have takes some 50 ms.
_TSVECTOR: Final = text(
    """
    WITH term AS MATERIALIZED (
        SELECT number, query FROM unnest(CAST(CAST(:terms AS text[]) AS tsquery[])) WITH ORDINALITY AS one (query, number)
    ),
    found AS MATERIALIZED (
        SELECT fact_id, words FROM fact_fts WHERE dao_id = :dao_id AND words @@ CAST(:query AS tsquery)
    ),
    held AS MATERIALIZED (SELECT CAST(count(*) AS double precision) AS passages FROM fact_fts WHERE dao_id = :dao_id),
    hit AS MATERIALIZED (
        SELECT found.fact_id, term.number, ts_rank(CAST(:weights AS real[]), found.words, term.query, 1) AS rank
        FROM found CROSS JOIN term
    ),
    rarity AS MATERIALIZED (
        SELECT number, ln(1 + ((SELECT passages FROM held) - count(*) + 0.5) / (count(*) + 0.5)) AS weight
        FROM hit WHERE rank > 0 GROUP BY number
    ),
    best AS MATERIALIZED (
        SELECT hit.fact_id, sum(hit.rank * rarity.weight) AS score
        FROM hit JOIN rarity ON rarity.number = hit.number
        GROUP BY hit.fact_id ORDER BY score DESC, hit.fact_id LIMIT :limit
    )
    SELECT fact.id, document.name, fact.title, fact.text
    FROM best JOIN fact ON fact.id = best.fact_id JOIN document ON document.id = fact.document_id
    WHERE fact.dao_id = :dao_id
    ORDER BY best.score DESC, fact.id
    """
)
_BY_IDS: Final = (
    select(fact.c.id, document.c.name, fact.c.title, fact.c.text)
    .join(document, document.c.id == fact.c.document_id)
    .where(fact.c.dao_id == bindparam("dao_id"), fact.c.id.in_(bindparam("ids", expanding=True)))
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
        async with self._database.read(dao_id) as connection:
            if connection.dialect.name == "postgresql":
                rows = (await connection.execute(_TSVECTOR, _asked_of_postgres(wanted, dao_id, limit))).all()
            else:
                rows = (await connection.execute(_FTS5, _asked_of_sqlite(wanted, dao_id, limit))).all()
        return tuple(_fact(row) for row in rows)

    async def by_ids(self, dao_id: str, ids: Sequence[str]) -> tuple[Fact, ...]:
        """Those of the passages that belong to the DAO; see the port."""
        numbers = [int(identity) for identity in ids if _ID.fullmatch(identity)]
        if not numbers:
            return ()
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(_BY_IDS, {"dao_id": dao_id, "ids": numbers})).all()
        return tuple(_fact(row) for row in rows)


def _asked_of_sqlite(wanted: Sequence[Term], dao_id: str, limit: int) -> Mapping[str, object]:
    return {
        "query": match_expression(wanted),
        "dao_id": dao_id,
        "title_weight": _TITLE_WEIGHT,
        "text_weight": _TEXT_WEIGHT,
        "limit": limit,
    }


def _asked_of_postgres(wanted: Sequence[Term], dao_id: str, limit: int) -> Mapping[str, object]:
    single = queries(wanted)
    # In the order D, C, B, A; see `words.vector`.
    weights = [_TEXT_WEIGHT / _TITLE_WEIGHT, 0.0, 0.0, 1.0]
    return {"query": " | ".join(single), "terms": single, "weights": weights, "dao_id": dao_id, "limit": limit}


def match_expression(wanted: Sequence[Term]) -> str:
    """The terms as an FTS5 expression. Each is quoted and holds letters and digits only, so nothing in it can be syntax."""
    return " OR ".join(f'"{term.word}"*' if term.prefix else f'"{term.word}"' for term in wanted)


def _fact(row: Row[Any, Any, Any, Any]) -> Fact:
    return Fact(id=str(row[0]), source=row[1], title=row[2], text=row[3])
