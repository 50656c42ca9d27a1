"""Implements the port Feedback; and what else concerns feedback, wherever exchanges are shown or removed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.ports.clock import Clock
from dagi.ports.feedback import MOST_WORDS, Value
from dagi.stores.database import Database
from dagi.stores.tables import exchange, feedback

# What the stack asked for itself is nobody's to rate.
_STACK = "stack"


class SqlFeedback:
    """See the port."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def rate(self, dao_id: str, request_id: str, user_id: str, value: Value, *, session_id: str) -> bool:
        """See the port."""
        known = or_(exchange.c.user_id == user_id, exchange.c.session_id == session_id)
        there = select(exchange.c.id).where(exchange.c.request_id == request_id, known, *_answered(dao_id)).limit(1)
        async with self._database.write(dao_id) as connection:
            if not request_id or await connection.scalar(there) is None:
                return False
            await self._put(connection, {"dao_id": dao_id, "request_id": request_id, "user_id": user_id}, {"value": value})
        return True

    async def comment(self, dao_id: str, user_id: str, session_id: str, words: str) -> bool:
        """See the port."""
        latest = (
            select(exchange.c.request_id)
            .where(*_answered(dao_id), exchange.c.user_id == user_id, exchange.c.session_id == session_id)
            .order_by(exchange.c.id.desc())
            .limit(1)
        )
        async with self._database.write(dao_id) as connection:
            request_id = await connection.scalar(latest)
            if not request_id:
                return False
            clean = words.encode("utf-8", "replace").decode().replace("\0", "")[:MOST_WORDS]
            await self._put(connection, {"dao_id": dao_id, "request_id": request_id, "user_id": user_id}, {"comment": clean})
        return True

    async def _put(self, connection: AsyncConnection, of: Mapping[str, str], said: Mapping[str, object]) -> None:
        values = {**said, "at": self._clock.now()}
        same = [feedback.c[name] == value for name, value in of.items()]
        # Writers come one after another, so nobody else adds it in between.
        if not (await connection.execute(update(feedback).where(*same).values(**values))).rowcount:
            await connection.execute(insert(feedback).values(**of, **values))


def _answered(dao_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        exchange.c.dao_id == dao_id,
        exchange.c.outcome == "ok",
        exchange.c.mode == "chat",
        exchange.c.source != _STACK,
        exchange.c.cleared_at.is_(None),
    )


async def forget_feedback(connection: AsyncConnection, exchanges: Sequence[int]) -> None:
    """Remove what anybody thinks of these exchanges, which are being cleared of their text."""
    cleared = select(exchange.c.dao_id, exchange.c.request_id).where(exchange.c.id.in_(exchanges))
    await connection.execute(delete(feedback).where(tuple_(feedback.c.dao_id, feedback.c.request_id).in_(cleared)))


async def opinions_elsewhere(
    connection: AsyncConnection, accounts: Collection[str], dao_id: str | None
) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
    """What these accounts think of answers to others, by DAO and account; each `request_id`, `value`, `comment`, `at`."""
    own = exists().where(
        exchange.c.dao_id == feedback.c.dao_id, exchange.c.request_id == feedback.c.request_id, exchange.c.user_id.in_(accounts)
    )
    wanted = [feedback.c.user_id.in_(accounts), ~own]
    if dao_id is not None:
        wanted.append(feedback.c.dao_id == dao_id)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in await connection.execute(select(feedback).where(*wanted).order_by(feedback.c.dao_id, feedback.c.user_id, feedback.c.at)):
        opinion = {"request_id": row.request_id, "value": row.value, "comment": row.comment, "at": row.at}
        found.setdefault((row.dao_id, row.user_id), []).append(opinion)
    return found


async def read_feedback(connection: AsyncConnection, dao_id: str, requests: Select[Any]) -> Mapping[str, list[dict[str, Any]]]:
    """What people think of exchanges, by the requests a query finds; each `user_id`, `value`, `comment`, `at`, in the order of time."""
    wanted = (feedback.c.dao_id == dao_id, feedback.c.request_id.in_(requests))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in await connection.execute(select(feedback).where(*wanted).order_by(feedback.c.at, feedback.c.user_id)):
        opinion = {"user_id": row.user_id, "value": row.value, "comment": row.comment, "at": row.at}
        found.setdefault(row.request_id, []).append(opinion)
    return found
