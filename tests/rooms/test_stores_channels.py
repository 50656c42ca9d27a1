"""How long inbox and outbox keep what they have."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from dagi.ports.inbox import Lane, Parcel, Update
from dagi.stores.channel_purge import BATCH, PARCELS_KEPT, UPDATES_KEPT, WAITED
from dagi.stores.channel_traces import Reading
from dagi.stores.chat_bindings import BindingAdmin
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.erasure import Erasure
from dagi.stores.inbox import SqlInbox
from dagi.stores.outbox import SqlOutbox
from dagi.stores.retention import Retention
from dagi.stores.together import Together
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio
ANN, BEN, GROUP = (Lane("telegram", "main", chat) for chat in ("1", "2", "-1001"))
MINUTE = timedelta(minutes=1)


class Post:
    """Inbox and outbox over one database, and the schedule that keeps them small."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock()
        self.observer = CollectingObserver()
        together = Together(database)
        self.inbox, self.outbox = SqlInbox(together, self.clock), SqlOutbox(together, self.clock)
        self.retention = Retention(database, self.observer, self.clock, days=90)

    async def put(self, number: int, lane: Lane = ANN) -> bool:
        return await self.inbox.put(Update(lane=lane, number=number, body=b"SECRET", received_at=self.clock.now()))

    async def owe(self, lane: Lane = ANN) -> None:
        await self.outbox.owe([Parcel(lane=lane, method="sendMessage", body=b"SECRET", plain=b"SECRET", request_id="tg-main-1")])

    async def rows(self, query: str) -> list[tuple[object, ...]]:
        async with self.database.read() as connection:
            return [tuple(row) for row in await connection.execute(text(query))]

    async def after(self, time: timedelta) -> None:
        """Let the time pass in steps that no clock would be doubted for, and the schedule run at the end."""
        while time > timedelta():
            step = min(time, timedelta(hours=12))
            self.clock.advance(step.total_seconds())
            time -= step
        self.cleared = await self.retention.run()


@pytest.fixture
def post(database: Database) -> Post:
    """Both, empty, on each kind of database."""
    return Post(database)


async def test_a_handled_update_is_known_for_two_days_and_forgotten_then(post: Post) -> None:
    await post.put(1)
    (taken,) = await post.inbox.take(1)
    await post.inbox.handled(taken, [])
    await post.after(UPDATES_KEPT)
    assert not await post.put(1)
    await post.after(MINUTE)
    assert post.cleared.channels.updates == 1
    assert await post.put(1)


async def test_a_parcels_row_stays_for_thirty_days(post: Post) -> None:
    await post.owe()
    await post.owe(BEN)
    first, second = await post.outbox.take(2)
    await post.outbox.delivered(first, "7")
    await post.outbox.given_up(second, "403")
    await post.after(PARCELS_KEPT)
    assert await post.rows("SELECT count(*) FROM outbox") == [(2,)]
    await post.after(MINUTE)
    assert (post.cleared.channels.parcels, await post.rows("SELECT count(*) FROM outbox")) == (2, [(0,)])


async def test_what_nobody_does_for_a_day_is_given_up_and_the_log_says_so_without_the_text(post: Post) -> None:
    await post.put(1)
    await post.owe()
    await post.after(WAITED)
    await post.put(2)
    await post.owe(BEN)
    await post.after(MINUTE)
    assert await post.rows("SELECT number FROM inbox WHERE handled_at IS NULL") == [(2,)]
    assert await post.rows("SELECT chat FROM outbox WHERE settled_at IS NULL") == [("2",)]
    assert await post.rows("SELECT why FROM outbox WHERE settled_at IS NOT NULL") == [("not delivered within 1 day, 0:00:00",)]
    assert len(await post.rows("SELECT 1 FROM inbox WHERE length(body) > 0")) == 1
    assert not await post.put(1)
    assert post.cleared.channels.updates_given_up == post.cleared.channels.parcels_given_up == {"main": 1}


async def test_the_schedule_notes_what_it_gave_up(post: Post) -> None:
    class Stopped(Exception):
        """Ends what goes on for ever."""

    class Once(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if seconds > 1:
                raise Stopped

    await post.put(1)
    await post.owe()
    clock = Once(post.clock.now() + WAITED + MINUTE)
    with pytest.raises(Stopped):
        await Retention(post.database, post.observer, clock, days=90).follow()
    assert post.observer.events == ["updates_given_up", "parcels_given_up"]
    assert "SECRET" not in str(post.observer.notes)


async def test_what_somebody_is_doing_is_not_given_up_however_old_it_is(post: Post) -> None:
    await post.put(1)
    await post.owe()
    post.clock.advance((WAITED + MINUTE).total_seconds())
    (taken,), (owed,) = await post.inbox.take(1), await post.outbox.take(1)
    await post.retention.run()
    assert await post.inbox.handled(taken, [])
    await post.outbox.delivered(owed, "8")
    assert await post.rows("SELECT message FROM outbox") == [("8",)]


async def test_many_old_rows_go_in_small_steps(post: Post) -> None:
    for number in range(BATCH + 3):
        await post.put(number, Lane("telegram", "main", str(number)))
    for taken in await post.inbox.take(BATCH + 3):
        await post.inbox.handled(taken, [])
    await post.after(UPDATES_KEPT + MINUTE)
    assert post.cleared.channels.updates == BATCH + 3
    assert len([slept for slept in post.clock.slept if slept < 1]) == 2


async def test_an_erased_person_leaves_nothing_in_inbox_and_outbox_and_gets_no_answer_any_more(post: Post) -> None:
    for number, lane in enumerate((ANN, ANN, BEN, GROUP)):
        await post.put(number, lane)
        await post.owe(lane)
    held = [taken for taken in await post.inbox.take(9) if taken.update.lane == ANN]
    owed = [one for one in await post.outbox.take(9) if one.parcel.lane == ANN]
    await post.outbox.delivered(owed[0], "55")
    erasure = Erasure(post.database, post.clock)
    assert ((await erasure.count("tg:1")).messages, (await erasure.count("tg:1", "green")).messages) == (3, 0)
    assert (await erasure.erase("tg:1", "green")).messages == 0
    assert (await erasure.erase("tg:1")).messages == 3
    assert await post.rows("SELECT chat, count(*) FROM inbox WHERE handled_at IS NULL GROUP BY chat ORDER BY chat") == [
        ("-1001", 1),
        ("2", 1),
    ]
    assert await post.rows("SELECT chat, count(*) FROM outbox WHERE settled_at IS NULL GROUP BY chat ORDER BY chat") == [
        ("-1001", 1),
        ("2", 1),
    ]
    assert await post.rows("SELECT 1 FROM inbox WHERE chat = '1' OR (chat = '' AND length(body) > 0)") == []
    assert await post.rows("SELECT 1 FROM outbox WHERE chat = '1' OR (chat = '' AND (length(body) > 0 OR request_id <> ''))") == []
    # Whoever was answering has nothing to say any more; the platform's second delivery says nothing new.
    assert not await post.inbox.handled(held[0], [Parcel(lane=ANN, method="sendMessage", body=b"SECRET")])
    assert not await post.put(0)


async def test_what_a_person_is_erased_of_in_one_dao_is_of_the_chats_that_belong_to_it(post: Post) -> None:
    for dao in ("green", "bees"):
        await Daos(post.database, post.clock).create(dao, dao)
    second, third = Lane("telegram", "second", "1"), Lane("telegram", "third", "1")
    for number, lane in enumerate((ANN, second, third, BEN)):
        await post.put(number, lane)
        await post.owe(lane)
    # The configuration says it of the first bot, the database of another one's chat.
    await BindingAdmin(post.database, post.clock).bind(second, "green")
    await BindingAdmin(post.database, post.clock).bind(third, "bees")
    reading = Reading(dao_of=lambda lane: "green" if lane.bot in {"main", "third"} else None)
    erasure = Erasure(post.database, post.clock, reading=reading)
    assert (await erasure.count("tg:1", "green")).messages == 4
    assert (await erasure.erase("tg:1", "green")).messages == 4
    left = "SELECT bot, chat FROM inbox WHERE handled_at IS NULL ORDER BY bot, chat"
    assert await post.rows(left) == [("main", "2"), ("third", "1")]
    assert len(await BindingAdmin(post.database, post.clock).all()) == 2
    assert (await erasure.erase("tg:1")).messages == 2
    assert await post.rows(left) == [("main", "2")]
    assert await BindingAdmin(post.database, post.clock).all() == []


async def test_a_process_takes_only_what_belongs_to_its_own_bots(post: Post) -> None:
    other = Lane("telegram", "other", "1")
    for number, lane in enumerate((ANN, other)):
        await post.put(number, lane)
        await post.owe(lane)
    together = Together(post.database)
    inbox, outbox = SqlInbox(together, post.clock, [("telegram", "other")]), SqlOutbox(together, post.clock, [("telegram", "other")])
    assert [one.update.lane for one in await inbox.take(9)] == [other]
    assert [one.parcel.lane for one in await outbox.take(9)] == [other]
    nobody = SqlInbox(together, post.clock, [])
    assert await nobody.take(9) == []
    assert [one.update.lane for one in await post.inbox.take(9)] == [ANN]
