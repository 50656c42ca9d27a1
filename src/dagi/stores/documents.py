"""Documents in the database: added, replaced and removed as a whole, with the DAO's counter in the same transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.errors import Invalid, Missing
from dagi.ports.documents import MAX_FACTS, Document, Listed, Passage
from dagi.stores import tables
from dagi.stores.database import Database
from dagi.stores.words import index

_document, _fact, _dao = tables.document, tables.fact, tables.dao


class SqlDocuments:
    """`ports.documents.Documents` over the database.

    Args:
        now: the wall clock, aware UTC.
        max_facts: passages a DAO may have.
    """

    def __init__(self, database: Database, now: Callable[[], datetime], max_facts: int = MAX_FACTS) -> None:
        self._database = database
        self._now = now
        self._max_facts = max_facts

    async def put(self, dao_id: str, document: Document) -> bool:
        """Add or replace the document; see the port."""
        try:
            async with self._database.write(dao_id) as connection:
                return await self._put(connection, dao_id, document)
        except IntegrityError as error:
            raise Missing("There is no DAO of that name.", dao_id=dao_id) from error

    async def _put(self, connection: AsyncConnection, dao_id: str, document: Document) -> bool:
        same_name = (_document.c.dao_id == dao_id) & (_document.c.name == document.name)
        if await connection.scalar(select(_document.c.digest).where(same_name)) == document.digest:
            return False
        await connection.execute(delete(_document).where(same_name))
        held = await connection.scalar(select(func.count()).select_from(_fact).where(_fact.c.dao_id == dao_id))
        if (held or 0) + len(document.passages) > self._max_facts:
            raise Invalid(
                f"The DAO would have more than {self._max_facts} passages. Remove documents that are no longer needed.",
                field="document",
                passages=len(document.passages),
                held=held,
            )
        await self._add(connection, dao_id, document)
        await _changed(connection, dao_id)
        return True

    async def _add(self, connection: AsyncConnection, dao_id: str, document: Document) -> None:
        # A replaced document gets a new id, so that a vector computed for the old text cannot land on the new one.
        document_id = str(uuid4())
        await connection.execute(
            insert(_document).values(
                id=document_id,
                dao_id=dao_id,
                name=document.name,
                digest=document.digest,
                bytes=document.size_bytes,
                updated_at=self._now(),
            )
        )
        if document.passages:
            await _add_facts(connection, dao_id, document_id, document.passages)

    async def list(self, dao_id: str) -> tuple[Listed, ...]:
        """The DAO's documents by name."""
        query = (
            select(_document, func.count(_fact.c.id).label("passages"))
            .outerjoin(_fact, _fact.c.document_id == _document.c.id)
            .where(_document.c.dao_id == dao_id)
            .group_by(_document.c.id)
            .order_by(_document.c.name)
        )
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            Listed(name=row.name, digest=row.digest, size_bytes=row.bytes, passages=row.passages, updated_at=row.updated_at) for row in rows
        )

    async def remove(self, dao_id: str, name: str) -> None:
        """Remove a document with all its passages; see the port."""
        async with self._database.write(dao_id) as connection:
            removed = await connection.execute(delete(_document).where(_document.c.dao_id == dao_id, _document.c.name == name))
            if removed.rowcount == 0:
                raise Missing("The DAO has no document of that name.", dao_id=dao_id, name=name)
            await _changed(connection, dao_id)


async def _add_facts(connection: AsyncConnection, dao_id: str, document_id: str, passages: Sequence[Passage]) -> None:
    rows = [
        {"dao_id": dao_id, "document_id": document_id, "position": position, "title": passage.title, "text": passage.text}
        for position, passage in enumerate(passages)
    ]
    if connection.dialect.name == "sqlite":
        # Its triggers make them findable.
        await connection.execute(insert(_fact), rows)
        return
    added = await connection.execute(insert(_fact).returning(_fact.c.id, _fact.c.title, _fact.c.text), rows)
    await index(connection, dao_id, [tuple(row) for row in added])


async def _changed(connection: AsyncConnection, dao_id: str) -> None:
    await connection.execute(update(_dao).where(_dao.c.id == dao_id).values(facts_version=_dao.c.facts_version + 1))
