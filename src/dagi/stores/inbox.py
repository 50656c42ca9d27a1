"""Implements the port Inbox."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.ports.clock import Clock
from dagi.ports.inbox import Channel, Parcel, Taken, Update
from dagi.stores.channel_tables import inbox, outbox
from dagi.stores.lanes import Lanes, lane_of, of_bots
from dagi.stores.outbox import row_of
from dagi.stores.together import Together


class SqlInbox:
    """See the port.

    Args:
        bots: whose updates are taken, each with its channel; all where left out. Those of others wait for a process that has them.
    """

    def __init__(self, together: Together, clock: Clock, bots: Collection[tuple[Channel, str]] | None = None) -> None:
        self._together = together
        self._clock = clock
        self._lanes = Lanes(inbox, inbox.c.number, inbox.c.handled_at, together, clock, shared=bots is None or len(bots) > 1)
        self._ours = () if bots is None else (of_bots(inbox, bots),)

    async def put(self, update: Update) -> bool:
        """See the port."""
        return await self._together.gathered(_put, update)

    async def take(self, most: int) -> Sequence[Taken]:
        """See the port."""
        return [_taken(row) for row in await self._lanes.take(most, *self._ours)]

    async def keep(self, taken: Sequence[int]) -> None:
        """See the port."""
        await self._lanes.keep(taken)

    async def note(self, taken: int, progress: str) -> None:
        """See the port."""
        await self._lanes.change(taken, progress=progress)

    async def handled(self, taken: Taken, parcels: Sequence[Parcel]) -> bool:
        """See the port."""

        async def work(connection: AsyncConnection) -> bool:
            now = self._clock.now()
            # What was said is kept with its exchange, for as long as those are kept, and nowhere else.
            if not await self._lanes.changed(connection, taken.id, handled_at=now, body=b"", progress=""):
                return False
            if parcels:
                await connection.execute(insert(outbox), [row_of(parcel, now) for parcel in parcels])
            return True

        return await self._together.run(work)

    async def give_back(self, taken: Taken) -> None:
        """See the port."""
        await self._lanes.give_back(taken.id)


async def _put(connection: AsyncConnection, updates: Sequence[Update]) -> Sequence[bool]:
    """Insert them in one statement; tells of each whether it is new."""
    # One that stands here twice is new once.
    first = {_name(update): index for index, update in reversed(list(enumerate(updates)))}
    new = postgresql.insert(inbox) if connection.dialect.name == "postgresql" else sqlite.insert(inbox)
    added = await connection.execute(
        new.on_conflict_do_nothing().returning(inbox.c.channel, inbox.c.bot, inbox.c.number),
        [_row(updates[index]) for index in sorted(first.values())],
    )
    kept = {first[row.channel, row.bot, row.number] for row in added}
    return [index in kept for index in range(len(updates))]


def _name(update: Update) -> tuple[str, str, int]:
    return update.lane.channel, update.lane.bot, update.number


def _row(update: Update) -> Mapping[str, object]:
    lane = update.lane
    return {
        "channel": lane.channel,
        "bot": lane.bot,
        "chat": lane.chat,
        "number": update.number,
        "body": update.body,
        "received_at": update.received_at,
    }


def _taken(row: Row[Any]) -> Taken:
    update = Update(lane=lane_of(row), number=row.number, body=row.body, received_at=row.received_at)
    return Taken(id=row.id, update=update, attempt=row.attempts, progress=row.progress)
