"""Fallback over several targets, and everything around one."""

import asyncio
from contextlib import aclosing

import msgspec
import pytest

from dagi.errors import (
    ContextTooLong,
    DagiError,
    NotConfigured,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    QueueFull,
    TargetFailure,
)
from dagi.message import Attempt, Grant, Limits, Message, Sender, Turn, Usage
from dagi.ports.target import Delta, End, Event, Failure, Tried, Used
from dagi.targets.resilience import RESILIENCE_KEYS, Fallback, ResilienceSettings, resilient
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver
from dagi.testing.targets import Hang, Pass, ScriptedTarget, Step
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
END = End(provider="b", model="m")


def a_message(*, streamed: bool = True, **limits: float) -> Message:
    return Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="hi", streamed=streamed, limits=Limits(**limits))


def too_long(name: str) -> ProviderError:
    return ProviderError(f"Longer than {name} can read.", provider=name, upstream_status=400, context_too_long=True)


def failed(kind: type[TargetFailure], name: str) -> TargetFailure:
    return kind(f"{name} failed.", provider=name)


class Chain:
    """Several scripted targets, one script each."""

    def __init__(self, **scripts: list[Step]) -> None:
        self.clock = FakeClock()
        self.targets = {name: ScriptedTarget(script, name=name, clock=self.clock) for name, script in scripts.items()}
        self.fallback = Fallback(list(self.targets.items()), self.clock)

    async def ask(self, message: Message | None = None, **limits: float) -> list[Event]:
        return [event async for event in self.fallback.open(message or a_message(**limits), GRANT)]

    def asked(self) -> str:
        return "".join(name for name, target in self.targets.items() if target.heard)


@pytest.mark.parametrize("kind", [ProviderError, ProviderTimeout, ProviderUnavailable, QueueFull, NotConfigured])
async def test_the_next_target_answers_where_one_does_not(kind: type[TargetFailure]) -> None:
    chain = Chain(a=[failed(kind, "a")], b=[Delta("b"), END], c=[])
    assert await chain.ask() == [Delta("b"), END]
    assert chain.asked() == "ab"


async def test_an_answer_that_has_begun_is_the_last_one() -> None:
    error = failed(ProviderError, "a")
    chain = Chain(a=[Delta("x"), error], b=[Delta("b"), END])
    assert await chain.ask() == [Delta("x"), Failure(error)]
    assert chain.asked() == "a"


@pytest.mark.parametrize("broken", [failed(ProviderError, "a"), Failure(failed(ProviderTimeout, "a"))])
async def test_an_answer_nobody_has_seen_is_replaced_where_it_breaks_off(broken: Step) -> None:
    note = Tried(Attempt(provider="a", outcome="PROVIDER_ERROR", ms=0.0))
    chain = Chain(a=[Delta("x"), Used(Usage(total_tokens=9)), note, broken], b=[Delta("b"), END])
    assert await chain.ask(a_message(streamed=False)) == [note, Delta("b"), END]


async def test_half_an_answer_nobody_has_seen_is_an_error_where_no_other_target_is_left() -> None:
    seen: list[Event] = []
    chain = Chain(a=[Delta("x"), failed(ProviderError, "a")], b=[Delta("y"), failed(ProviderTimeout, "b")])
    with pytest.raises(ProviderTimeout):
        async for event in chain.fallback.open(a_message(streamed=False), GRANT):
            seen.append(event)  # noqa: PERF401 (what was seen before an error counts)
    assert seen == []


async def test_a_conversation_that_fits_no_model_is_the_callers_to_mend() -> None:
    with pytest.raises(ContextTooLong, match=r"^Longer than a can read.$") as alone:
        await Chain(a=[too_long("a")], b=[failed(NotConfigured, "b")]).ask()
    assert alone.value.facts == {"field": "prompt", "provider": "a"}
    conversation = msgspec.structs.replace(a_message(), earlier=(Turn("user", "hello"),))
    with pytest.raises(ContextTooLong) as both:
        await Chain(a=[failed(ProviderTimeout, "a")], b=[too_long("b")]).ask(conversation)
    assert both.value.facts["field"] == "messages"
    assert both.value.facts["failures"] == [
        {"provider": "a", "code": "PROVIDER_TIMEOUT", "message": "a failed."},
        {"provider": "b", "code": "PROVIDER_ERROR", "message": "Longer than b can read."},
    ]


async def test_a_conversation_too_long_for_one_model_is_answered_by_the_next() -> None:
    assert await Chain(a=[too_long("a")], b=[Delta("b"), END]).ask() == [Delta("b"), END]


async def test_a_mistake_of_the_caller_is_not_asked_elsewhere() -> None:
    chain = Chain(a=[ContextTooLong("long", field="messages")], b=[Delta("b"), END])
    with pytest.raises(ContextTooLong):
        await chain.ask()
    assert chain.asked() == "a"


async def test_where_all_fail_the_error_names_each_and_keeps_the_code_of_the_last_that_was_asked() -> None:
    chain = Chain(
        a=[failed(NotConfigured, "a")],
        b=[failed(ProviderTimeout, "b")],
        c=[failed(ProviderError, "c")],
        d=[failed(ProviderUnavailable, "d")],
    )
    with pytest.raises(TargetFailure) as caught:
        await chain.ask()
    assert (caught.value.code, caught.value.provider) == ("PROVIDER_ERROR", "c")
    assert str(caught.value) == caught.value.message == "No provider answered. b failed. c failed. d failed."
    assert caught.value.facts["failures"] == [
        {"provider": "b", "code": "PROVIDER_TIMEOUT", "message": "b failed."},
        {"provider": "c", "code": "PROVIDER_ERROR", "message": "c failed."},
        {"provider": "d", "code": "PROVIDER_UNAVAILABLE", "message": "d failed."},
    ]


async def test_missing_keys_are_told_only_where_nothing_else_failed() -> None:
    with pytest.raises(NotConfigured, match=r"a failed. b failed."):
        await Chain(a=[failed(NotConfigured, "a")], b=[failed(NotConfigured, "b")]).ask()
    with pytest.raises(QueueFull, match=r"^b failed.$"):
        await Chain(a=[failed(NotConfigured, "a")], b=[failed(QueueFull, "b")]).ask()


async def test_after_the_deadline_no_target_is_begun() -> None:
    chain = Chain(a=[Pass(10), failed(ProviderError, "a")], b=[Delta("b"), END])
    with pytest.raises(ProviderError, match=r"^a failed.$"):
        await chain.ask(deadline=chain.clock.monotonic() + 5)
    assert chain.asked() == "a"
    with pytest.raises(ProviderTimeout):
        await chain.ask(deadline=chain.clock.monotonic() - 1)


async def test_closing_closes_the_target_that_answers() -> None:
    chain = Chain(a=[failed(ProviderError, "a")], b=[Delta("b"), Hang()])
    async with aclosing(chain.fallback.open(a_message(), GRANT)) as stream:
        assert await anext(stream) == Delta("b")
    assert chain.targets["b"].closed == 1


def test_the_keys_of_resilience_are_known_by_name() -> None:
    assert set(RESILIENCE_KEYS) == {
        "timeout_ms",
        "first_token_timeout_ms",
        "idle_timeout_ms",
        "max_concurrent",
        "max_queue",
        "queue_timeout_ms",
        "role_weights",
        "retry",
        "breaker",
    }


async def test_everything_around_a_target_works_together() -> None:
    clock, observer = FakeClock(), CollectingObserver()
    target = ScriptedTarget(name="llm", clock=clock)
    settings = ResilienceSettings.model_validate({"max_concurrent": 2, "max_queue": 0, "breaker": {"failures": 2, "open_s": 10}})
    around = resilient("llm", target, settings, clock, observer)

    async def outcome() -> list[str] | str:
        try:
            events = [event async for event in around.open(a_message(), GRANT)]
        except DagiError as error:
            return error.code
        return [event.attempt.outcome for event in events if isinstance(event, Tried)]

    broken = ProviderError("x", provider="llm", upstream_status=500)
    target.script(broken)
    assert await outcome() == ["PROVIDER_ERROR", "ok"]
    target.script(Hang())
    target.script(Hang())
    tasks = [asyncio.ensure_future(outcome()) for _ in range(2)]
    await eventually(lambda: around.active == 2)
    assert await outcome() == "QUEUE_FULL"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (around.active, around.waiting, around.breaker_state) == (0, 0, "closed")
    target.script(broken)
    target.script(broken)
    assert await outcome() == "PROVIDER_ERROR"
    assert around.breaker_state == "open"
    assert await outcome() == "PROVIDER_UNAVAILABLE"
