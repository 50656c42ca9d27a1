"""The summaries of sessions."""

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, Table, delete, func, insert, select

from dagi.message import Sender, Turn
from dagi.ports.summaries import Due
from dagi.stores.database import Database
from dagi.stores.exchanges import storable
from dagi.stores.tables import exchange, session_summary

# A model reads no more than this at once; what is older in a very long session is left out.
MOST_EXCHANGES = 60
MOST_CHARS = 24_000
LONGEST_TURN = 2_000
_Row = Row[Any, Any, Any, Any]


class SqlSummaries:
    """Implements the port Summaries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, sender: Sender, tokens: int) -> Due | None:
        """See the port. The older half of what history still shows is taken along, so that not every new question needs a new summary."""
        async with self._database.read(sender.dao_id) as connection:
            kept = (await connection.execute(select(session_summary).where(*_of(sender, session_summary)))).one_or_none()
            query = (
                select(exchange.c.id, exchange.c.at, exchange.c.prompt, exchange.c.answer)
                .where(*_of(sender, exchange), exchange.c.outcome == "ok", exchange.c.mode == "chat", exchange.c.cleared_at.is_(None))
                .where(exchange.c.id > (kept.through_id if kept is not None else 0))
                .order_by(exchange.c.id.desc())
                .limit(MOST_EXCHANGES)
            )
            rows = (await connection.execute(query)).all()
        told = _readable(_fallen_out(rows, tokens // 2))
        if not told:
            return None
        return Due(
            summary=kept.text if kept is not None else "",
            turns=tuple(turn for row in reversed(told) for turn in (_turn("user", row.prompt), _turn("assistant", row.answer))),
            covers=tuple(row.id for row in told),
            since=kept.since if kept is not None else min(row.at for row in told),
        )

    async def keep(self, sender: Sender, due: Due, text: str) -> bool:
        """See the port."""
        still = (
            select(func.count())
            .select_from(exchange)
            .where(exchange.c.id.in_(due.covers), *_of(sender, exchange), exchange.c.cleared_at.is_(None))
        )
        async with self._database.write(sender.dao_id) as connection:
            was = await connection.scalar(select(session_summary.c.text).where(*_of(sender, session_summary)))
            # Erased or outdated while the model wrote: its words hold what must be gone.
            if await connection.scalar(still) != len(due.covers) or (was or "") != due.summary:
                return False
            await connection.execute(delete(session_summary).where(*_of(sender, session_summary)))
            await connection.execute(
                insert(session_summary).values(
                    dao_id=sender.dao_id,
                    user_id=sender.user_id,
                    session_id=sender.session_id,
                    text=storable(text),
                    through_id=max(due.covers),
                    since=due.since,
                ),
            )
        return True


def _of(sender: Sender, table: Table) -> tuple[ColumnElement[bool], ...]:
    return (table.c.dao_id == sender.dao_id, table.c.user_id == sender.user_id, table.c.session_id == sender.session_id)


def _fallen_out(rows: Sequence[_Row], tokens: int) -> Sequence[_Row]:
    """The exchanges beyond so many tokens; both newest first."""
    for number, row in enumerate(rows):
        tokens -= (len(row.prompt.encode()) + len(row.answer.encode())) // 4
        if tokens < 0:
            return rows[number:]
    return ()


def _readable(rows: Sequence[_Row]) -> Sequence[_Row]:
    """The newest of them that a model reads at once."""
    left = MOST_CHARS
    for number, row in enumerate(rows):
        left -= min(len(row.prompt), LONGEST_TURN) + min(len(row.answer), LONGEST_TURN)
        if left < 0:
            return rows[:number]
    return rows


def _turn(role: Literal["user", "assistant"], text: str) -> Turn:
    return Turn(role, text if len(text) <= LONGEST_TURN else text[: LONGEST_TURN - 1] + "…")
