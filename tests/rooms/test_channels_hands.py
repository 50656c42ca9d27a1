"""Those who do what waits in inbox and outbox."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.conftest import until

from dagi.channels.hands import Hands
from dagi.errors import StoreError
from dagi.ports.inbox import Lane, Taken, Update
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
