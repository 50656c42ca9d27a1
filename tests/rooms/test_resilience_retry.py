"""Retry of the same target."""

from contextlib import aclosing

import pytest

from dagi.errors import DagiError, Invalid, ProviderBusy, ProviderError, ProviderTimeout, ProviderUnavailable, QueueFull
from dagi.message import Attempt, Grant, Limits, Message, Sender
from dagi.ports.target import Delta, End, Event, Failure, Tried, Waited
from dagi.targets.resilience.retry import Retry, Tries
from dagi.testing.clock import FakeClock
from dagi.testing.targets import Hang, Pass, ScriptedTarget, Step

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
END = End(provider="llm", model="m")
BROKEN = ProviderError("llm answered with HTTP 500.", provider="llm", upstream_status=500)
OK = Tried(Attempt(provider="llm", outcome="ok", ms=0.0))
BAD = Tried(Attempt(provider="llm", outcome="PROVIDER_ERROR", ms=0.0, detail=BROKEN.message))


def a_message(*, streamed: bool = True, **limits: float) -> Message:
    return Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="hi", streamed=streamed, limits=Limits(**limits))


class Case:
    """A retry around a scripted target, and what came of asking it."""

    def __init__(self, *scripts: list[Step], attempts: int = 2, total_s: float | None = 30) -> None:
        self.clock = FakeClock()
        self.target = ScriptedTarget(*scripts, clock=self.clock)
        self.events: list[Event] = []
        self.error: DagiError | None = None
        self._retry = Retry("llm", self.target, Tries(attempts=attempts, delay_s=1.0, total_s=total_s), self.clock, lambda: 1.0)

    async def ask(self, message: Message | None = None) -> "Case":
        try:
            async with aclosing(self._retry.open(message or a_message(), GRANT)) as stream:
                async for event in stream:
                    self.events.append(event)
        except DagiError as error:
            self.error = error
        return self


async def test_an_answer_at_once_is_one_attempt_told_before_its_end() -> None:
    case = await Case([Delta("a"), END]).ask()
    assert case.events == [Delta("a"), OK, END]


async def test_a_failure_before_any_content_is_tried_again_after_the_delay() -> None:
    case = await Case([BROKEN], [Delta("a"), END]).ask()
    assert case.events == [BAD, Delta("a"), OK, END]
    assert case.clock.slept == [1.0]


async def test_attempts_are_counted_in_all_and_the_delay_doubles() -> None:
    case = await Case([BROKEN], [BROKEN], [BROKEN], attempts=3).ask()
    assert (case.events, case.error, case.clock.slept) == ([BAD, BAD, BAD], BROKEN, [1.0, 2.0])


async def test_nothing_is_tried_again_after_the_first_piece_of_an_answer() -> None:
    case = await Case([Delta("a"), BROKEN], [Delta("b"), END]).ask()
    assert case.events == [Delta("a"), BAD, Failure(BROKEN)]
    assert len(case.target.heard) == 1


async def test_an_answer_nobody_has_seen_is_tried_again_where_it_breaks_off() -> None:
    case = await Case([Delta("a"), BROKEN], [Delta("b"), END]).ask(a_message(streamed=False))
    assert case.events == [BAD, Delta("b"), OK, END]


async def test_an_attempt_tells_operators_what_the_caller_is_not_told() -> None:
    refused = ProviderError("llm refused our key.", provider="llm", upstream_status=401, detail="llm: check OPENAI_API_KEY.")
    case = await Case([refused]).ask()
    assert case.events == [Tried(Attempt(provider="llm", outcome="PROVIDER_ERROR", ms=0.0, detail="llm: check OPENAI_API_KEY."))]


@pytest.mark.parametrize(
    "error",
    [
        ProviderError("no", provider="llm", upstream_status=400),
        ProviderError("away", provider="llm", unreachable=True),
        ProviderUnavailable("open", provider="llm"),
        QueueFull("full", provider="llm"),
        Invalid("no", field="options"),
    ],
)
async def test_what_would_fail_again_is_one_attempt(error: DagiError) -> None:
    case = await Case([error], [Delta("a"), END]).ask()
    assert case.error is error
    assert case.events == [Tried(Attempt(provider="llm", outcome=error.code, ms=0.0, detail=error.message))]


async def test_the_servers_wish_for_patience_is_heeded_where_there_is_time() -> None:
    case = await Case([ProviderBusy("wait", provider="llm", retry_after_s=5)], [Delta("a"), END]).ask()
    assert (case.clock.slept, case.error) == ([5.0], None)


@pytest.mark.parametrize("limits", [{}, {"timeout_s": 10.0}, {"deadline": 1010.0}])
async def test_it_gives_up_where_the_wish_for_patience_does_not_fit(limits: dict[str, float]) -> None:
    busy = ProviderBusy("wait", provider="llm", retry_after_s=40 if not limits else 11)
    case = await Case([busy], [Delta("a"), END]).ask(a_message(**limits))
    assert (case.error, case.clock.slept) == (busy, [])


async def test_all_attempts_share_the_targets_time_and_the_queue_is_not_counted() -> None:
    case = Case([Pass(10), Waited(4000.0), BROKEN], [Pass(10), Delta("a"), END], total_s=30)
    await case.ask()
    # Ten seconds passed, four of them in the queue; one more was the delay.
    assert [message.limits.timeout_s for message in case.target.heard] == [30, 23]
    assert [event.attempt.ms for event in case.events if isinstance(event, Tried)] == [6000.0, 10000.0]


async def test_no_attempt_begins_without_time_for_it() -> None:
    timeout = ProviderTimeout("slow", provider="llm")
    case = await Case([timeout], [Delta("a"), END]).ask(a_message(timeout_s=1.0))
    assert (case.error, len(case.target.heard)) == (timeout, 1)


async def test_a_stream_without_end_is_a_failure() -> None:
    empty = await Case([], [Delta("a")]).ask()
    assert empty.events[1] == Delta("a")
    assert isinstance(empty.events[-1], Failure)


async def test_closing_closes_the_target_and_tries_nothing_more() -> None:
    case = Case([Delta("a"), Hang()])
    stream = Retry("llm", case.target, Tries(), case.clock).open(a_message(), GRANT)
    await anext(stream)
    await stream.aclose()
    assert (case.target.closed, len(case.target.heard)) == (1, 1)
