"""The providers against a scripted server over real HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec
import pytest

from dagi.errors import DagiError, ProviderBusy, ProviderError
from dagi.message import Context, Grant, Message, Sender, Usage
from dagi.outbound import Client
from dagi.ports.provider import ProviderTools
from dagi.ports.target import Delta, End, Event, Failure, Target, Thought, Used
from dagi.targets.models import ollama, openai_compatible
from dagi.targets.models.chat_api import ChatSettings
from dagi.targets.models.ollama import OllamaSettings
from dagi.testing.clock import FakeClock
from dagi.testing.facts import MemoryFacts
from dagi.testing.upstream import Answer, Upstream
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
KEY = "very:secret:0123456789"
MESSAGE = Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="one two")
KINDS = ("openai", "ollama")


class Case:
    """A scripted server, and both kinds of provider that ask it."""

    def __init__(self, upstream: Upstream, http: Client) -> None:
        self.upstream = upstream
        self.http = http
        self.tools = ProviderTools(http=http, facts=MemoryFacts(), clock=FakeClock(datetime(2026, 1, 1, tzinfo=UTC)), api_key=KEY)

    def target(self, kind: str, **settings: object) -> Target:
        if kind == "ollama":
            values = {"base_url": self.upstream.origin, "model": "qwen3:8b", **settings}
            return ollama.provider.build("llm", OllamaSettings.model_validate(values), self.tools)
        values = {"base_url": self.upstream.v1, "model": "qwen3:8b", **settings}
        return openai_compatible.provider.build("llm", ChatSettings.model_validate(values), self.tools)

    async def ask(self, kind: str, *answers: Answer, message: Message = MESSAGE, **settings: object) -> list[Event]:
        self.upstream.script(*answers)
        return [event async for event in self.target(kind, **settings).open(message, GRANT)]

    async def refused(self, kind: str, answer: Answer) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await self.ask(kind, answer)
        assert KEY not in caught.value.message + caught.value.detail
        assert caught.value.message.startswith(("llm ", "The conversation"))
        assert "127.0.0.1" not in caught.value.message
        return caught.value


@pytest.fixture
async def case() -> AsyncGenerator[Case]:
    async with Upstream(models=("qwen3:8b",)) as upstream, Client() as http, asyncio.timeout(10):
        yield Case(upstream, http)


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_streams_from_the_server_to_the_caller(case: Case, kind: str) -> None:
    events = await case.ask(kind, Answer(thinking="hm", model="qwen3:8b"))
    assert said(events) == "echo: one two"
    assert isinstance(events[0], Thought)
    assert [type(event) for event in events[-2:]] == [Used, End]
    assert isinstance(events[-2], Used)
    assert events[-2].usage == Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_first_piece_comes_before_the_server_sends_the_second(case: Case, kind: str) -> None:
    case.upstream.script(Answer(hang_after=1))
    async with aclosing(case.target(kind).open(MESSAGE, GRANT)) as stream:
        first = await anext(stream)
        assert isinstance(first, Delta)
        assert first.text == "echo:"
        case.upstream.release()
        assert said([event async for event in stream]) == " one two"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_in_one_piece_is_accepted_too(case: Case, kind: str) -> None:
    assert said(await case.ask(kind, Answer(whole=True))) == "echo: one two"


async def test_what_is_sent_is_what_was_configured(case: Case) -> None:
    settings: dict[str, object] = {"max_tokens": 20, "temperature": 0.5, "stop": ["x"]}
    await case.ask("openai", **settings)
    await case.ask("ollama", context_tokens=4096, keep_alive="10m", **settings)
    common = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "one two"}], "stream": True}
    first, second = case.upstream.heard
    sampling = {"max_tokens": 20, "temperature": 0.5, "stop": ["x"]}
    assert first.body == {**common, **sampling, "stream_options": {"include_usage": True}}
    options = {"num_predict": 20, "temperature": 0.5, "stop": ["x"], "num_ctx": 4096}
    assert second.body == {**common, "options": options, "think": False, "keep_alive": "10m"}
    assert {one.headers["authorization"] for one in (first, second)} == {f"Bearer {KEY}"}
    assert "accept-encoding" not in first.headers


async def test_the_callers_parameters_reach_both_kinds(case: Case) -> None:
    options = msgspec.Raw(b'{"max_tokens":3,"stop":"y","seed":null,"tools":[]}')
    message = msgspec.structs.replace(MESSAGE, options=options)
    await case.ask("openai", message=message, max_tokens=20)
    await case.ask("ollama", message=message, max_tokens=20)
    first, second = case.upstream.heard
    assert {name: first.body[name] for name in ("max_tokens", "stop", "tools")} == {"max_tokens": 3, "stop": "y", "tools": []}
    assert second.body["options"] == {"num_predict": 3, "stop": ["y"]}


@pytest.mark.parametrize("kind", KINDS)
async def test_context_goes_before_the_conversation(case: Case, kind: str) -> None:
    await case.ask(kind, message=msgspec.structs.replace(MESSAGE, context=Context(roles=("member",))))
    turns = case.upstream.heard[0].body["messages"]
    assert isinstance(turns, list)
    assert [turn["role"] for turn in turns] == ["system", "user"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (Answer(body=b"<html>", headers={"Content-Type": "text/html"}), "a web page"),
        (Answer(body=b"{nope", headers={"Content-Type": "application/json"}), "not valid JSON"),
        (
            Answer(body=b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', headers={"Content-Type": "text/event-stream"}),
            "not valid JSON",
        ),
        (Answer(body=b'{"choices":[]}', headers={"Content-Type": "application/json"}), "the answer "),
        (Answer(body=b"", headers={"Content-Type": "text/event-stream"}), "the answer holds nothing"),
        (Answer(text=""), "the answer is empty"),
        (Answer(status=500, error="boom"), "HTTP 500: boom"),
        (Answer(status=502, body=b"<html>Bad gateway</html>"), "HTTP 502."),
        (Answer(reset_after=0), "could not be reached"),
    ],
)
async def test_a_failure_before_content_is_raised_and_speaks_of_health(case: Case, kind: str, answer: Answer, part: str) -> None:
    error = await case.refused(kind, answer)
    assert part in error.detail
    assert (error.retryable, error.unhealthy, error.facts.get("unreachable")) == (True, True, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [Answer(reset_after=1), Answer(error_after=1), Answer(finish_reason=None)])
async def test_an_answer_that_breaks_off_ends_with_a_failure(case: Case, kind: str, answer: Answer) -> None:
    events = await case.ask(kind, answer)
    assert said(events) == ("echo: one two" if answer.finish_reason is None else "echo:")
    assert isinstance(events[-1], Failure)
    assert isinstance(events[-1].error, ProviderError)
    assert events[-1].error.unhealthy


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:09 GMT"}, 9),
        ({"Retry-After": "99999999"}, 3600),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
async def test_a_429_is_busy_and_says_for_how_long(case: Case, kind: str, header: dict[str, str], seconds: float | None) -> None:
    error = await case.refused(kind, Answer(status=429, headers=header, error="slow down"))
    assert isinstance(error, ProviderBusy)
    assert (error.retry_after_s, error.retryable, error.unhealthy) == (seconds, True, False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_4xx_is_neither_retried_nor_held_against_the_server(case: Case, kind: str, status: int) -> None:
    error = await case.refused(kind, Answer(status=status))
    assert (error.facts["upstream_status"], error.retryable, error.unhealthy) == (status, False, False)


BY_SENTENCE = (
    Answer(status=400, error="the request exceeds the available context size (4096)"),
    Answer(status=400, error="This model's maximum context length is 8192 tokens"),
)
BY_CODE = Answer(status=400, code="context_length_exceeded", error="too many")


@pytest.mark.parametrize(
    ("kind", "answer"),
    # Ollama sends no codes.
    [(kind, answer) for kind in KINDS for answer in BY_SENTENCE] + [(kind, BY_CODE) for kind in KINDS if kind != "ollama"],
)
async def test_a_conversation_that_does_not_fit_is_said_so(case: Case, kind: str, answer: Answer) -> None:
    error = await case.refused(kind, answer)
    assert "longer than llm can read" in error.message
    assert error.facts["context_too_long"] is True


async def test_a_model_that_was_not_pulled_is_said_with_the_command(case: Case) -> None:
    error = await case.refused("ollama", Answer(status=404, error="model 'qwen3:8b' not found"))
    assert error.message == "llm answered with HTTP 404."
    assert error.detail == "llm answered with HTTP 404: model 'qwen3:8b' not found. Run `ollama pull qwen3:8b`."


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(status=401, error="look at 10.0.0.5"), "llm refused our key (HTTP 401)."),
        (Answer(status=500, error="look at 10.0.0.5"), "llm answered with HTTP 500."),
        (Answer(status=302), "llm answered with a redirect (HTTP 302)."),
        (Answer(body=b"{nope"), "llm did not give a usable answer."),
        (Answer(reset_after=0), "llm could not be reached: the connection broke off."),
    ],
)
async def test_a_caller_is_told_who_failed_and_how_and_nothing_of_the_installation(
    case: Case, kind: str, answer: Answer, sentence: str
) -> None:
    assert (await case.refused(kind, answer)).message == sentence


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("echo", ['{"content": "my secret"}', "['my secret']", f"invalid value 'my secret {'x' * 40}'"])
async def test_what_a_server_echoes_of_the_request_is_not_repeated(case: Case, kind: str, echo: str) -> None:
    error = await case.refused(kind, Answer(status=400, error=f"cannot parse {echo}"))
    assert "cannot parse" in error.detail or "invalid value" in error.detail
    assert "my secret" not in error.detail


@pytest.mark.parametrize("kind", KINDS)
async def test_what_the_server_says_is_cut_cleaned_and_never_shows_a_key(case: Case, kind: str) -> None:
    error = await case.refused(kind, Answer(status=401, error=f"Incorrect key {KEY} or sk-proj-abcdefgh\x1b[31m\n" + "x" * 500))
    assert "[key]" in error.detail
    assert "abcdefgh" not in error.detail
    assert error.detail.isprintable()
    assert len(error.detail) < 300


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_is_not_there_is_unreachable(case: Case, kind: str) -> None:
    await case.upstream.stop()
    with pytest.raises(ProviderError, match=r"^llm could not be reached: it refused the connection.$") as caught:
        await case.ask(kind)
    assert caught.value.detail == f"llm could not be reached: 127.0.0.1:{case.upstream.port} refused the connection."
    assert caught.value.facts["unreachable"] is True


@pytest.mark.parametrize("kind", KINDS)
async def test_leaving_stops_the_server_at_once(case: Case, kind: str) -> None:
    case.upstream.script(Answer(hang_after=1), Answer(hang_after=0))
    async with aclosing(case.target(kind).open(MESSAGE, GRANT)) as stream:
        await anext(stream)
    await case.upstream.until(lambda: case.upstream.disconnects == 1, within_s=1)
    task = asyncio.ensure_future(case.ask(kind))
    await case.upstream.until(lambda: case.upstream.active == 1)
    task.cancel()
    await case.upstream.until(lambda: case.upstream.disconnects == 2, within_s=1)
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_in_the_stream_is_told_at_once_even_if_the_server_then_hangs(case: Case, kind: str) -> None:
    events = await case.ask(kind, Answer(error_after=1, hang_after=1, error="out of memory"))
    assert isinstance(events[-1], Failure)
    assert isinstance(events[-1].error, ProviderError)
    assert "out of memory" in events[-1].error.detail


async def test_streams_share_one_connection_one_after_the_other(case: Case) -> None:
    for _ in range(3):
        await case.ask("openai")
        await eventually(lambda: case.http.unused == 1)
    assert case.upstream.connections == 1


async def test_options_that_are_no_object_are_the_callers_mistake(case: Case) -> None:
    with pytest.raises(DagiError, match="JSON object"):
        await case.ask("openai", message=msgspec.structs.replace(MESSAGE, options=msgspec.Raw(b"[]")))
