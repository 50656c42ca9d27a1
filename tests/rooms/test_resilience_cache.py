"""Cache: one answer for equal questions, and what is never answered from it."""

import asyncio
import unicodedata
from contextlib import aclosing
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.catalogue.words import composed
from dagi.errors import ProviderError, ProviderTimeout, QueueFull
from dagi.message import Attachment, Attempt, Context, Fact, Grant, Limits, Message, Sender, Turn, Usage
from dagi.ports.hearing import gathered
from dagi.ports.target import Data, Delta, End, Event, Failure, Thought, Tried, Used
from dagi.targets.resilience.answers import Answers
from dagi.targets.resilience.cache import Cache
from dagi.targets.resilience.fallback import Fallback
from dagi.targets.resilience.reuse import key_of, normalised
from dagi.testing.clock import FakeClock
from dagi.testing.targets import Hang, ScriptedTarget, Step
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1", roles=("member",), entitlements=frozenset({"chat.use"}))
IDENTITY = b"chain of the model"
END = End(provider="llm", model="m")
OK = Tried(Attempt(provider="llm", outcome="ok", ms=1.0))
USED = Used(Usage(total_tokens=7))


def a_message(prompt: str = "What is it?", **fields: object) -> Message:
    given_fields = {"streamed": True, "reuse_s": 60.0, **fields}
    return Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt=prompt, **given_fields)  # pyright: ignore[reportArgumentType]


class Case:
    """A cache around a scripted target."""

    def __init__(self, *scripts: list[Step], **limits: int) -> None:
        self.clock = FakeClock()
        self.target = ScriptedTarget(*scripts, name="llm", clock=self.clock)
        self.answers = Answers(self.clock, **limits)
        self.cache = Cache(Fallback([("llm", self.target)], self.clock), self.answers, IDENTITY, "llm")

    async def ask(self, message: Message | None = None, grant: Grant = GRANT) -> list[Event]:
        async with asyncio.timeout(5), aclosing(self.cache.open(message or a_message(), grant)) as events:
            return [event async for event in events]

    async def whole(self, message: Message, notes: list[Event] | None = None) -> list[Event]:
        async with asyncio.timeout(5):
            return await gathered(self.cache.tell, message, GRANT, (notes if notes is not None else []).append)

    async def asking(self, count: int, message: Message | None = None) -> "list[asyncio.Task[list[Event]]]":
        tasks = [asyncio.create_task(self.ask(message)) for _ in range(count)]
        await eventually(lambda: self.answers.stats().misses + self.answers.stats().shared >= count)
        return tasks


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def cached(events: list[Event]) -> bool:
    return cast("End", events[-1]).cached


async def test_the_same_question_is_answered_once_and_the_second_answer_costs_nothing() -> None:
    case = Case([Thought("hm"), Delta("a", raw=b"1"), Delta("b"), OK, USED, END])
    assert await case.ask() == [Thought("hm"), Delta("a", raw=b"1"), Delta("b"), OK, USED, END]
    assert await case.ask() == [Delta("ab"), End(provider="llm", model="m", cached=True)]
    assert await case.whole(a_message(streamed=False)) == [Delta("ab"), End(provider="llm", model="m", cached=True)]
    assert len(case.target.heard) == 1
    assert (case.answers.stats().hits, case.answers.stats().misses, case.answers.stats().stored) == (2, 1, 1)


async def test_a_whole_answer_is_kept_too_and_its_attempts_are_told_once() -> None:
    case = Case([Delta("a"), OK, USED, END])
    first: list[Event] = []
    second: list[Event] = []
    assert await case.whole(a_message(streamed=False), first) == [Delta("a"), USED, END]
    assert cached(await case.whole(a_message(streamed=False), second))
    assert (first, second) == ([OK, USED], [])


async def test_an_answer_is_good_for_so_many_seconds_and_not_longer() -> None:
    case = Case()
    await case.ask()
    case.clock.advance(59)
    assert cached(await case.ask())
    case.clock.advance(2)
    assert not cached(await case.ask())


@pytest.mark.parametrize(
    "other",
    [
        a_message("What was it?"),
        a_message("WHAT IS IT?"),
        a_message(options=msgspec.Raw(b'{"temperature": 0.5}')),
        a_message(context=Context(roles=("member",))),
        a_message(context=Context(facts=(Fact(id="1", source="a.md", title="t", text="x"),))),
        a_message(context=Context(facts=())),
        a_message(context=Context(dao_name="Green")),
    ],
)
async def test_whatever_the_model_would_be_told_differently_is_another_question(other: Message) -> None:
    case = Case()
    await case.ask()
    assert not cached(await case.ask(other))


@pytest.mark.parametrize(
    "grant",
    [
        msgspec.structs.replace(GRANT, dao_id="another"),
        msgspec.structs.replace(GRANT, entitlements=frozenset({"chat.use", "facts.read"})),
    ],
)
async def test_another_dao_and_other_rights_are_another_question(grant: Grant) -> None:
    case = Case()
    await case.ask()
    assert not cached(await case.ask(grant=grant))


async def test_another_person_with_the_same_rights_gets_the_same_answer() -> None:
    case = Case()
    await case.ask()
    assert cached(await case.ask(grant=msgspec.structs.replace(GRANT, user_id="tg:2", decision_id="other")))


async def test_another_chain_or_another_configuration_of_it_does_not_see_the_answers() -> None:
    case = Case()
    await case.ask()
    changed = Cache(Fallback([("llm", case.target)], case.clock), case.answers, b"chain of another model", "llm")
    async with aclosing(changed.open(a_message(), GRANT)) as events:
        assert not cached([event async for event in events])


@pytest.mark.parametrize(
    "message",
    [
        a_message(reuse_s=None),
        a_message(earlier=(Turn("user", "hi"),)),
        a_message(context=Context(history=(Turn("user", "hi"),))),
        a_message(context=Context(summary="The member keeps bees.")),
        a_message(attachments=(Attachment(media_type="image/png"),)),
        a_message(mode="crew", workflow="w"),
        a_message(" "),
        a_message(options=msgspec.Raw(b"{no json")),
    ],
)
async def test_conversations_files_and_whatever_no_rule_lets_be_cached_are_asked_each_time(message: Message) -> None:
    case = Case()
    await case.ask(message)
    await case.ask(message)
    assert len(case.target.heard) == 2
    assert case.answers.stats().stored == 0


async def test_equal_parameters_in_another_order_are_equal() -> None:
    case = Case()
    await case.ask(a_message(options=msgspec.Raw(b'{"a": 1, "b": {"c": 2, "d": 3}}')))
    assert cached(await case.ask(a_message(options=msgspec.Raw(b'{"b": {"d": 3, "c": 2}, "a":1}'))))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("Що  це\tза DAO?", " Що це за DAO? ", True),
        ("Cafe\u0301?", "Caf\u00e9?", True),
        ("land", "LAND", False),
        ("① x", "1 x", False),
        ("fix:\n  a = 1", "fix:\na = 1", False),
        ("fix:\n  a =  1  ", "fix:\r\n  a = 1", True),
    ],
)
def test_only_differences_nobody_means_are_overlooked(one: str, other: str, equal: bool) -> None:
    assert (normalised(one) == normalised(other)) is equal


def test_a_prompt_of_a_million_marks_is_read_in_time_that_grows_with_its_length_alone() -> None:
    # Put in order as a whole they would keep the process for minutes.
    assert len(normalised("a" + "\u0315\u0300" * 250_000)) > 400_000


@given(st.text(st.sampled_from("eї \u0301\u0308\u0323\u1100\u1161\n\u212b"), max_size=60))
def test_composed_letters_are_those_of_unicode(text: str) -> None:
    assert composed(text) == unicodedata.normalize("NFC", text)


@given(st.text())
def test_normalising_twice_is_normalising_once_and_every_question_has_a_key(prompt: str) -> None:
    assert normalised(normalised(prompt)) == normalised(prompt)
    assert len(key_of(a_message(prompt), GRANT, IDENTITY) or b"") == 32


@pytest.mark.parametrize(
    "script",
    [
        [Delta("a"), End(provider="llm", model="m", finish_reason="length")],
        [Delta("a"), End(provider="facts", model="m")],
        [Delta("a"), Data({"facts": []}), END],
        [Delta("a"), ProviderError("gone", provider="llm")],
    ],
    ids=["cut short", "of a stand-in", "with results that were not in the question", "broken off"],
)
async def test_an_answer_that_is_not_whole_or_not_the_first_providers_is_not_kept(script: list[Step]) -> None:
    case = Case(script)
    await case.ask()
    assert not cached(await case.ask())
    assert case.answers.stats().entries == 1


async def test_structured_results_are_kept_where_they_were_part_of_the_question() -> None:
    case = Case([Delta("a"), Data({"facts": [1]}), END])
    message = a_message(context=Context(facts=()))
    await case.ask(message)
    assert await case.ask(message) == [Delta("a"), Data({"facts": [1]}), End(provider="llm", model="m", cached=True)]


async def test_so_many_answers_are_kept_and_the_one_longest_unused_goes_first() -> None:
    case = Case(max_entries=2)
    for prompt in ("one", "two", "one", "three"):
        await case.ask(a_message(prompt))
    assert [cached(await case.ask(a_message(prompt))) for prompt in ("one", "three", "two")] == [True, True, False]
    assert (case.answers.stats().entries, case.answers.stats().evicted) == (2, 2)


async def test_so_many_bytes_are_kept_and_an_answer_larger_than_all_of_them_is_not() -> None:
    case = Case([Delta("x" * 1000), END], [Delta("y" * 1000), END], [Delta("z" * 4000), END], max_bytes=3000)
    for prompt in ("x", "y", "z"):
        await case.ask(a_message(prompt))
    assert (case.answers.stats().entries, case.answers.stats().evicted) == (1, 1)
    assert cached(await case.ask(a_message("y")))
    assert case.answers.stats().bytes <= 3000


async def test_clearing_forgets_all_and_what_is_under_way_is_not_kept() -> None:
    case = Case([Delta("kept"), END], [Delta("a"), Hang(), Delta("b"), END])
    await case.ask(a_message("kept"))
    (under_way,) = await case.asking(1, a_message("slow"))
    await eventually(lambda: case.target.active == 1)
    assert case.answers.clear().cleared == 1
    case.target.release()
    assert text(await under_way) == "ab"
    assert (case.answers.stats().entries, case.answers.stats().bytes) == (0, 0)


async def test_equal_questions_at_the_same_time_are_one_question_and_one_of_them_pays() -> None:
    case = Case([Delta("a"), Hang(), Delta("b"), OK, USED, END])
    tasks = await case.asking(5)
    case.target.release()
    heard = await asyncio.gather(*tasks)
    assert [text(events) for events in heard] == ["ab"] * 5
    assert [cached(events) for events in heard] == [False, True, True, True, True]
    assert [USED in events for events in heard] == [True, False, False, False, False]
    assert len(case.target.heard) == 1
    assert case.answers.stats().under_way == 0


async def test_whoever_comes_later_sees_the_pieces_there_are_at_once() -> None:
    case = Case([Delta("a"), Hang(), Delta("b"), END])
    (first,) = await case.asking(1)
    async with asyncio.timeout(5), aclosing(case.cache.open(a_message(), GRANT)) as events:
        assert await anext(events) == Delta("a")
        case.target.release()
        assert [event async for event in events][-1] == End(provider="llm", model="m", cached=True)
    await first


async def test_the_first_who_leaves_takes_nothing_from_the_others_and_the_next_one_pays() -> None:
    case = Case([Delta("a"), Hang(), Delta("b"), USED, END])
    first, *others = await case.asking(3)
    first.cancel()
    await asyncio.wait([first])
    case.target.release()
    heard = await asyncio.gather(*others)
    assert [text(events) for events in heard] == ["ab", "ab"]
    assert [USED in events for events in heard] == [True, False]
    assert cached(await case.ask())


async def test_when_the_last_one_leaves_the_work_stops_and_the_next_question_is_asked_anew() -> None:
    case = Case([Delta("a"), Hang()], [Delta("new"), END])
    tasks = await case.asking(2)
    await eventually(lambda: case.target.active == 1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await eventually(lambda: case.target.active == 0)
    assert text(await case.ask()) == "new"
    assert case.answers.stats().under_way == 0


async def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    case = Case([Hang(), ProviderError("no", provider="llm", upstream_status=400)], [Delta("fine"), END])
    tasks = await case.asking(3)
    case.target.release()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [ProviderError] * 3
    assert text(await case.ask()) == "fine"
    assert len(case.target.heard) == 2


async def test_whoever_lost_its_place_in_the_queue_takes_nothing_from_those_who_came_later() -> None:
    case = Case([Hang(), QueueFull("others had less", provider="llm")], [Delta("fine"), END])
    tasks = await case.asking(3)
    case.target.release()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, QueueFull)
    assert [text(events) for events in others if isinstance(events, list)] == ["fine", "fine"]
    assert len(case.target.heard) == 2


async def test_an_answer_that_breaks_off_breaks_off_for_all_who_saw_it() -> None:
    case = Case([Delta("a"), Hang(), ProviderError("gone", provider="llm")])
    tasks = await case.asking(2)
    case.target.release()
    assert [isinstance(events[-1], Failure) for events in await asyncio.gather(*tasks)] == [True, True]


async def test_time_that_ran_out_for_the_first_has_not_run_out_for_who_came_later() -> None:
    case = Case([Hang(), ProviderTimeout("slow", provider="llm")], [Delta("in time"), END])
    first, *others = await case.asking(3)
    case.target.release()
    with pytest.raises(ProviderTimeout):
        await first
    assert [text(events) for events in await asyncio.gather(*others)] == ["in time"] * 2
    assert len(case.target.heard) == 2


async def test_each_who_waits_keeps_its_own_deadline() -> None:
    case = Case([Hang(), Delta("a"), END])
    (first,) = await case.asking(1)
    impatient = a_message(limits=Limits(deadline=case.clock.monotonic() - 1))
    with pytest.raises(ProviderTimeout, match="before the request's deadline"):
        await case.ask(impatient)
    case.target.release()
    assert text(await first) == "a"


async def test_callers_of_whole_answers_share_one_too() -> None:
    case = Case([Hang(), Delta("a"), OK, END])
    message = a_message(streamed=False)
    tasks = [asyncio.create_task(case.whole(message)) for _ in range(3)]
    await eventually(lambda: case.answers.stats().shared == 2)
    case.target.release()
    assert [cached(events) for events in await asyncio.gather(*tasks)] == [False, True, True]


async def test_a_defect_is_nobodys_answer_and_reaches_all_who_wait() -> None:
    class Broken:
        async def open(self, message: Message, grant: Grant):
            del message, grant
            yield Delta("a")
            raise ZeroDivisionError

    answers = Answers(FakeClock())
    cache = Cache(Fallback([("llm", Broken())], FakeClock()), answers, IDENTITY, "llm")
    with pytest.raises(ZeroDivisionError):
        async with aclosing(cache.open(a_message(), GRANT)) as events:
            async for _ in events:
                pass
    assert answers.stats().under_way == 0
