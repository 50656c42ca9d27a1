"""How long text is kept: in small steps, so that nobody who writes has to wait for it."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import delete, exists, func, or_, select, update

from dagi.errors import StoreError
from dagi.ports.clock import Clock
from dagi.ports.observer import Observer
from dagi.stores.channel_purge import WAITED, ChannelPurge, Purged
from dagi.stores.database import Database
from dagi.stores.feedback import forget_feedback
from dagi.stores.pending_links import over
from dagi.stores.tables import erasure, exchange, session_summary

BATCH = 200
PAUSE_S = 0.05
EVERY_S = 3600.0
# A clock that is ahead by more than this is doubted for as long as this.
DOUBT = timedelta(days=1)
# Longer than any request runs: see `erasure`.
ERASURES_KEPT = timedelta(days=7)


class Cleared(msgspec.Struct, frozen=True):
    """What one run removed."""

    exchanges: int
    summaries: int
    channels: Purged = Purged()


class Retention:
    """Removes the text of exchanges once they are older than `days`, with the summaries made from it and what people thought of it.

    Everything else that can be counted stays.

    So it does with what channels are done with, after times of its own: see `channel_purge`.

    What is removed does not come back, so a wall clock that jumped ahead is not believed at once: nothing is removed for a day, in which
    the operator hears of it and the clock may be set right. A jump is seen against the monotonic clock, and at the start against the
    newest exchange.
    """

    def __init__(self, database: Database, observer: Observer, clock: Clock, *, days: int) -> None:
        self._database = database
        self._observer = observer
        self._clock = clock
        self._age = timedelta(days=days)
        self._channels = ChannelPurge(database, clock)
        # The wall clock and the monotonic one at the last run.
        self._last: tuple[datetime, float] | None = None
        self._doubted_until = float("-inf")

    async def follow(self) -> None:
        """Run now, and then every hour, for ever. A database that cannot be written is tried again the next time."""
        while True:
            try:
                cleared = await self.run()
            except StoreError as error:
                self._observer.note("retention_failed", level="error", why=str(error))
            else:
                self._tell(cleared)
            await self._clock.sleep(EVERY_S)

    def _tell(self, cleared: Cleared) -> None:
        if cleared.exchanges or cleared.summaries:
            self._observer.note("retention", exchanges=cleared.exchanges, summaries=cleared.summaries, days=self._age.days)
        channels = cleared.channels
        if channels.updates or channels.parcels:
            self._observer.note("channel_retention", updates=channels.updates, parcels=channels.parcels)
        for event, given_up in (("updates_given_up", channels.updates_given_up), ("parcels_given_up", channels.parcels_given_up)):
            for bot, count in given_up.items():
                advice = f"the bot {bot} works nowhere: set it up again, or never mind"
                self._observer.note(event, level="warning", bot=bot, count=count, hours=WAITED.total_seconds() / 3600, advice=advice)

    async def run(self) -> Cleared:
        """Remove what is too old.

        Raises:
            StoreError: the database cannot be written.
        """
        if await self._doubted():
            return Cleared(0, 0)
        end = self._clock.now() - self._age
        summaries = await self._outdated(end)
        await self._forget_begun()
        exchanges = 0
        while cleared := await self._batch(end):
            exchanges += cleared
            await self._clock.sleep(PAUSE_S)
        return Cleared(exchanges, summaries, await self._channels.run())

    async def _doubted(self) -> bool:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self._last is None:
            async with self._database.read() as connection:
                expected = await connection.scalar(select(func.max(exchange.c.at, type_=exchange.c.at.type))) or now
        else:
            expected = self._last[0] + timedelta(seconds=monotonic - self._last[1])
        self._last = (now, monotonic)
        ahead = now - expected
        if ahead > DOUBT:
            self._doubted_until = monotonic + DOUBT.total_seconds()
            self._observer.note("retention_waits", level="warning", why="the clock is ahead", days_ahead=ahead.days, hours=24)
        elif ahead < -DOUBT:
            # Set right again.
            self._doubted_until = float("-inf")
        return monotonic < self._doubted_until

    async def _outdated(self, end: datetime) -> int:
        stale = session_summary.c.since < end
        past = erasure.c.at < self._clock.now() - ERASURES_KEPT
        async with self._database.read() as connection:
            # Nobody takes the writer's lock for nothing.
            if not await connection.scalar(select(or_(exists().where(stale), exists().where(past)))):
                return 0
        async with self._database.write() as connection:
            removed = await connection.execute(delete(session_summary).where(stale))
            await connection.execute(delete(erasure).where(past))
            return removed.rowcount

    async def _forget_begun(self) -> None:
        """Remove what was begun to link accounts and is over: nobody may ever begin again, who would remove it."""
        for key, past in over(self._clock.now()):
            while True:
                async with self._database.read() as connection:
                    found = (await connection.scalars(select(key).where(past).limit(BATCH))).all()
                if not found:
                    break
                async with self._database.write() as connection:
                    await connection.execute(delete(key.table).where(key.in_(found), past))
                await self._clock.sleep(PAUSE_S)

    async def _batch(self, end: datetime) -> int:
        due = select(exchange.c.id).where(exchange.c.cleared_at.is_(None), exchange.c.at < end).order_by(exchange.c.at).limit(BATCH)
        async with self._database.read() as connection:
            ids = (await connection.scalars(due)).all()
        if not ids:
            return 0
        async with self._database.write() as connection:
            await forget_feedback(connection, ids)
            await connection.execute(
                update(exchange).where(exchange.c.id.in_(ids)).values(prompt="", answer="", cleared_at=self._clock.now()),
            )
        return len(ids)
