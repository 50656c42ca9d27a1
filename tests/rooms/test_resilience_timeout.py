"""Timeouts of a target."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from dagi.errors import ProviderTimeout
from dagi.message import Grant, Limits, Message, Sender
from dagi.ports.target import Delta, End, Event, Failure
from dagi.targets.resilience.alarm import Alarm
from dagi.targets.resilience.timeout import Patience, Timeout
from dagi.testing.clock import FakeClock
from dagi.testing.targets import Hang, ScriptedTarget
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
END = End(provider="llm", model="m")
SOON = 0.02


def a_message(**limits: float) -> Message:
    return Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="hi", limits=Limits(**limits))


def around(target: ScriptedTarget, clock: FakeClock | None = None, **patience: float) -> Timeout:
    return Timeout("llm", target, Patience(**patience), clock or FakeClock())


async def heard(target: Timeout, message: Message | None = None) -> list[Event]:
    async with asyncio.timeout(5):
        return [event async for event in target.open(message or a_message(), GRANT)]


async def test_an_answer_in_time_passes_unchanged() -> None:
    script = [Delta("a"), Delta("b"), END]
    assert await heard(around(ScriptedTarget(script), total_s=5, first_s=5, idle_s=5)) == script
    assert await heard(around(ScriptedTarget(script))) == script


@pytest.mark.parametrize("patience", [{"total_s": SOON}, {"first_s": SOON}, {"total_s": 5, "first_s": SOON}])
async def test_a_target_that_does_not_begin_is_given_up_and_closed(patience: dict[str, float]) -> None:
    target = ScriptedTarget([Hang()])
    with pytest.raises(ProviderTimeout, match="llm did not"):
        await heard(around(target, None, **patience))
    assert (target.closed, target.active) == (1, 0)


async def test_a_target_that_falls_silent_after_its_first_piece_ends_with_a_failure() -> None:
    target = ScriptedTarget([Delta("a"), Hang()])
    events = await heard(around(target, first_s=5, idle_s=SOON))
    assert events[0] == Delta("a")
    assert isinstance(events[1], Failure)
    assert events[1].error.message == "llm fell silent for 0.02 s."
    assert target.active == 0


async def test_the_first_token_timeout_says_nothing_about_later_pieces() -> None:
    target = ScriptedTarget([Delta("a"), Hang(), END])
    stream = around(target, first_s=SOON).open(a_message(), GRANT)
    async with asyncio.timeout(5), aclosing(stream):
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.wait([waiting], timeout=SOON * 3)
        target.release()
        assert await waiting == END


async def test_the_messages_own_timeout_goes_before_the_targets() -> None:
    with pytest.raises(ProviderTimeout, match=r"within 0.02 s"):
        await heard(around(ScriptedTarget([Hang()]), total_s=60), a_message(timeout_s=SOON))


async def test_the_deadline_caps_everything_and_after_it_nobody_is_asked() -> None:
    clock = FakeClock()
    target = ScriptedTarget()
    with pytest.raises(ProviderTimeout, match="deadline"):
        await heard(around(target, clock, total_s=60), a_message(timeout_s=60, deadline=clock.monotonic()))
    assert target.active == 0
    with pytest.raises(ProviderTimeout, match="deadline"):
        await heard(around(ScriptedTarget([Hang()]), clock, total_s=60), a_message(deadline=clock.monotonic() + SOON))


async def test_the_total_counts_even_when_the_pieces_keep_coming() -> None:
    clock = FakeClock()
    seen: list[Event] = []
    async for event in around(ScriptedTarget([Delta("a"), Delta("b"), Delta("c"), END]), clock, total_s=10).open(a_message(), GRANT):
        seen.append(event)
        clock.advance(6)
    assert seen[:2] == [Delta("a"), Delta("b")]
    assert isinstance(seen[2], Failure)


async def test_closing_closes_the_target() -> None:
    target = ScriptedTarget([Delta("a"), Hang()])
    stream = around(target, total_s=5).open(a_message(), GRANT)
    await anext(stream)
    await stream.aclose()
    assert (target.closed, target.active) == (1, 0)


async def test_a_cancellation_from_outside_stays_one() -> None:
    target = ScriptedTarget([Hang()])
    task = asyncio.ensure_future(heard(around(target, total_s=5)))
    await eventually(lambda: target.active == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert target.active == 0


async def test_a_cancellation_in_the_moment_of_the_timeout_wins() -> None:
    async def wait() -> None:
        alarm = Alarm()
        await alarm.within(0, for_ever())

    async def for_ever() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            # The timeout has come; now somebody outside cancels as well.
            task.cancel()
            raise

    task = asyncio.ensure_future(wait())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_after_a_timeout_the_task_is_not_marked_as_cancelled() -> None:
    with pytest.raises(ProviderTimeout):
        await heard(around(ScriptedTarget([Hang()]), total_s=SOON))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(5):
        await asyncio.sleep(0)


async def test_a_timeout_inside_a_callers_timeout_leaves_the_callers_alone() -> None:
    async with asyncio.timeout(5) as outer:
        with pytest.raises(ProviderTimeout):
            await heard(around(ScriptedTarget([Hang()]), total_s=SOON))
    assert not outer.expired()


async def test_an_alarm_rings_for_the_wait_it_belongs_to_alone() -> None:
    async def pieces() -> AsyncGenerator[int]:
        for number in range(50):
            await asyncio.sleep(SOON / 10)
            yield number

    alarm = Alarm()
    stream = pieces()
    assert [await alarm.within(SOON * 5, anext(stream)) for _ in range(50)] == list(range(50))
    alarm.close()
