"""Timeouts of a target whose answer is taken slowly: what the ear needs is not the target's."""

import asyncio

import pytest

from dagi.errors import ProviderTimeout
from dagi.message import Grant, Message, Sender
from dagi.ports.target import Delta, End, Event, Progress
from dagi.targets.resilience.timeout import Patience, Timeout
from dagi.testing.clock import FakeClock
from dagi.testing.targets import Hang, ScriptedTarget
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
GRANT = Grant(dao_id="dao", user_id="tg:1")
MESSAGE = Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="hi", streamed=True)
END = End(provider="llm", model="m")
SOON = 0.02


class FullEar:
    """Hears, and would rather hear nothing more until it is told to go on."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.events: list[Event] = []
        self.waits = 0
        self.go = asyncio.Event()

    def hear(self, event: Event) -> None:
        self.events.append(event)
        self.progress.seen = self.progress.full = True

    def forget(self) -> None:
        pass

    async def room(self) -> None:
        self.waits += 1
        await self.go.wait()
        self.progress.full = False


def telling(ear: FullEar, *steps: Event | Hang, **patience: float) -> "asyncio.Future[None]":
    return asyncio.ensure_future(Timeout("llm", ScriptedTarget(steps), Patience(**patience), FakeClock()).tell(MESSAGE, GRANT, ear))


async def test_a_target_does_not_fall_silent_while_its_caller_takes_nothing() -> None:
    ear = FullEar()
    told = telling(ear, Delta("a"), END, total_s=30, idle_s=SOON)
    await eventually(lambda: ear.waits == 1)
    await asyncio.wait([told], timeout=SOON * 5)
    assert not told.done()
    ear.go.set()
    await asyncio.wait_for(told, 5)
    assert ear.events == [Delta("a"), END]


async def test_once_its_caller_takes_again_a_silent_target_is_given_up() -> None:
    ear = FullEar()
    told = telling(ear, Delta("a"), Hang(), total_s=30, idle_s=SOON)
    await eventually(lambda: ear.waits == 1)
    ear.go.set()
    with pytest.raises(ProviderTimeout, match="fell silent") as caught:
        await asyncio.wait_for(told, 5)
    assert caught.value.unhealthy


@pytest.mark.parametrize("patience", [{}, {"idle_s": 30.0}])
async def test_a_time_that_its_caller_used_up_says_nothing_about_the_targets_health(patience: dict[str, float]) -> None:
    ear = FullEar()
    told = telling(ear, Delta("a"), END, total_s=SOON, **patience)
    with pytest.raises(ProviderTimeout, match="caller") as caught:
        await asyncio.wait_for(told, 5)
    assert not caught.value.unhealthy
