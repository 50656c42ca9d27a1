"""The breaker in front of a provider."""

import asyncio
from contextlib import aclosing

import pytest

from dagi.errors import ContextTooLong, DagiError, ProviderBusy, ProviderError, ProviderTimeout, ProviderUnavailable, QueueFull
from dagi.message import Grant, Message, Sender
from dagi.ports.hearing import gathered
from dagi.ports.target import Delta, End, Event
from dagi.targets.resilience.breaker import Breaker, Fuse
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver
from dagi.testing.targets import Hang, ScriptedTarget, Step
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
MESSAGE = Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="hi")
END = End(provider="llm", model="m")
BROKEN = ProviderError("llm answered with HTTP 500.", provider="llm", upstream_status=500)
AWAY = ProviderError("llm could not be reached: refused.", provider="llm", unreachable=True)


class Case:
    """A breaker that opens after three failures, with its world."""

    def __init__(self) -> None:
        self.target = ScriptedTarget()
        self.clock = FakeClock()
        self.observer = CollectingObserver()
        self.breaker = Breaker("llm", self.target, Fuse(failures=3, open_s=10), self.clock, self.observer)

    async def ask(self, *script: Step) -> list[Event] | DagiError:
        """The events of one answer, or the error it raised."""
        if script:
            self.target.script(*script)
        try:
            return [event async for event in self.breaker.open(MESSAGE, GRANT)]
        except DagiError as error:
            return error

    async def fail(self, *errors: DagiError) -> None:
        """Fail once with each of the errors."""
        for error in errors:
            assert await self.ask(error) is error


@pytest.fixture
def case() -> Case:
    return Case()


async def test_it_opens_after_failures_in_a_row_and_then_asks_nobody(case: Case) -> None:
    await case.fail(BROKEN, ProviderTimeout("slow", provider="llm"), BROKEN)
    assert case.breaker.state == "open"
    refused = await case.ask()
    assert isinstance(refused, ProviderUnavailable)
    assert refused.retry_after_s == 10
    assert len(case.target.heard) == 3
    assert case.observer.events == ["breaker_opened"]
    assert case.observer.notes[0][1]["provider"] == "llm"


async def test_an_answer_in_between_starts_the_count_again(case: Case) -> None:
    await case.fail(BROKEN, BROKEN)
    await case.ask(Delta("a"), END)
    await case.fail(BROKEN, BROKEN)
    assert case.breaker.state == "closed"


async def test_a_server_that_cannot_be_reached_opens_it_at_once(case: Case) -> None:
    await case.fail(AWAY)
    assert case.breaker.state == "open"


async def test_callers_mistakes_and_full_queues_never_count(case: Case) -> None:
    mistakes: list[DagiError] = [
        ProviderError("no", provider="llm", upstream_status=404),
        ProviderBusy("wait", provider="llm"),
        QueueFull("full", provider="llm"),
        ContextTooLong("long", field="messages"),
    ]
    await case.fail(*mistakes * 5)
    assert case.breaker.state == "closed"


async def test_an_answer_that_breaks_off_counts(case: Case) -> None:
    for _ in range(3):
        await case.ask(Delta("a"), BROKEN)
    assert case.breaker.state == "open"


async def test_a_caller_that_goes_away_says_nothing_about_health(case: Case) -> None:
    for _ in range(5):
        case.target.script(Delta("a"), Hang())
        async with aclosing(case.breaker.open(MESSAGE, GRANT)) as stream:
            await anext(stream)
    assert case.breaker.state == "closed"


async def test_after_a_while_one_request_tries_and_closes_it(case: Case) -> None:
    await case.fail(AWAY)
    case.clock.advance(10)
    assert case.breaker.state == "half_open"
    assert await case.ask(Delta("a"), END) == [Delta("a"), END]
    assert case.breaker.state == "closed"
    assert case.observer.events == ["breaker_opened", "breaker_closed"]


async def test_a_trial_that_fails_opens_it_again(case: Case) -> None:
    await case.fail(BROKEN, BROKEN, BROKEN)
    case.clock.advance(10)
    await case.fail(BROKEN)
    assert case.breaker.state == "open"
    assert isinstance(await case.ask(), ProviderUnavailable)


async def test_only_one_tries_at_a_time_until_its_answer_begins(case: Case) -> None:
    await case.fail(AWAY)
    case.clock.advance(10)
    case.target.script(Hang(), Delta("a"), END)
    trial = asyncio.ensure_future(case.ask())
    await eventually(lambda: case.target.active == 1)
    assert isinstance(await case.ask(), ProviderUnavailable)
    case.target.release()
    assert await trial == [Delta("a"), END]


async def test_the_beginning_of_the_trials_answer_lets_the_others_in(case: Case) -> None:
    await case.fail(AWAY)
    case.clock.advance(10)
    case.target.script(Delta("a"), Hang())
    async with aclosing(case.breaker.open(MESSAGE, GRANT)) as stream:
        await anext(stream)
        assert case.breaker.state == "closed"
        assert isinstance(await case.ask(END), list)


async def test_a_trial_that_is_cancelled_or_refused_by_the_queue_leaves_the_trial_to_the_next(case: Case) -> None:
    await case.fail(AWAY)
    case.clock.advance(10)
    case.target.script(Hang())
    trial = asyncio.ensure_future(case.ask())
    await eventually(lambda: case.target.active == 1)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    await case.fail(QueueFull("full", provider="llm"))
    assert case.breaker.state == "half_open"
    assert isinstance(await case.ask(Delta("a"), END), list)


async def test_a_refusal_of_the_trials_request_is_an_answer_too(case: Case) -> None:
    await case.fail(AWAY)
    case.clock.advance(10)
    await case.fail(ProviderError("no", provider="llm", upstream_status=400))
    assert case.breaker.state == "closed"


async def test_what_was_asked_before_it_opened_has_no_say_afterwards(case: Case) -> None:
    case.target.script(Delta("a"), Hang(), END)
    async with aclosing(case.breaker.open(MESSAGE, GRANT)) as old:
        await anext(old)
        await case.fail(AWAY)
        case.target.release()
        assert [event async for event in old] == [END]
    assert case.breaker.state == "open"


async def test_failures_of_what_was_asked_before_it_opened_do_not_keep_it_open_longer(case: Case) -> None:
    case.target.script(Delta("a"), Hang(), BROKEN)
    async with aclosing(case.breaker.open(MESSAGE, GRANT)) as old:
        await anext(old)
        await case.fail(AWAY)
        case.clock.advance(9)
        case.target.release()
        await anext(old)
    case.clock.advance(1)
    assert case.breaker.state == "half_open"
    assert case.observer.events == ["breaker_opened"]


async def test_a_trial_that_breaks_off_after_its_first_piece_counts_whether_it_is_told_or_asked_for(case: Case) -> None:
    async def told() -> None:
        case.target.script(Delta("a"), BROKEN)
        with pytest.raises(ProviderError):
            await gathered(case.breaker.tell, MESSAGE, GRANT, lambda _: None)

    await case.fail(AWAY)
    case.clock.advance(10)
    for state in ("closed", "closed", "open"):
        await told()
        assert case.breaker.state == state
