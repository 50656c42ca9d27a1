"""Implements the port Portraits. Counting costs more than a question does, so whoever asks again within a minute gets the same."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import RowMapping, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.ports.clock import Clock
from dagi.ports.portraits import Heading, Portrait
from dagi.stores.database import Database
from dagi.stores.exchanges import STACK
from dagi.stores.tables import document, exchange, fact, membership

FRESH_S: Final = 60.0
COUNTED: Final = timedelta(days=30)
_MOST: Final = 100
_KNOWN: Final = 1000
_COLLECTIONS: Final = ("faq", "questions", "питання")


class SqlPortraits:
    """See the port."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, tuple[float, Portrait]] = {}

    async def of(self, dao_id: str) -> Portrait:
        """See the port."""
        now = self._clock.monotonic()
        known = self._known.get(dao_id)
        if known is not None and now < known[0] + FRESH_S:
            return known[1]
        async with self._database.read(dao_id) as connection:
            found = await self._read(connection, dao_id)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[dao_id] = (now, found)
        return found

    async def _read(self, connection: AsyncConnection, dao_id: str) -> Portrait:
        now = self._clock.now()
        ends = or_(membership.c.expires_at.is_(None), membership.c.expires_at > now)
        in_force = (membership.c.dao_id == dao_id, membership.c.suspended.is_(False), ends)
        by_role = select(membership.c.role, func.count()).where(*in_force).group_by(membership.c.role).order_by(membership.c.role)
        members = {role: count for role, count in await connection.execute(by_role)}  # noqa: C416 - names what the row holds
        people = await connection.scalar(select(func.count(membership.c.person_id.distinct())).where(*in_force))
        documents = await connection.scalar(select(func.count()).select_from(document).where(document.c.dao_id == dao_id))
        answered = select(func.count()).select_from(exchange).where(exchange.c.dao_id == dao_id, exchange.c.at > now - COUNTED)
        answered = answered.where(exchange.c.outcome == "ok", exchange.c.mode == "chat", exchange.c.source != STACK)
        passages = select(document.c.name, fact.c.title, fact.c.text).join(fact, fact.c.document_id == document.c.id)
        passages = passages.where(document.c.dao_id == dao_id).order_by(document.c.name, fact.c.position).limit(_MOST)
        collected = or_(*(func.lower(document.c.name).startswith(name, autoescape=True) for name in _COLLECTIONS))
        return Portrait(
            members=members,
            people=people or 0,
            documents=documents or 0,
            answered=await connection.scalar(answered) or 0,
            openings=_headings((await connection.execute(passages.where(fact.c.position == 0))).mappings().all()),
            questions=_headings((await connection.execute(passages.where(collected))).mappings().all()),
        )


def _headings(rows: Sequence[RowMapping]) -> tuple[Heading, ...]:
    return tuple(Heading(document=row["name"], title=row["title"], text=row["text"]) for row in rows)
