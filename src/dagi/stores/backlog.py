"""How much waits in inbox and outbox, of which bot, and since when."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.ports.inbox import Channel
from dagi.stores.channel_tables import inbox, outbox
from dagi.stores.database import Database


class Waiting(msgspec.Struct, frozen=True):
    """How many of a bot's wait, and since when the oldest of them."""

    number: int
    since: datetime


Waits = Mapping[tuple[Channel, str], Waiting]


async def waiting(database: Database) -> tuple[Waits, Waits]:
    """What waits in the inbox, and in the outbox.

    Raises:
        StoreError: the database cannot be read.
    """
    async with database.read() as connection:
        return await _of(connection, updates=True), await _of(connection, updates=False)


async def _of(connection: AsyncConnection, *, updates: bool) -> Waits:
    table, settled, since = (inbox, inbox.c.handled_at, inbox.c.received_at) if updates else (outbox, outbox.c.settled_at, outbox.c.since)
    oldest = func.min(since, type_=since.type)
    counted = select(table.c.channel, table.c.bot, func.count(), oldest).where(settled.is_(None)).group_by(table.c.channel, table.c.bot)
    return {(channel, bot): Waiting(number, when) for channel, bot, number, when in await connection.execute(counted)}
