"""The queue in front of a provider."""

import asyncio
from contextlib import aclosing

import pytest

from dagi.errors import ProviderError, QueueFull
from dagi.message import Grant, Limits, Message, Sender
from dagi.ports.hearing import gathered
from dagi.ports.target import Delta, End, Event, Waited
from dagi.targets.resilience.queue import Places, Queue
from dagi.testing.clock import FakeClock
from dagi.testing.targets import Hang, Pass, ScriptedTarget

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")


def a_message(name: str = "r", **limits: float) -> Message:
    return Message(id=name, sender=Sender(dao_id="dao", user_id="tg:1"), prompt=name, limits=Limits(**limits))


def a_queue(target: ScriptedTarget, clock: FakeClock | None = None, **places: float) -> Queue:
    return Queue("llm", target, Places(**{"active": 1, "waiting": 10, "wait_s": 5.0, **places}), clock or FakeClock())  # pyright: ignore[reportArgumentType]


async def collect(queue: Queue, message: Message, seen: list[Event]) -> None:
    async with asyncio.timeout(5):
        async for event in queue.open(message, GRANT):
            seen.append(event)  # noqa: PERF401 (what was seen before an error counts)


async def heard(queue: Queue, message: Message) -> list[Event]:
    seen: list[Event] = []
    await collect(queue, message, seen)
    return seen


def asked(queue: Queue, name: str) -> "asyncio.Future[list[Event]]":
    return asyncio.ensure_future(heard(queue, a_message(name)))


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_than_allowed_are_asked_at_once() -> None:
    target = ScriptedTarget(*[[Delta("a"), Hang(), End(provider="llm", model="m")]] * 10)
    queue = a_queue(target, active=3)
    tasks = [asked(queue, str(number)) for number in range(10)]
    await settled()
    assert (queue.active, queue.waiting, target.active) == (3, 7, 3)
    target.release()
    await asyncio.gather(*tasks)
    assert (queue.active, queue.waiting, target.most_active) == (0, 0, 3)


async def test_first_come_first_served() -> None:
    target = ScriptedTarget([Delta("a"), Hang()])
    queue = a_queue(target)
    tasks = [asked(queue, str(number)) for number in range(6)]
    await settled()
    target.release()
    await asyncio.gather(*tasks)
    assert [message.prompt for message in target.heard] == ["0", "1", "2", "3", "4", "5"]


async def test_only_who_waited_is_told_how_long() -> None:
    clock = FakeClock()
    target = ScriptedTarget([Hang(), Delta("a")], [Delta("b")])
    queue = a_queue(target, clock)
    first, second = asked(queue, "1"), asked(queue, "2")
    await settled()
    clock.advance(1.5)
    target.release()
    assert await first == [Delta("a")]
    assert await second == [Waited(1500.0), Delta("b")]


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    target = ScriptedTarget([Hang()])
    queue = a_queue(target, waiting=1)
    tasks = [asked(queue, "1"), asked(queue, "2")]
    await settled()
    with pytest.raises(QueueFull) as caught:
        await heard(queue, a_message("3"))
    assert (caught.value.retry_after_s or 0) >= 1
    target.release()
    await asyncio.gather(*tasks)


async def test_who_waits_too_long_is_refused_and_told_how_long_it_was() -> None:
    target = ScriptedTarget([Hang()])
    queue = a_queue(target, wait_s=0.01)
    first = asked(queue, "1")
    await settled()
    seen: list[Event] = []
    with pytest.raises(QueueFull):
        await collect(queue, a_message("2"), seen)
    assert [type(event) for event in seen] == [Waited]
    assert queue.waiting == 0
    target.release()
    await first


async def test_nobody_waits_past_the_deadline() -> None:
    clock = FakeClock()
    target = ScriptedTarget([Hang()])
    queue = a_queue(target, clock)
    first = asked(queue, "1")
    await settled()
    for deadline in (clock.monotonic() - 1, clock.monotonic() + 0.01):
        with pytest.raises(QueueFull):
            await heard(queue, a_message("2", deadline=deadline))
    target.release()
    await first


async def test_a_place_is_given_back_whatever_happens() -> None:
    error = ProviderError("x", provider="llm")
    target = ScriptedTarget([error], [Delta("a"), Hang()], [Hang()], [Delta("d")])
    queue = a_queue(target)
    with pytest.raises(ProviderError):
        await heard(queue, a_message())
    async with aclosing(queue.open(a_message(), GRANT)) as stream:
        await anext(stream)
    cancelled = asked(queue, "c")
    await settled()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert queue.active == 0
    assert await heard(queue, a_message()) == [Delta("d")]


async def test_who_is_cancelled_while_waiting_is_passed_over() -> None:
    target = ScriptedTarget([Hang()])
    queue = a_queue(target)
    first, second, third = asked(queue, "1"), asked(queue, "2"), asked(queue, "3")
    await settled()
    second.cancel()
    await settled()
    assert queue.waiting == 1
    target.release()
    await asyncio.gather(first, third)
    assert [message.prompt for message in target.heard] == ["1", "3"]
    assert queue.active == 0


async def test_who_is_cancelled_in_the_moment_of_being_called_passes_the_place_on() -> None:
    target = ScriptedTarget([Delta("a"), Hang()])
    queue = a_queue(target)
    stream = queue.open(a_message("1"), GRANT)
    await anext(stream)
    second, third = asked(queue, "2"), asked(queue, "3")
    await settled()
    await stream.aclose()
    second.cancel()
    await third
    assert [message.prompt for message in target.heard] == ["1", "3"]
    assert (queue.active, queue.waiting) == (0, 0)


async def test_who_leaves_on_hearing_that_it_waited_gives_the_place_back() -> None:
    target = ScriptedTarget([Hang()])
    queue = a_queue(target)
    first = asked(queue, "1")
    await settled()
    stream = queue.open(a_message("2"), GRANT)
    waited = asyncio.ensure_future(anext(stream))
    await settled()
    target.release()
    await first
    assert isinstance(await waited, Waited)
    await stream.aclose()
    assert queue.active == 0


def from_(dao: str, name: str) -> Message:
    return Message(id=name, sender=Sender(dao_id=dao, user_id=f"tg:{dao}"), prompt=name)


async def test_daos_take_turns_at_a_provider() -> None:
    target = ScriptedTarget([Delta("a"), Hang()])
    queue = a_queue(target, waiting=20)
    tasks = [asyncio.ensure_future(heard(queue, from_("A", f"A{number}"))) for number in range(6)]
    await settled()
    tasks.append(asyncio.ensure_future(heard(queue, from_("B", "B0"))))
    await settled()
    target.release()
    await asyncio.gather(*tasks)
    assert [message.prompt for message in target.heard] == ["A0", "A1", "B0", "A2", "A3", "A4", "A5"]


async def test_a_full_queue_takes_a_place_from_whoever_asks_most_and_gives_it_to_whoever_asks_once() -> None:
    target = ScriptedTarget([Hang()])
    queue = a_queue(target, waiting=2)
    greedy = [asyncio.ensure_future(heard(queue, from_("A", f"A{number}"))) for number in range(3)]
    await settled()
    modest = asyncio.ensure_future(heard(queue, from_("B", "B0")))
    await settled()
    with pytest.raises(QueueFull):
        await greedy[2]
    target.release()
    await asyncio.gather(*greedy[:2], modest)


async def test_a_role_that_weighs_more_is_called_more_often() -> None:
    target = ScriptedTarget([Delta("a"), Hang()])
    queue = Queue("llm", target, Places(active=1, waiting=20, weights={"admin": 3.0}), FakeClock())
    admin = Grant(dao_id="dao", user_id="tg:admin", roles=("admin",))

    async def ask(name: str, grant: Grant) -> None:
        sender = Sender(dao_id="dao", user_id=grant.user_id)
        async for _ in queue.open(Message(id=name, sender=sender, prompt=name), grant):
            pass

    first = asyncio.ensure_future(ask("first", GRANT))
    await settled()
    tasks = [asyncio.ensure_future(ask(f"guest{number}", GRANT)) for number in range(3)]
    tasks += [asyncio.ensure_future(ask(f"admin{number}", admin)) for number in range(3)]
    await settled()
    target.release()
    await asyncio.gather(first, *tasks)
    assert [message.prompt for message in target.heard[1:6]] == ["guest0", "admin0", "admin1", "admin2", "guest1"]


async def an_overloaded_queue(clock: FakeClock) -> tuple[Queue, ScriptedTarget, list["asyncio.Future[list[Event]]"]]:
    """One whose answers take two seconds, and whose line has stood for eleven."""
    script = [Pass(2.0), Delta("a"), End(provider="llm", model="m")]
    target = ScriptedTarget(script, *[[Hang(), Delta("a"), End(provider="llm", model="m")]] * 20, clock=clock)
    queue = a_queue(target, clock, active=2, wait_s=10.0)
    await heard(queue, a_message("taught"))
    tasks = [asked(queue, str(number)) for number in range(5)]
    await settled()
    clock.advance(11.0)
    tasks.append(asked(queue, "5"))
    await settled()
    return queue, target, tasks


async def test_when_the_line_has_stood_for_too_long_nobody_waits_for_long() -> None:
    clock = FakeClock()
    queue, target, tasks = await an_overloaded_queue(clock)
    assert queue.overloaded
    # The three who had waited eleven seconds are gone; the one who has just come may wait for less than half an answer.
    assert (queue.active, queue.waiting) == (2, 1)
    for task in tasks[2:5]:
        with pytest.raises(QueueFull):
            await task
    with pytest.raises(QueueFull, match="Too many"):
        await heard(queue, a_message("6"))
    target.release()
    await asyncio.gather(*tasks[:2], tasks[5])


async def test_an_overload_is_over_when_nobody_has_had_to_wait_for_a_while() -> None:
    clock = FakeClock()
    queue, target, tasks = await an_overloaded_queue(clock)
    target.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    await heard(queue, a_message("soon after"))
    assert queue.overloaded
    clock.advance(60.0)
    await heard(queue, a_message("long after"))
    assert not queue.overloaded


async def test_whoever_could_not_be_answered_before_its_deadline_is_refused_at_once() -> None:
    clock = FakeClock()
    queue, target, tasks = await an_overloaded_queue(clock)
    with pytest.raises(QueueFull, match="before its deadline"):
        await heard(queue, a_message("late", deadline=clock.monotonic() + 0.5))
    target.release()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_answer_in_one_piece_takes_a_place_and_gives_it_back() -> None:
    error = ProviderError("x", provider="llm")
    target = ScriptedTarget([error], [Hang(), Delta("a"), End(provider="llm", model="m")])
    queue = a_queue(target)
    notes: list[Event] = []
    with pytest.raises(ProviderError):
        await gathered(queue.tell, a_message(), GRANT, notes.append)
    first = asyncio.ensure_future(gathered(queue.tell, a_message("1"), GRANT, notes.append))
    await settled()
    second = asyncio.ensure_future(gathered(queue.tell, a_message("2"), GRANT, notes.append))
    await settled()
    assert (queue.active, queue.waiting) == (1, 1)
    target.release()
    assert [type(event) for event in await first] == [Delta, End]
    await second
    assert [type(event) for event in notes] == [Waited]
    assert queue.active == 0


async def test_a_defect_of_whoever_hears_of_the_wait_takes_no_place_from_others() -> None:
    target = ScriptedTarget([Hang(), End(provider="llm", model="m")])
    queue = a_queue(target)

    def note(_: Event) -> None:
        raise ZeroDivisionError

    first, second = (asyncio.ensure_future(gathered(queue.tell, a_message(name), GRANT, note)) for name in ("1", "2"))
    await settled()
    target.release()
    await first
    with pytest.raises(ZeroDivisionError):
        await second
    assert (queue.active, queue.waiting) == (0, 0)
