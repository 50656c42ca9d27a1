"""A person's own sessions, read back."""

from sqlalchemy import func, select

from dagi.ports.sessions import Said, SessionInfo
from dagi.stores.database import Database
from dagi.stores.tables import exchange

TITLE = 80


class SqlSessions:
    """Implements the port Sessions. The index over DAO, user and session serves every query."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sessions(self, dao_id: str, user_id: str, limit: int) -> tuple[SessionInfo, ...]:
        """See the port Sessions."""
        grouped = (
            select(
                exchange.c.session_id,
                func.count().label("exchanges"),
                func.min(exchange.c.id).label("first_id"),
                func.max(exchange.c.id).label("last_id"),
                func.min(exchange.c.at).label("began"),
                func.max(exchange.c.at).label("latest"),
            )
            .where(exchange.c.dao_id == dao_id, exchange.c.user_id == user_id, exchange.c.session_id != "")
            .group_by(exchange.c.session_id)
            .order_by(func.max(exchange.c.id).desc())
            .limit(limit)
            .subquery()
        )
        query = (
            select(grouped, exchange.c.prompt.label("title"))
            .join(exchange, exchange.c.id == grouped.c.first_id)
            .order_by(grouped.c.last_id.desc())
        )
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            SessionInfo(session_id=row.session_id, title=one_line(row.title), exchanges=row.exchanges, began=row.began, latest=row.latest)
            for row in rows
        )

    async def session(self, dao_id: str, user_id: str, session_id: str, limit: int) -> tuple[Said, ...]:
        """See the port Sessions."""
        if not session_id:
            return ()
        columns = [exchange.c[name] for name in Said.__struct_fields__]
        query = (
            select(*columns)
            .where(exchange.c.dao_id == dao_id, exchange.c.user_id == user_id, exchange.c.session_id == session_id)
            .order_by(exchange.c.id.desc())
            .limit(limit)
        )
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(Said(**row) for row in reversed(rows))


def one_line(text: str) -> str:
    """The beginning of a text, as one line."""
    line = " ".join(text[: 4 * TITLE].split())
    return line if len(line) <= TITLE else line[: TITLE - 1] + "…"
