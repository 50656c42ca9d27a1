"""The vectors beside the passages."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, select, update

from dagi.ports.vectors import Unindexed, Vector
from dagi.stores import tables
from dagi.stores.database import Database

_fact, _dao = tables.fact, tables.dao


class SqlVectors:
    """`ports.vectors.Vectors` over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self) -> Mapping[str, int]:
        """Every DAO's counter of changes."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(_dao.c.id, _dao.c.facts_version))).all()
        return {row.id: row.facts_version for row in rows}

    async def unindexed(self, dao_id: str, limit: int) -> tuple[Unindexed, ...]:
        """Some of the DAO's passages without a vector, oldest first."""
        query = (
            select(_fact.c.id, _fact.c.document_id, _fact.c.title, _fact.c.text)
            .where(_fact.c.dao_id == dao_id, _fact.c.vector.is_(None))
            .order_by(_fact.c.id)
            .limit(limit)
        )
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query)).all()
        return tuple(Unindexed(id=row.id, document_id=row.document_id, title=row.title, text=row.text) for row in rows)

    async def save(self, vectors: Sequence[Vector]) -> None:
        """Keep the vectors of passages that are still the same; see the port."""
        if not vectors:
            return
        change = (
            update(_fact)
            .where(_fact.c.id == bindparam("fact_id"), _fact.c.document_id == bindparam("of_document"))
            .values(vector=bindparam("data"))
        )
        values = [{"fact_id": vector.id, "of_document": vector.document_id, "data": vector.data} for vector in vectors]
        async with self._database.write() as connection:
            await connection.execute(change, values)

    async def load(self, dao_id: str) -> tuple[tuple[int, bytes], ...]:
        """Id and vector of every passage that has one."""
        query = select(_fact.c.id, _fact.c.vector).where(_fact.c.dao_id == dao_id, _fact.c.vector.is_not(None))
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query)).all()
        return tuple((row.id, row.vector) for row in rows)
