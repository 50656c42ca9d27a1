"""What was spent, by day and holder: written with the exchanges it belongs to, read at the start and by whoever asks."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.limits import Holder, holders
from dagi.stores.database import Database
from dagi.stores.tables import spend

Holding = tuple[str, str, str]  # of, dao_id, holder


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one holder used in a day or a month."""

    period: str
    of: Holder
    dao_id: str
    holder: str
    requests: int
    tokens: int
    micros: int
    last_at: datetime


async def add_spend(connection: AsyncConnection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add what exchanges used, as their rows say it. In the transaction of the rows, so that neither is there without the other."""
    sums: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for row in rows:
        day, dao_id = row["charged_on"], row["dao_id"]
        if not day:
            continue
        for of, holder in holders(dao_id, row["user_id"], row["key_id"]):
            if not holder:
                continue  # erased while the request was under way
            found = sums.setdefault(
                (day, dao_id, of, holder),
                {"day": day, "dao_id": dao_id, "of": of, "holder": holder, "requests": 0, "tokens": 0, "micros": 0, "last_at": row["at"]},
            )
            found["requests"] += 1
            found["tokens"] += row["charged_tokens"]
            found["micros"] += row["charged_micros"]
            found["last_at"] = max(found["last_at"], row["at"])
    if not sums:
        return
    # Both say it in the same words, each with its own class.
    new = postgresql.insert(spend) if connection.dialect.name == "postgresql" else sqlite.insert(spend)
    added = new.on_conflict_do_update(
        index_elements=[spend.c.dao_id, spend.c.of, spend.c.holder, spend.c.day],
        set_={
            "requests": spend.c.requests + new.excluded.requests,
            "tokens": spend.c.tokens + new.excluded.tokens,
            "micros": spend.c.micros + new.excluded.micros,
            "last_at": new.excluded.last_at,
        },
    )
    # In one order everywhere, so that two who add at once cannot wait for each other.
    await connection.execute(added, [sums[key] for key in sorted(sums)])


class Spends:
    """The repository of what was spent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def days(self, since: str) -> tuple[Spent, ...]:
        """Every day of everybody from a day on, days that a clock once set forward has left behind included."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(spend).where(spend.c.day >= since).order_by(spend.c.day))).mappings().all()
        return tuple(_spent(row["day"], row) for row in rows)

    async def recent(self, today: str) -> tuple[Spent, ...]:
        """Every day of everybody from the month of today on; where the clock is ahead of all that was counted, from the last month of that.

        So a clock that is set back afterwards finds what its own month has used.
        """
        async with self._database.read() as connection:
            latest = await connection.scalar(select(func.max(spend.c.day)))
        since = min(today, latest or today)
        return await self.days(f"{since[:7]}-01")

    async def of_holders(self, wanted: Sequence[Holding], day: str) -> dict[Holding, tuple[int, int]]:
        """Tokens of the day, and money of its month, of each holder that has spent anything."""
        found: dict[Holding, tuple[int, int]] = {}
        month = day[:7]
        tokens = func.sum(spend.c.tokens).filter(spend.c.day == day)
        query = select(func.coalesce(tokens, 0), func.coalesce(func.sum(spend.c.micros), 0)).where(
            spend.c.day.between(month, f"{month}-99")
        )
        async with self._database.read() as connection:
            for of, dao_id, holder in wanted:
                one = query.where(spend.c.of == of, spend.c.dao_id == dao_id, spend.c.holder == holder)
                used, micros = (await connection.execute(one)).one()
                found[of, dao_id, holder] = (int(used), int(micros))
        return found

    async def month(
        self, month: str, *, dao_id: str | None = None, of: Holder | None = None, holder: str | None = None
    ) -> tuple[Spent, ...]:
        """A month (`YYYY-MM`), or a day (`YYYY-MM-DD`), by holder: the dearest first."""
        columns = (spend.c.of, spend.c.dao_id, spend.c.holder)
        query = (
            select(
                *columns,
                _total(spend.c.requests).label("requests"),
                _total(spend.c.tokens).label("tokens"),
                _total(spend.c.micros).label("micros"),
                func.max(spend.c.last_at, type_=spend.c.last_at.type).label("last_at"),
            )
            .where(spend.c.day.startswith(month, autoescape=True))
            .group_by(*columns)
            .order_by(func.sum(spend.c.micros).desc(), func.sum(spend.c.tokens).desc(), *columns)
        )
        for column, value in ((spend.c.dao_id, dao_id), (spend.c.of, of), (spend.c.holder, holder)):
            query = query if value is None else query.where(column == value)
        async with self._database.read() as connection:
            return tuple(_spent(month, row) for row in (await connection.execute(query)).mappings())

    async def last_uses(self) -> dict[str, datetime]:
        """When each key was used last, by its id."""
        newest = func.max(spend.c.last_at, type_=spend.c.last_at.type)
        query = select(spend.c.holder, newest).where(spend.c.of == "key").group_by(spend.c.holder)
        async with self._database.read() as connection:
            return {key_id: at for key_id, at in await connection.execute(query)}  # noqa: C416 - names what the row holds


def _total(column: ColumnElement[int]) -> ColumnElement[int]:
    """The sum as a whole number, which PostgreSQL would otherwise make a decimal one."""
    return cast(func.sum(column), BigInteger)


def _spent(period: str, row: Mapping[Any, Any]) -> Spent:
    return Spent(
        period=period,
        of=row["of"],
        dao_id=row["dao_id"],
        holder=row["holder"],
        requests=row["requests"],
        tokens=row["tokens"],
        micros=row["micros"],
        last_at=row["last_at"],
    )
