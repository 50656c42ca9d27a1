"""Implements the port Outbox."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.ports.clock import Clock
from dagi.ports.inbox import Channel, Lane, Owed, Parcel
from dagi.stores.channel_tables import outbox
from dagi.stores.lanes import Lanes, lane_of, of_bots
from dagi.stores.together import Together

_WHY: Final = 200
# What was settled keeps its row, so that it is known, and none of its text.
_EMPTY: Final = {"body": b"", "plain": b"", "holder": ""}


class SqlOutbox:
    """See the port.

    Args:
        bots: whose parcels are taken, each with its channel; all where left out. Those of others wait for a process that has them.
    """

    def __init__(self, together: Together, clock: Clock, bots: Collection[tuple[Channel, str]] | None = None) -> None:
        self._together = together
        self._clock = clock
        self._lanes = Lanes(outbox, outbox.c.id, outbox.c.settled_at, together, clock, shared=bots is None or len(bots) > 1)
        self._ours = () if bots is None else (of_bots(outbox, bots),)

    async def owe(self, parcels: Sequence[Parcel]) -> None:
        """See the port."""

        async def work(connection: AsyncConnection) -> None:
            now = self._clock.now()
            await connection.execute(insert(outbox), [row_of(parcel, now) for parcel in parcels])

        if parcels:
            await self._together.run(work)

    async def take(self, most: int) -> Sequence[Owed]:
        """See the port."""
        return [_owed(row) for row in await self._lanes.take(most, outbox.c.due_at <= self._clock.now(), *self._ours)]

    async def keep(self, owed: Sequence[int]) -> None:
        """See the port."""
        await self._lanes.keep(owed)

    async def delivered(self, owed: Owed, message: str = "") -> None:
        """See the port."""
        await self._lanes.change(owed.id, settled_at=self._clock.now(), message=message, **_EMPTY)

    async def later(self, owed: Owed, until: datetime) -> None:
        """See the port."""
        await self._lanes.change(owed.id, due_at=until, holder="", held_until=None)

    async def give_back(self, owed: Owed) -> None:
        """See the port."""
        await self._lanes.give_back(owed.id)

    async def given_up(self, owed: Owed, why: str) -> None:
        """See the port."""
        await self._lanes.change(owed.id, settled_at=self._clock.now(), why=why[:_WHY], **_EMPTY)

    async def moved(self, lane: Lane, chat: str) -> None:
        """See the port."""
        waiting = (outbox.c.channel == lane.channel) & (outbox.c.bot == lane.bot) & (outbox.c.chat == lane.chat)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(update(outbox).where(waiting, outbox.c.settled_at.is_(None)).values(chat=chat))

        await self._together.run(work)


def row_of(parcel: Parcel, now: datetime) -> Mapping[str, Any]:
    """A parcel as a row."""
    return {
        "channel": parcel.lane.channel,
        "bot": parcel.lane.bot,
        "chat": parcel.lane.chat,
        "method": parcel.method,
        "body": parcel.body,
        "plain": parcel.plain,
        "request_id": parcel.request_id,
        "optional": parcel.optional,
        "since": now,
        "due_at": now,
    }


def _owed(row: Row[Any]) -> Owed:
    parcel = Parcel(
        lane=lane_of(row),
        method=row.method,
        body=row.body,
        plain=row.plain,
        request_id=row.request_id,
        optional=row.optional,
    )
    return Owed(id=row.id, parcel=parcel, since=row.since, attempt=row.attempts)
