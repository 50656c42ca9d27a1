"""What inbox and outbox have in common: rows that stand in lanes, each lane taken from its front by one holder at a time."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Row, Select, Table, and_, case, exists, false, func, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.ports.clock import Clock
from dagi.ports.inbox import HELD_S, Channel, Lane
from dagi.stores.together import Together

HELD: Final = timedelta(seconds=HELD_S)


class Lanes:
    """Takes rows of a table with the columns `channel`, `bot`, `chat`, `holder`, `held_until` and `attempts`.

    Args:
        place: the column that tells a row's place in its lane.
        settled: the column that is null as long as the row has to be done.
        shared: several bots may have rows that are taken, and share the places.
    """

    def __init__(
        self, table: Table, place: Column[int], settled: Column[Any], together: Together, clock: Clock, *, shared: bool = True
    ) -> None:
        self._table = table
        self._settled = settled
        self._several = shared
        self._together = together
        self._clock = clock
        self.holder = token_hex(16)
        self._other = other = table.alias("other")
        self._same_lane = and_(
            *(other.c[name] == table.c[name] for name in ("channel", "bot", "chat")),
            other.c[settled.name].is_(None),
        )
        self._front = ~exists().where(self._same_lane, other.c[place.name] < place)

    async def take(self, most: int, *conditions: ColumnElement[bool]) -> Sequence[Row[Any]]:
        """Hold the first row of as many lanes, of those that nobody holds; of each bot as many as of others, as far as it has them."""
        # Mostly there is nothing, and whoever only looks keeps nobody from writing.
        async with self._together.database.read() as connection:
            now = self._clock.now()
            if most <= 0 or not await connection.scalar(select(self._due(now, conditions).exists())):
                return ()
            bots = (await connection.execute(self._waiting(now, conditions))).all() if self._several else ()

        async def work(connection: AsyncConnection) -> Sequence[Row[Any]]:
            now, table = self._clock.now(), self._table
            taken = (
                update(table)
                .where(table.c.id.in_(self._shared(now, conditions, bots, most)))
                .values(holder=self.holder, held_until=now + HELD, attempts=table.c.attempts + 1)
                .returning(*table.c)
            )
            return sorted((await connection.execute(taken)).all(), key=lambda row: row.id)

        return await self._together.run(work)

    def _waiting(self, now: datetime, conditions: Sequence[ColumnElement[bool]]) -> Select[Any, Any, Any]:
        """The bots with rows that may be due, and how many of each we have: those first of which we have least."""
        table, held = self._table, self._table.c.held_until > now
        bots = select(table.c.channel, table.c.bot, func.sum(case((and_(held, table.c.holder == self.holder), 1), else_=0)).label("held"))
        anything = func.sum(case((held, 0), else_=1)) > 0
        return bots.where(self._settled.is_(None), *conditions).group_by(table.c.channel, table.c.bot).having(anything).order_by("held")

    def _shared(
        self, now: datetime, conditions: Sequence[ColumnElement[bool]], bots: Sequence[Row[Any, Any, Any]], most: int
    ) -> Select[tuple[int]]:
        """Of each bot its first rows, so that what we have already and what we get is the same of all."""
        due, table = self._due(now, conditions).order_by(self._table.c.id).limit(most), self._table
        if len(bots) == 1 or not self._several:
            return due
        turns: list[Select[Any, Any]] = []
        for bot in bots[:most]:
            own = due.where(table.c.channel == bot.channel, table.c.bot == bot.bot).subquery()
            turns.append(select(own.c.id, (func.row_number().over(order_by=own.c.id) + bot.held).label("turn")))
        line = union_all(*turns).subquery()
        return select(line.c.id).order_by(line.c.turn, line.c.id).limit(most)

    def _due(self, now: datetime, conditions: Sequence[ColumnElement[bool]]) -> Select[tuple[int]]:
        # Of the whole lane, its later rows too: what has come late, or moved here, stands before what somebody has already.
        free = ~exists().where(self._same_lane, self._other.c.held_until > now)
        return select(self._table.c.id).where(self._settled.is_(None), self._front, free, *conditions)

    async def keep(self, ids: Sequence[int]) -> None:
        """Hold these for longer."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(update(self._table).where(self._mine(ids)).values(held_until=self._clock.now() + HELD))

        if ids:
            await self._together.run(work)

    async def change(self, one: int, **values: object) -> None:
        """Change a row that is still ours."""

        async def work(connection: AsyncConnection) -> None:
            await self.changed(connection, one, **values)

        await self._together.run(work)

    async def give_back(self, one: int) -> None:
        """Let anybody have it at once, as if we had not tried it."""
        await self.change(one, held_until=None, holder="", attempts=self._table.c.attempts - 1)

    async def changed(self, connection: AsyncConnection, one: int, **values: object) -> bool:
        """The same within somebody's transaction; whether it was still ours."""
        return bool((await connection.execute(update(self._table).where(self._mine([one])).values(**values))).rowcount)

    def _mine(self, ids: Sequence[int]) -> ColumnElement[bool]:
        # The holder alone: one whose time is over may go on as long as nobody else has begun.
        return and_(self._table.c.id.in_(ids), self._table.c.holder == self.holder, self._settled.is_(None))


def of_bots(table: Table, bots: Collection[tuple[Channel, str]]) -> ColumnElement[bool]:
    """Whether a row belongs to one of them."""
    return or_(false(), *(and_(table.c.channel == channel, table.c.bot == bot) for channel, bot in bots))


def lane_of(row: Row[Any]) -> Lane:
    """The lane a row stands in."""
    return Lane(row.channel, row.bot, row.chat)
