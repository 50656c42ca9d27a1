"""How long inbox and outbox keep what they are done with, and how long they wait for what nobody does."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Select, Table, and_, delete, or_, select, update

from dagi.ports.clock import Clock
from dagi.stores.channel_tables import inbox, outbox
from dagi.stores.database import Database

BATCH: Final = 500
PAUSE_S: Final = 0.05
# Telegram delivers an update again for a day (https://core.telegram.org/bots/api#getting-updates): twice that, we know that we had it.
UPDATES_KEPT: Final = timedelta(hours=48)
PARCELS_KEPT: Final = timedelta(days=30)
# Whoever asked a day ago waits no more; until then an update may wait for a bot that is set up again.
WAITED: Final = timedelta(hours=24)

# An update and a parcel that is over: no text of it stays.
UPDATE_OVER: Final[Mapping[str, object]] = {"body": b"", "progress": "", "holder": "", "held_until": None}
PARCEL_OVER: Final[Mapping[str, object]] = {"body": b"", "plain": b"", "holder": "", "held_until": None}


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """What one run removed; and what it gave up, by bot."""

    updates: int = 0
    parcels: int = 0
    updates_given_up: Mapping[str, int] = msgspec.field(default_factory=dict)
    parcels_given_up: Mapping[str, int] = msgspec.field(default_factory=dict)


class ChannelPurge:
    """Removes rows that are done with once they are old, and gives up on those that have waited for too long."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> Purged:
        """Do both, in small steps.

        Raises:
            StoreError: the database cannot be written.
        """
        now = self._clock.now()
        updates = await self._removed(inbox, inbox.c.handled_at < now - UPDATES_KEPT)
        parcels = await self._removed(outbox, outbox.c.settled_at < now - PARCELS_KEPT)
        late = and_(inbox.c.handled_at.is_(None), inbox.c.received_at < now - WAITED, _free(inbox, now))
        updates_given_up = await self._given_up(inbox, late, {**UPDATE_OVER, "handled_at": now})
        late = and_(outbox.c.settled_at.is_(None), outbox.c.since < now - WAITED, _free(outbox, now))
        parcels_given_up = await self._given_up(outbox, late, {**PARCEL_OVER, "settled_at": now, "why": f"not delivered within {WAITED}"})
        return Purged(updates=updates, parcels=parcels, updates_given_up=updates_given_up, parcels_given_up=parcels_given_up)

    async def _removed(self, table: Table, old: ColumnElement[bool]) -> int:
        removed = 0
        while ids := await self._ids(select(table.c.id).where(old)):
            async with self._database.write() as connection:
                removed += (await connection.execute(delete(table).where(table.c.id.in_(ids), old))).rowcount
            await self._clock.sleep(PAUSE_S)
        return removed

    async def _given_up(self, table: Table, late: ColumnElement[bool], over: Mapping[str, object]) -> Mapping[str, int]:
        bots: Counter[str] = Counter()
        while ids := await self._ids(select(table.c.id).where(late)):
            async with self._database.write() as connection:
                # Somebody may have begun with one of them since.
                given_up = update(table).where(table.c.id.in_(ids), late).values(**over).returning(table.c.bot)
                bots.update((await connection.scalars(given_up)).all())
            await self._clock.sleep(PAUSE_S)
        return bots

    async def _ids(self, found: Select[tuple[int]]) -> Sequence[int]:
        # Nobody takes the writer's lock for nothing.
        async with self._database.read() as connection:
            return [row.id for row in await connection.execute(found.limit(BATCH))]


def _free(table: Table, now: datetime) -> ColumnElement[bool]:
    return or_(table.c.held_until.is_(None), table.c.held_until <= now)


def private_chats(accounts: Sequence[str]) -> Sequence[str]:
    """The private chats with these accounts: Telegram gives them the person's own number (https://core.telegram.org/bots/api#chat)."""
    return [account.removeprefix("tg:") for account in accounts if account.startswith("tg:")]
