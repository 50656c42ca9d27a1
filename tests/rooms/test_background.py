"""Work beside the requests goes on, whatever ends it."""

import asyncio

import pytest

from dagi.assemble.background import LONGEST_PAUSE_S, kept_going
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio


async def test_work_that_a_defect_ends_is_begun_again_after_longer_and_longer_pauses_and_told_each_time() -> None:
    clock, observer, begun = FakeClock(), CollectingObserver(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 9:
            # It has got over it for a while.
            clock.advance(1000)
        if begun < 11:
            raise RuntimeError("a defect")

    await kept_going("inbox", work, observer, clock)
    assert begun == 11
    assert clock.slept == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S, 1, 2]
    assert observer.events == ["background_ended"] * 10
    assert observer.notes[0][1]["task"] == "inbox"
    assert isinstance(observer.notes[0][1]["exc_info"], RuntimeError)


async def test_work_ends_with_whoever_keeps_it_going() -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    going = asyncio.create_task(kept_going("inbox", work, CollectingObserver(), FakeClock()))
    await begun.wait()
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    assert (going.cancelled(), ended) == (True, ["work"])
