"""Provider `llama`: a real llama.cpp in a real child process, over a tiny model made for the tests."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import msgspec
import psutil
import pytest
from pydantic import ValidationError

from dagi.errors import NotConfigured, ProviderError
from dagi.message import Grant, Message, Sender
from dagi.observe.clock import SystemClock
from dagi.outbound import Client
from dagi.ports.hearing import gathered
from dagi.ports.provider import Closing, ProviderTools
from dagi.ports.target import Delta, End, Event, Failure, Used
from dagi.targets.models import llama
from dagi.targets.models.llama import LlamaSettings, LlamaTarget
from dagi.targets.models.llama_child import LlamaChild, Plan
from dagi.targets.models.llama_process import Orders
from dagi.testing.clock import FakeClock
from dagi.testing.facts import MemoryFacts
from dagi.testing.observer import CollectingObserver
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
MESSAGE = Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="hello")


# Chance would let the model end where it likes; like this it goes on and on.
GREEDY = {"temperature": 0.0}


class House:
    """Builds targets and closes them."""

    def __init__(self, http: Client, model: Path) -> None:
        self.model = model
        self.observer = CollectingObserver()
        self.tools = ProviderTools(http=http, facts=MemoryFacts(), clock=SystemClock(), note=self.observer.note)
        self.targets: list[LlamaTarget] = []

    def target(self, **settings: object) -> LlamaTarget:
        values = {"model_path": str(self.model), "context_tokens": 512, "max_tokens": 6, **GREEDY, **settings}
        target = llama.provider.build("local", LlamaSettings.model_validate(values), self.tools)
        self.targets.append(target)
        return target

    async def refused(self, target: LlamaTarget) -> NotConfigured | ProviderError:
        with pytest.raises((NotConfigured, ProviderError)) as caught:
            await whole(target)
        assert str(self.model.parent) not in caught.value.message
        return caught.value

    async def check(self, **settings: object) -> list[tuple[str, str]]:
        values = {"model_path": str(self.model), **settings}
        return [(one.severity, one.what) for one in await llama.provider.check("local", LlamaSettings.model_validate(values), self.tools)]


@pytest.fixture
async def house(tiny_model: Path) -> AsyncGenerator[House]:
    async with Client() as http:
        made = House(http, tiny_model)
        yield made
        for target in made.targets:
            await target.aclose()
    assert not children()


def children() -> list[psutil.Process]:
    """The living model processes of this one."""
    found = psutil.Process().children(recursive=True)
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE and "llama_process" in " ".join(one.cmdline())]


async def whole(target: LlamaTarget, message: Message = MESSAGE) -> list[Event]:
    async with asyncio.timeout(30):
        return await gathered(target.tell, message, GRANT, lambda _: None)


async def test_a_model_answers_streamed_and_whole_and_counts(house: House) -> None:
    target = house.target()
    assert not children()
    streamed = [event async for event in target.open(MESSAGE, GRANT)]
    events = await whole(target)
    for answer in (streamed, events):
        used, end = answer[-2:]
        assert isinstance(answer[0], Delta)
        assert isinstance(used, Used)
        assert used.usage.completion_tokens == 6
        assert isinstance(end, End)
        assert (end.provider, end.model, end.finish_reason) == ("local", "tiny", "length")
    assert len(children()) == 1


async def test_streams_may_follow_one_another_at_once(house: House) -> None:
    target = house.target()
    for _ in range(5):
        assert isinstance([event async for event in target.open(MESSAGE, GRANT)][-1], End)


async def test_everybody_who_asks_first_waits_for_one_process(house: House) -> None:
    target = house.target(slots=2)
    answers = await asyncio.gather(*(whole(target) for _ in range(4)))
    assert all(isinstance(events[-1], End) for events in answers)
    assert len(children()) == 1


async def test_the_key_stands_on_no_command_line_and_nobody_is_answered_without_it(house: House) -> None:
    await whole(house.target())
    (child,) = children()
    (port,) = {one.laddr.port for one in child.net_connections() if one.status == psutil.CONN_LISTEN}
    assert [one.laddr.ip for one in child.net_connections() if one.status == psutil.CONN_LISTEN] == ["127.0.0.1"]
    assert "{" not in " ".join(child.cmdline())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401")


async def test_a_conversation_that_does_not_fit_is_said_so(house: House) -> None:
    long = msgspec.structs.replace(MESSAGE, prompt="word " * 400)
    with pytest.raises(ProviderError) as caught:
        await whole(house.target(), long)
    assert caught.value.facts["context_too_long"] is True


async def test_a_process_that_dies_is_there_again_before_anybody_asks(house: House) -> None:
    target = house.target()
    await whole(target)
    first = children()[0]
    first.kill()
    await eventually(lambda: house.observer.events.count("model_process_ready") == 2)
    assert isinstance((await whole(target))[-1], End)
    assert children()[0].pid != first.pid
    died = dict(house.observer.notes)["model_process_died"]
    assert (died["provider"], died["exit_status"]) == ("local", -9)


async def test_a_process_that_dies_in_the_middle_breaks_the_answer_off_and_the_next_one_comes(house: House) -> None:
    target = house.target(context_tokens=16384, max_tokens=16000)
    short = msgspec.structs.replace(MESSAGE, options=msgspec.Raw(b'{"max_tokens":2}'))
    await whole(target, short)
    (victim,) = children()
    events: list[Event] = []
    async with aclosing(target.open(MESSAGE, GRANT)) as stream:
        async for event in stream:
            if not events:
                victim.kill()
            events.append(event)
    assert isinstance(events[-1], Failure)
    await eventually(lambda: house.observer.events.count("model_process_ready") == 2)
    assert isinstance((await whole(target, short))[-1], End)


async def test_leaving_does_not_stop_the_start_and_closing_does(house: House) -> None:
    target = house.target()
    asked = asyncio.ensure_future(whole(target))
    await eventually(lambda: bool(children()))
    asked.cancel()
    await eventually(lambda: "model_process_ready" in house.observer.events)
    assert isinstance(target, Closing)
    await target.aclose()
    assert not children()
    assert "closed" in (await house.refused(target)).detail


async def test_closing_in_the_middle_of_a_start_lets_nobody_wait(house: House) -> None:
    target = house.target()
    asked = asyncio.ensure_future(whole(target))
    await eventually(lambda: bool(children()))
    await target.aclose()
    with pytest.raises(ProviderError, match="could not be started"):
        await asked


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda file: file.unlink(missing_ok=True), "does not exist"),
        (lambda file: file.mkdir(), "is a directory, not a file"),
        (lambda file: file.write_bytes(b"hello"), "is not in GGUF format"),
        (os.mkfifo, "is not a file"),
    ],
    ids=["missing", "directory", "other format", "pipe"],
)
async def test_a_file_that_cannot_be_used_is_not_configured_and_may_come_later(
    house: House, tmp_path: Path, spoil: Spoil, sentence
) -> None:
    file = tmp_path / "model.gguf"
    spoil(file)
    target = house.target(model_path=str(file))
    error = await house.refused(target)
    assert isinstance(error, NotConfigured)
    assert error.detail.endswith(f"model_path {file} {sentence}.")
    assert await house.check(model_path=str(file)) == [("error", f"local cannot start: model_path {file} {sentence}.")]
    if file.is_dir():
        file.rmdir()
    file.unlink(missing_ok=True)
    file.write_bytes(house.model.read_bytes())
    assert isinstance((await whole(target))[-1], End)


async def test_a_model_that_cannot_be_loaded_says_why_and_is_not_tried_at_every_question(house: House, tmp_path: Path) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(house.model.read_bytes()[:4000])
    target = house.target(model_path=str(file))
    first, second = await house.refused(target), await house.refused(target)
    assert "its model could not be loaded: read: string length" in first.detail
    assert (first.detail, first.facts["unreachable"]) == (second.detail, True)
    assert not children()


async def test_the_doctor_finds_what_is_there(house: House) -> None:
    assert await house.check() == [("ok", "local has the model tiny (0.0 GiB).")]


def test_settings_have_bounds_and_two_names_for_the_context() -> None:
    assert LlamaSettings.model_validate({"model_path": "a.gguf", "num_ctx": 1024}).orders().context_tokens == 1024
    for wrong in ({}, {"model_path": ""}, {"model_path": "a", "threads": 0}, {"model_path": "a", "slots": 99}, {"model_path": "a", "x": 1}):
        with pytest.raises(ValidationError):
            LlamaSettings.model_validate(wrong)


ORDERS = Orders(model_path="x", alias="x", api_key="", context_tokens=256, slots=1, threads=1, batch_threads=1, gpu_layers=0)


def child(clock: FakeClock, observer: CollectingObserver, script: str, start_s: float = 30) -> LlamaChild:
    plan = Plan(orders=ORDERS, check=lambda: "", start_s=start_s, program=(sys.executable, "-c", script))
    return LlamaChild("local", plan, clock, observer.note)


async def test_a_model_that_loads_too_slowly_is_ended(tmp_path: Path) -> None:
    slow = child(FakeClock(), CollectingObserver(), "import time; time.sleep(60)", start_s=0.05)
    with pytest.raises(ProviderError) as caught:
        await slow.where()
    assert "was not loaded within 0.05 s" in caught.value.detail
    assert slow.process is None
    await slow.aclose()


async def test_one_that_dies_again_and_again_is_given_longer_and_longer_pauses() -> None:
    clock, observer = FakeClock(), CollectingObserver()
    dying = child(clock, observer, "print('http://127.0.0.1:1', flush=True)")
    pauses: list[object] = []
    for _ in range(4):
        await dying.where()
        await eventually(lambda: dying.process is None and "pause_s" in observer.notes[-1][1] and bool(observer.notes[-1][1]["pause_s"]))
        pauses.append(observer.notes[-1][1]["pause_s"])
        with pytest.raises(ProviderError, match="could not be started"):
            await dying.where()
        clock.advance(float(str(pauses[-1])))
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    await dying.aclose()
