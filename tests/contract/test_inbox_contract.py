"""What every implementation of the ports Inbox and Outbox holds to: the ones over the databases, and the fakes."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text
from tests.conftest import Opener

from dagi.ports.inbox import HELD_S, Inbox, Lane, Outbox, Parcel, Taken, Update
from dagi.stores.database import Database
from dagi.stores.inbox import SqlInbox
from dagi.stores.outbox import SqlOutbox
from dagi.stores.together import Together
from dagi.testing.clock import FakeClock
from dagi.testing.inbox import FakeInbox, FakeOutbox, FakePost

pytestmark = pytest.mark.anyio
ANN, BEN = Lane("telegram", "main", "1"), Lane("telegram", "main", "2")
LONG_AGO = HELD_S + 1


class Process:
    """One of those that share what is kept."""

    def __init__(self, inbox: Inbox, outbox: Outbox, clock: FakeClock) -> None:
        self.inbox = inbox
        self.outbox = outbox
        self.clock = clock

    async def put(self, *numbers: int, lane: Lane = ANN, body: bytes = b"{}") -> list[bool]:
        now = self.clock.now()
        return [await self.inbox.put(Update(lane=lane, number=number, body=body, received_at=now)) for number in numbers]

    async def owe(self, *bodies: bytes, lane: Lane = ANN) -> None:
        await self.outbox.owe([parcel(body, lane) for body in bodies])

    async def numbers(self, most: int = 9) -> list[int]:
        return [one.update.number for one in await self.inbox.take(most)]

    async def bodies(self, most: int = 9) -> list[bytes]:
        return [one.parcel.body for one in await self.outbox.take(most)]


class Subject:
    """What is kept, and the processes that share it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.one = self.process()
        self.other = self.process()

    def process(self) -> Process:
        raise AssertionError

    async def texts(self) -> list[bytes]:
        """Every text that is kept, of whatever."""
        raise AssertionError


class InMemory(Subject):
    def __init__(self) -> None:
        self.post = FakePost()
        super().__init__()

    def process(self) -> Process:
        return Process(FakeInbox(self.post, self.clock), FakeOutbox(self.post, self.clock), self.clock)

    async def texts(self) -> list[bytes]:
        kept = [(row.update.body, row.progress.encode()) for row in self.post.updates]
        owed = [(row.parcel.body, row.parcel.plain) for row in self.post.parcels]
        return [one for pair in [*kept, *owed] for one in pair if one]


class OverSql(Subject):
    def __init__(self, database: Database) -> None:
        self.database = database
        super().__init__()

    def process(self) -> Process:
        together = Together(self.database)
        return Process(SqlInbox(together, self.clock), SqlOutbox(together, self.clock), self.clock)

    async def texts(self) -> list[bytes]:
        async with self.database.read() as connection:
            kept = [tuple(row) for row in await connection.execute(text("SELECT body, progress FROM inbox"))]
            owed = [tuple(row) for row in await connection.execute(text("SELECT body, plain FROM outbox"))]
        return [one if isinstance(one, bytes) else one.encode() for pair in [*kept, *owed] for one in pair if one]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def subject(request: pytest.FixtureRequest, opened: Opener) -> Subject:
    return InMemory() if request.param == "memory" else OverSql(await opened(request.param))


def parcel(body: bytes = b"{}", lane: Lane = ANN, **more: object) -> Parcel:
    return Parcel(lane=lane, method="sendMessage", body=body, **more)


async def only(taken: Sequence[Taken]) -> Taken:
    (one,) = taken
    return one


async def test_an_update_that_comes_twice_is_kept_once_also_after_it_was_handled(subject: Subject) -> None:
    assert await subject.one.put(7, 7) == [True, False]
    assert await subject.other.put(7, lane=BEN) == [False]
    assert await subject.one.put(7, lane=Lane("telegram", "second", "1")) == [True]
    assert await subject.one.put(7, lane=Lane("discord", "main", "1")) == [True]
    for taken in await subject.one.inbox.take(9):
        assert await subject.one.inbox.handled(taken, [])
    assert await subject.one.put(7) == [False]
    assert await subject.one.numbers() == []


async def test_of_the_same_update_put_by_many_at_once_one_is_kept(subject: Subject) -> None:
    puts = await asyncio.gather(*((subject.one, subject.other)[at % 2].put(3) for at in range(40)))
    assert sorted(puts) == [[False]] * 39 + [[True]]


async def test_a_lane_is_taken_in_the_order_of_its_numbers_one_at_a_time(subject: Subject) -> None:
    await subject.one.put(12, 10, 11)
    await subject.one.put(5, lane=BEN)
    seen: list[int] = []
    while found := await subject.one.inbox.take(9):
        assert len({taken.update.lane for taken in found}) == len(found)
        for taken in found:
            seen.append(taken.update.number)
            assert await subject.one.inbox.handled(taken, [])
    assert [number for number in seen if number != 5] == [10, 11, 12]
    assert sorted(seen) == [5, 10, 11, 12]


async def test_what_comes_late_waits_for_whoever_has_its_lane(subject: Subject) -> None:
    # Telegram delivers over several connections: an earlier number may be here last.
    await subject.one.put(12)
    taken = await only(await subject.one.inbox.take(9))
    await subject.other.put(11)
    assert await subject.other.numbers() == []
    await subject.one.inbox.handled(taken, [])
    assert await subject.other.numbers() == [11]


async def test_no_two_processes_take_the_same(subject: Subject) -> None:
    lanes = [Lane("telegram", "main", str(chat)) for chat in range(30)]
    for number, lane in enumerate(lanes):
        await subject.one.put(number, lane=lane)
        await subject.one.owe(b"%d" % number, lane=lane)
    taken = await asyncio.gather(*((subject.one, subject.other)[at % 2].numbers(4) for at in range(12)))
    assert sorted(number for found in taken for number in found) == list(range(30))
    owed = await asyncio.gather(*((subject.one, subject.other)[at % 2].bodies(4) for at in range(12)))
    assert sorted(int(body) for found in owed for body in found) == list(range(30))


async def test_no_more_are_taken_than_asked_for_those_that_came_first_before_others(subject: Subject) -> None:
    for number in range(5):
        await subject.one.put(number, lane=Lane("telegram", "main", str(number)))
    assert [await subject.one.numbers(2) for _ in range(4)] == [[0, 1], [2, 3], [4], []]
    assert await subject.one.numbers(0) == []


async def test_whose_time_is_over_another_takes_it_with_what_was_noted_and_the_attempts_count(subject: Subject) -> None:
    await subject.one.put(1)
    first = await only(await subject.one.inbox.take(1))
    assert (first.attempt, first.progress) == (1, "")
    await subject.one.inbox.note(first.id, "half — половина")
    subject.clock.advance(HELD_S - 1)
    assert await subject.other.inbox.take(1) == []
    subject.clock.advance(1)
    second = await only(await subject.other.inbox.take(1))
    assert (second.attempt, second.progress, second.update) == (2, "half — половина", first.update)


async def test_whoever_keeps_it_has_it_for_longer(subject: Subject) -> None:
    await subject.one.put(1)
    await subject.one.owe(b"{}")
    taken = await only(await subject.one.inbox.take(1))
    (owed,) = await subject.one.outbox.take(1)
    for _ in range(3):
        subject.clock.advance(HELD_S - 1)
        await subject.one.inbox.keep([taken.id, 999])
        await subject.one.outbox.keep([owed.id, 999])
        await subject.other.inbox.keep([taken.id])
    await subject.one.inbox.keep([])
    assert [await subject.other.numbers(), await subject.other.bodies()] == [[], []]
    subject.clock.advance(LONG_AGO)
    await subject.other.inbox.keep([taken.id])
    assert [await subject.other.numbers(), await subject.other.bodies()] == [[1], [b"{}"]]


async def test_handled_counts_once_and_owes_once(subject: Subject) -> None:
    await subject.one.put(1)
    taken = await only(await subject.one.inbox.take(1))
    assert not await subject.other.inbox.handled(taken, [parcel(b"other")])
    assert await subject.one.inbox.handled(taken, [parcel(b"first")])
    assert not await subject.one.inbox.handled(taken, [parcel(b"second")])
    assert await subject.one.bodies() == [b"first"]


async def test_whoever_is_late_may_still_finish_until_another_has_begun(subject: Subject) -> None:
    await subject.one.put(1, 2)
    first = await only(await subject.one.inbox.take(1))
    subject.clock.advance(LONG_AGO)
    assert await subject.one.inbox.handled(first, [parcel(b"one")])
    second = await only(await subject.one.inbox.take(1))
    subject.clock.advance(LONG_AGO)
    again = await only(await subject.other.inbox.take(1))
    await subject.one.inbox.note(second.id, "mine")
    await subject.one.inbox.give_back(second)
    assert not await subject.one.inbox.handled(second, [parcel(b"late")])
    assert await subject.other.inbox.handled(again, [parcel(b"two")])
    assert await _all(subject.other) == [b"one", b"two"]


async def test_what_is_given_back_is_anybodys_at_once_as_if_it_had_not_been_tried(subject: Subject) -> None:
    await subject.one.put(1)
    await subject.one.owe(b"{}")
    for one, other in ((subject.one, subject.other), (subject.other, subject.one)):
        taken = await only(await one.inbox.take(1))
        (owed,) = await one.outbox.take(1)
        assert (taken.attempt, owed.attempt) == (1, 1)
        await one.inbox.give_back(taken)
        await one.outbox.give_back(owed)
        assert not await one.inbox.handled(taken, [])
        await other.inbox.give_back(taken)
    assert [await subject.one.numbers(), await subject.one.bodies()] == [[1], [b"{}"]]


def _of(bot: str, chat: int) -> Lane:
    return Lane("telegram", bot, str(chat))


async def test_what_is_taken_is_shared_among_the_bots_that_have_work(subject: Subject) -> None:
    for number in range(30):
        await subject.one.put(number, lane=_of("flooded", number))
        await subject.one.owe(b"%d" % number, lane=_of("flooded", number))
    for number in range(4):
        await subject.one.put(number, lane=_of("quiet", number))
        await subject.one.owe(b"q", lane=_of("quiet", number))

    async def bots(most: int) -> list[str]:
        found = [one.update.lane.bot for one in await subject.one.inbox.take(most)]
        assert [one.parcel.lane.bot for one in await subject.one.outbox.take(most)] == found
        return sorted(found)

    assert await bots(6) == ["flooded"] * 3 + ["quiet"] * 3
    # What one has already counts; what others have elsewhere does not.
    assert await bots(2) == ["flooded", "quiet"]
    assert (len(await subject.other.numbers(5)), len(await subject.other.bodies(5))) == (5, 5)
    await subject.one.put(77, lane=_of("late", 1))
    await subject.one.owe(b"l", lane=_of("late", 1))
    assert await bots(1) == ["late"]
    assert set(await bots(30)) == {"flooded"}


async def _all(process: Process) -> list[bytes]:
    """Everything that is owed, delivered."""
    seen: list[bytes] = []
    while found := await process.outbox.take(9):
        for owed in found:
            seen.append(owed.parcel.body)
            await process.outbox.delivered(owed, "77")
    return seen


async def test_parcels_are_delivered_in_the_order_in_which_they_were_owed(subject: Subject) -> None:
    await subject.one.put(1)
    await subject.one.owe(b"a", b"b")
    await subject.one.inbox.handled(await only(await subject.one.inbox.take(1)), [parcel(b"c"), parcel(b"d"), parcel(b"e")])
    await subject.other.owe(b"f")
    await subject.one.owe()
    assert await _all(subject.one) == [b"a", b"b", b"c", b"d", b"e", b"f"]


async def test_a_parcel_comes_back_as_it_was_owed(subject: Subject) -> None:
    full = parcel(b'{"text":"\xd1\x97"}', plain=b"\x00\xff", request_id="tg-main-1", optional=True)
    await subject.one.outbox.owe([full])
    subject.clock.advance(5)
    (owed,) = await subject.one.outbox.take(1)
    assert (owed.parcel, owed.attempt, subject.clock.now() - owed.since) == (full, 1, timedelta(seconds=5))


async def test_what_is_put_off_keeps_its_lane_waiting_and_no_other(subject: Subject) -> None:
    await subject.one.owe(b"a", b"b")
    await subject.one.owe(b"z", lane=BEN)
    (first, other) = await subject.one.outbox.take(9)
    await subject.one.outbox.delivered(other)
    await subject.one.outbox.later(first, subject.clock.now() + timedelta(seconds=40))
    subject.clock.advance(39)
    assert await subject.one.bodies() == await subject.other.bodies() == []
    subject.clock.advance(1)
    (again,) = await subject.other.outbox.take(9)
    assert (again.parcel.body, again.attempt, again.since) == (b"a", 2, first.since)
    # Whoever had it before has no say any more.
    await subject.one.outbox.delivered(first)
    await subject.one.outbox.given_up(first, "late")
    await subject.one.outbox.later(first, subject.clock.now() + timedelta(hours=9))
    await subject.other.outbox.delivered(again)
    assert await subject.one.bodies() == [b"b"]


async def test_a_chat_that_moved_takes_along_what_waits_behind_whatever_the_new_one_has(subject: Subject) -> None:
    old, new = Lane("telegram", "main", "-5"), Lane("telegram", "main", "-1005")
    await subject.one.owe(b"a", b"b", lane=old)
    await subject.one.owe(b"c", lane=new)
    await subject.one.owe(b"x", lane=Lane("telegram", "second", "-5"))
    (first, held, other) = await subject.one.outbox.take(9)
    assert (held.parcel.body, other.parcel.body) == (b"c", b"x")
    await subject.one.outbox.delivered(other)
    await subject.one.outbox.moved(old, "-1005")
    await subject.one.outbox.later(first, subject.clock.now())
    # Somebody is still delivering to the new one.
    assert await subject.other.bodies() == []
    await subject.one.outbox.delivered(held)
    (again,) = await subject.other.outbox.take(9)
    assert (again.parcel.body, again.parcel.lane) == (b"a", new)
    await subject.other.outbox.delivered(again)
    assert await _all(subject.one) == [b"b"]


async def test_no_text_is_kept_of_what_is_settled(subject: Subject) -> None:
    await subject.one.put(1, 2, body=b"SECRET-1")
    taken = await only(await subject.one.inbox.take(1))
    await subject.one.inbox.note(taken.id, "SECRET-2")
    await subject.one.inbox.handled(taken, [parcel(b"SECRET-3", plain=b"SECRET-4"), parcel(b"SECRET-5", BEN, plain=b"SECRET-6")])
    assert sorted(await subject.texts()) == [b"SECRET-1", *(b"SECRET-%d" % number for number in (3, 4, 5, 6))]
    first, second = await subject.one.outbox.take(2)
    await subject.one.outbox.delivered(first, "1001")
    await subject.one.outbox.given_up(second, "403 Forbidden: bot was blocked by the user " * 20)
    assert await subject.texts() == [b"SECRET-1"]
    assert await subject.one.bodies() == []


async def test_a_thousand_updates_at_once_are_all_there(subject: Subject) -> None:
    await asyncio.gather(*((subject.one, subject.other)[number % 2].put(number, lane=_lane(number)) for number in range(1000)))
    found = [number for _ in range(10) for number in await subject.one.numbers(500)]
    assert sorted(found) == list(range(1000))


def _lane(number: int) -> Lane:
    return Lane("telegram", "main", str(number))


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff\xfe\x00\x80", b"'; DROP TABLE inbox; --", "Ґ😀".encode(), b"x" * 1_000_000])
async def test_bodies_come_back_byte_for_byte(subject: Subject, body: bytes) -> None:
    await subject.one.put(2**63 - 1, body=body, lane=Lane("telegram", "main", str(-(2**63))))
    await subject.one.owe(body)
    assert (await only(await subject.one.inbox.take(1))).update.body == body
    assert await subject.one.bodies() == [body]
