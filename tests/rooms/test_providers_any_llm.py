"""Provider `any_llm`: the real package and Anthropic's real library against a server that speaks Anthropic's protocol."""

import asyncio
import json
from collections.abc import AsyncGenerator

import msgspec
import pytest
from pydantic import ValidationError

from dagi.errors import NotConfigured, ProviderBusy, ProviderError
from dagi.message import Grant, Message, Sender, Usage
from dagi.outbound import Client
from dagi.ports.hearing import gathered
from dagi.ports.provider import ProviderTools
from dagi.ports.target import Delta, End, Event, Failure, Thought, Used
from dagi.targets.models import any_llm
from dagi.targets.models.any_llm import AnyLlmSettings, AnyLlmTarget
from dagi.testing.clock import FakeClock
from dagi.testing.facts import MemoryFacts

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
MESSAGE = Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="one two")
KEY = "sk-ant-0123456789"
COUNTS = {"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": 4}


class Anthropic:
    """A server that speaks a little of Anthropic's protocol, a connection for each request."""

    def __init__(self) -> None:
        self.heard: list[dict[str, object]] = []
        self.keys: list[str] = []
        self.refusal: tuple[int, str, str] | None = None
        self.breaks = False
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.heard.append(body)
        self.keys.append(headers["x-api-key"])
        status, kind, data = self._made(body)
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nRetry-After: 7\r\nConnection: close\r\n\r\n".encode() + data)
        await writer.drain()
        writer.close()

    def _made(self, body: dict[str, object]) -> tuple[int, str, bytes]:
        if self.refusal is not None:
            status, kind, said = self.refusal
            return status, "application/json", json.dumps({"type": "error", "error": {"type": kind, "message": said}}).encode()
        message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}
        if not body.get("stream"):
            content = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Hello"}]
            done = {**message, "content": content, "stop_reason": "end_turn", "usage": COUNTS}
            return 200, "application/json", json.dumps(done).encode()
        begun = {**message, "content": [], "stop_reason": None, "usage": {**COUNTS, "output_tokens": 1}}
        events: list[dict[str, object]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        ]
        if self.breaks:
            events.append({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        else:
            events += [
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 5}},
                {"type": "message_stop"},
            ]
        return 200, "text/event-stream", "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events).encode()


class Case:
    """The server, and what asks it."""

    def __init__(self, server: Anthropic, http: Client) -> None:
        self.server = server
        self.targets: list[AnyLlmTarget] = []
        self._tools = ProviderTools(http=http, facts=MemoryFacts(), clock=FakeClock(), api_key=KEY)

    def target(self, **settings: object) -> AnyLlmTarget:
        values = {"vendor": "anthropic", "model": "claude-x", "base_url": f"http://127.0.0.1:{self.server.port}", **settings}
        target = any_llm.provider.build("llm", AnyLlmSettings.model_validate(values), self._tools)
        self.targets.append(target)
        return target

    async def whole(self, message: Message = MESSAGE, **settings: object) -> list[Event]:
        return await gathered(self.target(**settings).tell, message, GRANT, lambda _: None)

    async def refused(self, status: int, kind: str, said: str) -> ProviderError:
        self.server.refusal = (status, kind, said)
        with pytest.raises(ProviderError) as caught:
            await self.whole()
        assert KEY not in caught.value.message + caught.value.detail
        return caught.value

    async def check(self, **settings: object) -> list[tuple[str, str]]:
        values = AnyLlmSettings.model_validate({"vendor": "anthropic", "model": "m", **settings})
        return [(one.severity, one.what) for one in await any_llm.provider.check("llm", values, self._tools)]


@pytest.fixture
async def case() -> AsyncGenerator[Case]:
    anthropic = Anthropic()
    listening = await asyncio.start_server(anthropic.answer, "127.0.0.1", 0)
    anthropic.port = listening.sockets[0].getsockname()[1]
    async with Client() as http, listening:
        made = Case(anthropic, http)
        yield made
        for target in made.targets:
            await target.aclose()


USED = Usage(prompt_tokens=13, completion_tokens=5, total_tokens=18, cached_tokens=4)


async def test_a_vendor_of_another_protocol_answers_streamed_and_whole(case: Case) -> None:
    streamed = [event async for event in case.target().open(MESSAGE, GRANT)]
    end = End(provider="llm", model="claude-x", finish_reason="stop")
    assert streamed == [Delta("Hel"), Delta("lo"), Used(USED), end]
    assert await case.whole() == [Thought("hm"), Delta("Hello"), Used(USED), end]
    assert case.server.keys == [KEY, KEY]


async def test_what_is_sent_is_what_was_configured_and_the_callers_word_goes_before(case: Case) -> None:
    options = msgspec.Raw(b'{"max_tokens":7,"temperature":0.1,"stream":true,"model":"other","n":1}')
    await case.whole(msgspec.structs.replace(MESSAGE, options=options), max_tokens=90, temperature=0.5, top_p=0.9)
    sent = case.server.heard[0]
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["top_p"]) == ("claude-x", 7, 0.1, 0.9)
    assert sent["messages"] == [{"role": "user", "content": "one two"}]


async def test_an_answer_that_breaks_off_ends_with_a_failure(case: Case) -> None:
    case.server.breaks = True
    events = [event async for event in case.target().open(MESSAGE, GRANT)]
    assert events[0] == Delta("Hel")
    assert isinstance(events[-1], Failure)


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "unhealthy"),
    [
        (400, "invalid_request_error", False, False),
        (401, "authentication_error", False, False),
        (404, "not_found_error", False, False),
        (500, "api_error", True, True),
        (529, "overloaded_error", True, True),
    ],
)
async def test_a_refusal_says_what_it_says_elsewhere(case: Case, status: int, kind: str, retryable: bool, unhealthy: bool) -> None:
    error = await case.refused(status, kind, "no")
    assert (error.facts["upstream_status"], error.retryable, error.unhealthy) == (status, retryable, unhealthy)
    assert len(case.server.heard) == 1


async def test_a_busy_vendor_says_for_how_long(case: Case) -> None:
    error = await case.refused(429, "rate_limit_error", "slow down")
    assert isinstance(error, ProviderBusy)
    assert error.retry_after_s == 7


async def test_a_conversation_that_does_not_fit_is_said_so(case: Case) -> None:
    error = await case.refused(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")
    assert error.facts["context_too_long"] is True


async def test_a_vendor_that_is_not_there_is_unreachable(case: Case) -> None:
    with pytest.raises(ProviderError) as caught:
        await case.whole(base_url="http://127.0.0.1:9")
    assert caught.value.facts["unreachable"] is True


async def test_what_keeps_a_vendor_from_being_asked_is_said(case: Case) -> None:
    with pytest.raises(NotConfigured) as caught:
        await case.whole(vendor="nosuch")
    assert caught.value.detail.startswith("llm cannot ask nosuch: any-llm knows no vendor of that name; it knows anthropic, ")
    assert await case.check(vendor="mistral") == [
        ("error", "llm cannot ask mistral: a package is missing: pip install 'any-llm-sdk[mistral]'.")
    ]
    assert await case.check() == [("ok", "llm can ask anthropic; whether it answers was not tried.")]


def test_a_vendor_is_a_plain_name() -> None:
    with pytest.raises(ValidationError):
        AnyLlmSettings(vendor="../x", model="m")
