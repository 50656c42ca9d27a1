"""What every Target promises, whoever answers behind it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import cast

import msgspec
import pytest

from dagi.errors import DagiError, ProviderError
from dagi.message import Grant, Message, Sender
from dagi.outbound import Client
from dagi.ports.hearing import Gathered, gathered, tell_of
from dagi.ports.provider import Closing, ProviderTools
from dagi.ports.target import CONTENT, Delta, Ear, End, Event, Failure, Target, Tried, Used, Waited
from dagi.targets.models import any_llm, deepseek, ollama, openai, openai_compatible
from dagi.targets.models.any_llm import AnyLlmSettings, AnyLlmTarget
from dagi.targets.models.chat_api import ChatSettings
from dagi.targets.models.deepseek import DeepSeekSettings
from dagi.targets.models.llama import LlamaSettings, LlamaTarget
from dagi.targets.models.llama_child import Address
from dagi.targets.models.ollama import OllamaSettings
from dagi.targets.models.openai import OpenAISettings
from dagi.targets.resilience import Fallback, ResilienceSettings, resilient
from dagi.targets.resilience.answers import Answers
from dagi.targets.resilience.cache import Cache
from dagi.testing.clock import FakeClock
from dagi.testing.facts import MemoryFacts
from dagi.testing.observer import CollectingObserver
from dagi.testing.targets import Hang, ScriptedTarget
from dagi.testing.upstream import Answer, Upstream
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
MESSAGE = Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="one two three", streamed=True)
WHOLE = msgspec.structs.replace(MESSAGE, streamed=False)


class Subject:
    """A target, and the means to make it answer, fail or hang."""

    def __init__(self, target: Target, world: "ScriptedTarget | Upstream") -> None:
        self.target = target
        self._world = world

    def will_answer(self, *words: str) -> None:
        if isinstance(self._world, Upstream):
            self._world.script(Answer(text=" ".join(words)))
        else:
            self._world.script(*(Delta(word) for word in words), End(provider="t", model="m"))

    def will_fail(self) -> None:
        if isinstance(self._world, Upstream):
            self._world.script(Answer(status=400))
        else:
            self._world.script(ProviderError("no", provider="t", upstream_status=400))

    def will_break_off(self) -> None:
        if isinstance(self._world, Upstream):
            self._world.script(Answer(reset_after=1))
        else:
            self._world.script(Delta("one"), ProviderError("gone", provider="t"))

    def will_hang(self, after: int) -> None:
        if isinstance(self._world, Upstream):
            self._world.script(Answer(hang_after=after))
        else:
            self._world.script(*[Delta("word")] * after, Hang())

    async def until_working(self) -> None:
        await eventually(lambda: self._world.active == 1)

    async def until_stopped(self) -> None:
        await eventually(lambda: self._world.active == 0)


class Fresh:
    """A cache that is asked something new each time: it then answers as the target inside does."""

    def __init__(self, inner: Target, clock: FakeClock) -> None:
        self._cache = Cache(Fallback([("t", inner)], clock), Answers(clock), b"chain", "t")
        self._asked = 0

    def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        return self._cache.open(self._new(message), grant)

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        await self._cache.tell(self._new(message), grant, ear)

    def _new(self, message: Message) -> Message:
        self._asked += 1
        return msgspec.structs.replace(message, prompt=f"{message.prompt} {self._asked}", reuse_s=60.0)


KINDS = (
    "scripted",
    "resilient",
    "fallback",
    "cache",
    "cache openai_compatible",
    "openai_compatible",
    "ollama",
    "openai",
    "deepseek",
    "llama",
    "any_llm",
    "resilient openai_compatible",
)
SCRIPTED = ("openai_compatible", "ollama", "openai", "deepseek", "llama", "any_llm")


class Loaded:
    """The scripted server as a model's own process that is up."""

    def __init__(self, base_url: str) -> None:
        self._address = Address(base_url, "key")

    async def where(self) -> Address:
        return self._address

    async def aclose(self) -> None:
        pass


def model(kind: str, upstream: Upstream, tools: ProviderTools) -> Target:
    match kind:
        case "ollama":
            return ollama.provider.build("t", OllamaSettings(base_url=upstream.origin, model="m"), tools)
        case "openai":
            return openai.provider.build("t", OpenAISettings(base_url=upstream.v1, model="m"), tools)
        case "deepseek":
            return deepseek.provider.build("t", DeepSeekSettings(base_url=upstream.v1, model="m"), tools)
        case "llama":
            return LlamaTarget("t", LlamaSettings(model_path="m.gguf"), tools, Loaded(upstream.v1))
        case "any_llm":
            settings = AnyLlmSettings(vendor="openai", base_url=upstream.v1, model="m")
            return any_llm.provider.build("t", settings, msgspec.structs.replace(tools, api_key="key"))
        case _:
            return openai_compatible.provider.build("t", ChatSettings(base_url=upstream.v1, model="m"), tools)


@pytest.fixture(params=KINDS)
async def subject(request: pytest.FixtureRequest) -> AsyncGenerator[Subject]:
    kind = cast("str", request.param)
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        if kind.endswith(SCRIPTED):
            upstream = await stack.enter_async_context(Upstream())
            http = await stack.enter_async_context(Client())
            tools = ProviderTools(http=http, facts=MemoryFacts(), clock=clock)
            target = model(kind, upstream, tools)
            if isinstance(target, AnyLlmTarget):
                # The package takes seconds to import, which none of the promises is about.
                await target.vendor()
            if isinstance(target, Closing):
                stack.push_async_callback(target.aclose)
            world: ScriptedTarget | Upstream = upstream
        else:
            target = world = ScriptedTarget()
        if kind.startswith("resilient"):
            target = resilient("t", target, ResilienceSettings(), clock, CollectingObserver())
        if kind.startswith("cache"):
            target = Fresh(target, clock)
        if kind == "fallback":
            target = Fallback([("t", target)], clock)
        yield Subject(target, world)


async def collect(target: Target, seen: list[Event]) -> None:
    async with asyncio.timeout(5):
        async for event in target.open(MESSAGE, GRANT):
            seen.append(event)  # noqa: PERF401 (what was seen before an error counts)


async def events_of(target: Target) -> list[Event]:
    seen: list[Event] = []
    await collect(target, seen)
    return seen


async def test_an_answer_is_content_and_one_end_which_is_last(subject: Subject) -> None:
    subject.will_answer("one", "two")
    events = await events_of(subject.target)
    assert isinstance(events[-1], End)
    assert sum(isinstance(event, End | Failure) for event in events) == 1
    assert "".join(event.text for event in events if isinstance(event, Delta)).replace(" ", "") == "onetwo"


async def test_an_end_names_who_answered(subject: Subject) -> None:
    subject.will_answer("one")
    end = (await events_of(subject.target))[-1]
    assert isinstance(end, End)
    assert (end.provider, end.model, end.finish_reason) == ("t", "m", "stop")


async def test_a_failure_before_content_is_raised_and_nothing_but_notes_came_before(subject: Subject) -> None:
    subject.will_fail()
    seen: list[Event] = []
    with pytest.raises(DagiError):
        await collect(subject.target, seen)
    assert not any(isinstance(event, (*CONTENT, End, Failure)) for event in seen)


async def test_an_answer_that_breaks_off_ends_with_a_failure_and_nothing_follows(subject: Subject) -> None:
    subject.will_break_off()
    events = await events_of(subject.target)
    assert isinstance(events[0], Delta)
    assert [isinstance(event, Failure) for event in events].index(True) == len(events) - 1


async def test_nothing_happens_before_the_first_event_is_asked_for(subject: Subject) -> None:
    stream = subject.target.open(MESSAGE, GRANT)
    await asyncio.sleep(0)
    await stream.aclose()
    await subject.until_stopped()


async def test_closing_stops_the_work_at_once(subject: Subject) -> None:
    subject.will_hang(after=1)
    async with asyncio.timeout(5), aclosing(subject.target.open(MESSAGE, GRANT)) as stream:
        assert isinstance(await anext(stream), Delta)
    await subject.until_stopped()


@pytest.mark.parametrize("after", [0, 1])
async def test_cancelling_stops_the_work_at_once(subject: Subject, after: int) -> None:
    subject.will_hang(after)
    task = asyncio.ensure_future(events_of(subject.target))
    await subject.until_working()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await subject.until_stopped()


async def test_answers_do_not_mix(subject: Subject) -> None:
    for word in ("one", "two", "three"):
        subject.will_answer(word)
    answers = await asyncio.gather(*(events_of(subject.target) for _ in range(3)))
    texts = ["".join(event.text for event in events if isinstance(event, Delta)) for events in answers]
    assert sorted(texts) == ["one", "three", "two"]


async def test_an_answer_in_one_piece_is_the_same_answer(subject: Subject) -> None:
    subject.will_answer("one", "two")
    streamed = [event for event in await events_of(subject.target) if not isinstance(event, Tried | Waited | Used)]
    subject.will_answer("one", "two")
    whole = [event for event in await gathered(tell_of(subject.target), WHOLE, GRANT, lambda _: None) if not isinstance(event, Used)]
    assert "".join(event.text for event in whole if isinstance(event, Delta)) == "".join(
        event.text for event in streamed if isinstance(event, Delta)
    )
    assert msgspec.structs.replace(whole[-1], raw=None) == msgspec.structs.replace(streamed[-1], raw=None)


class Listener(Gathered):
    """Hears an answer piece by piece, and shows the first one to somebody."""

    def __init__(self) -> None:
        self.notes: list[Event] = []
        super().__init__(self.notes.append)

    def hear(self, event: Event) -> None:
        super().hear(event)
        self.progress.seen = self.progress.seen or isinstance(event, CONTENT)


async def test_an_answer_that_is_told_is_the_same_answer(subject: Subject) -> None:
    subject.will_answer("one", "two")
    streamed = [event for event in await events_of(subject.target) if not isinstance(event, Tried | Waited)]
    subject.will_answer("one", "two")
    ear = Listener()
    await tell_of(subject.target)(MESSAGE, GRANT, ear)
    assert ear.events == streamed
    assert ear.progress.ended


async def test_pieces_are_told_in_the_moment_they_come(subject: Subject) -> None:
    subject.will_hang(1)
    ear = Listener()
    telling = asyncio.ensure_future(tell_of(subject.target)(MESSAGE, GRANT, ear))
    await eventually(lambda: any(isinstance(event, Delta) for event in ear.events))
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    await subject.until_stopped()


async def test_an_answer_of_which_a_piece_was_told_is_an_error_when_it_breaks_off_and_nobody_begins_anew(subject: Subject) -> None:
    subject.will_break_off()
    ear = Listener()
    with pytest.raises(DagiError):
        await tell_of(subject.target)(MESSAGE, GRANT, ear)
    assert not ear.progress.ended
    assert len([event for event in ear.events if isinstance(event, CONTENT)]) == 1


@pytest.mark.parametrize("breaks", [False, True], ids=["fails", "breaks off"])
async def test_an_answer_in_one_piece_that_is_not_complete_is_an_error(subject: Subject, breaks: bool) -> None:
    notes: list[Event] = []
    for _ in range(2):
        if breaks:
            subject.will_break_off()
        else:
            subject.will_fail()
    with pytest.raises(DagiError):
        await gathered(tell_of(subject.target), WHOLE, GRANT, notes.append)
    assert not [event for event in notes if not isinstance(event, Tried | Waited)]


async def test_cancelling_an_answer_in_one_piece_stops_the_work(subject: Subject) -> None:
    subject.will_hang(1)
    work = asyncio.ensure_future(gathered(tell_of(subject.target), WHOLE, GRANT, lambda _: None))
    await subject.until_working()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await subject.until_stopped()
