"""Those who do what waits in inbox and outbox."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.conftest import until

from dagi.channels.hands import Hands
from dagi.errors import StoreError
from dagi.observe.clock import SystemClock
from dagi.ports.clock import Clock
from dagi.ports.inbox import Inbox, Lane, Taken, Update
from dagi.stores.database import Database
from dagi.stores.inbox import SqlInbox
from dagi.stores.together import Together
from dagi.testing.clock import FakeClock
from dagi.testing.inbox import FakeInbox, FakePost
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio


class Stuck(FakeInbox):
    """An inbox of which nothing can be had for longer, as while another program holds the database."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(FakePost(), clock)
        self.attempts = 0

    async def take(self, most: int) -> Sequence[Taken]:
        """See the port; counts."""
        found = await super().take(most)
        self.attempts = max([self.attempts, *(one.attempt for one in found)])
        return found

    async def keep(self, taken: Sequence[int]) -> None:
        """Fail."""
        raise StoreError(f"busy: {taken}")


class Slow(FakeInbox):
    """An inbox that has given something away before whoever asked hears of it."""

    def __init__(self, clock: FakeClock) -> None:
        self.post = FakePost()
        super().__init__(self.post, clock)
        self.taking = False
        self.go_on = asyncio.Event()

    async def take(self, most: int) -> Sequence[Taken]:
        """See the port."""
        found = await super().take(most)
        self.taking = True
        await self.go_on.wait()
        return found


async def test_what_we_are_doing_is_not_begun_again_by_ourselves_when_our_time_with_it_was_over() -> None:
    clock = FakeClock()
    inbox = Stuck(clock)
    begun: list[int] = []
    go_on = asyncio.Event()

    async def do(taken: Taken) -> None:
        begun.append(taken.attempt)
        await go_on.wait()
        assert await inbox.handled(taken, [])

    await inbox.put(Update(lane=Lane("telegram", "main", "1"), number=1, body=b"{}", received_at=clock.now()))
    hands = Hands("inbox", inbox, do, CollectingObserver(), clock)
    following = asyncio.create_task(hands.follow())
    await until(lambda: inbox.attempts > 1)
    go_on.set()
    await until(lambda: not hands.busy)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert begun == [1]


async def test_a_defect_in_what_is_done_is_told_and_the_others_go_on() -> None:
    clock, observer = FakeClock(), CollectingObserver()
    inbox = FakeInbox(FakePost(), clock)
    done: list[str] = []

    async def do(taken: Taken) -> None:
        if taken.update.lane.chat == "1":
            raise RuntimeError("a defect")
        done.append(taken.update.lane.chat)
        await inbox.handled(taken, [])

    for chat in ("1", "2"):
        await inbox.put(Update(lane=Lane("telegram", "main", chat), number=int(chat), body=b"{}", received_at=clock.now()))
    following = asyncio.create_task(Hands("inbox", inbox, do, observer, clock).follow())
    await until(lambda: done and "internal_error" in observer.events)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert done == ["2"]


class Working:
    """Hands at work on an inbox, as in one process; what they do hangs until it is told to go on."""

    def __init__(self, inbox: Inbox, clock: Clock, *, places: int = 64) -> None:
        self.inbox = inbox
        self.begun: list[Taken] = []
        self._go_on: dict[int, asyncio.Event] = {}
        self.hands: Hands[Taken] = Hands("inbox", inbox, self._do, CollectingObserver(), clock, places=places)
        self._following = asyncio.create_task(self.hands.follow())

    async def _do(self, taken: Taken) -> None:
        self.begun.append(taken)
        await self._go_on.setdefault(taken.id, asyncio.Event()).wait()
        await self.inbox.handled(taken, [])

    def finish(self, taken: Taken) -> None:
        """Let one be done with."""
        self._go_on[taken.id].set()

    async def stop(self) -> None:
        """As a process that is told to stop."""
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)


def update(number: int, bot: str = "main") -> Update:
    return Update(lane=Lane("telegram", bot, str(number)), number=number, body=b"{}", received_at=SystemClock().now())


async def test_a_flood_of_one_bot_leaves_the_next_free_place_to_another_ones_question(database: Database) -> None:
    inbox = SqlInbox(Together(database), SystemClock())
    await asyncio.gather(*(inbox.put(update(number, "flooded")) for number in range(500)))
    working = Working(inbox, SystemClock())
    await until(lambda: len(working.begun) == 64)
    await inbox.put(update(1, "quiet"))
    working.finish(working.begun[0])
    await until(lambda: len(working.begun) > 64)
    assert [one.update.lane.bot for one in working.begun[64:]] == ["quiet"]
    await working.stop()


async def test_who_is_told_to_stop_gives_back_what_he_had_and_that_is_no_attempt(database: Database) -> None:
    inboxes = [SqlInbox(Together(database), SystemClock()) for _ in range(4)]
    await inboxes[0].put(update(1))
    for inbox in inboxes:
        working = Working(inbox, SystemClock())
        await until(lambda working=working: working.begun)
        assert working.begun[0].attempt == 1
        await working.stop()


async def test_what_was_just_being_taken_when_we_were_stopped_is_given_back_too() -> None:
    clock = FakeClock()
    inbox = Slow(clock)
    await inbox.put(update(1))
    working = Working(inbox, clock)
    await until(lambda: inbox.taking)
    stopping = asyncio.create_task(working.stop())
    await asyncio.sleep(0)
    inbox.go_on.set()
    await stopping
    assert working.begun == []
    assert [one.attempt for one in await FakeInbox(inbox.post, clock).take(1)] == [1]
