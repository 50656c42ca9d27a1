"""What sets single vendors apart, against a scripted server over real HTTP."""

import json
from collections.abc import AsyncGenerator

import msgspec
import pytest
from pydantic import ValidationError

from dagi.errors import ProviderBusy, ProviderError
from dagi.message import Grant, Message, Sender, Usage
from dagi.outbound import Client
from dagi.ports.hearing import gathered, tell_of
from dagi.ports.provider import ProviderTools
from dagi.ports.target import Delta, Event, Thought, Used
from dagi.targets.models.deepseek import DeepSeekSettings
from dagi.targets.models.deepseek import provider as deepseek
from dagi.targets.models.ollama import OllamaSettings
from dagi.targets.models.ollama import provider as ollama
from dagi.targets.models.openai import OpenAISettings
from dagi.targets.models.openai import provider as openai
from dagi.testing.clock import FakeClock
from dagi.testing.facts import MemoryFacts
from dagi.testing.upstream import Answer, Upstream

pytestmark = pytest.mark.anyio

GRANT = Grant(dao_id="dao", user_id="tg:1")
MESSAGE = Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="one two")
PROVIDERS = {"openai": openai, "deepseek": deepseek, "ollama": ollama}
CREDIT = "Add credit to its account at the vendor, or set the key of another account."


class Case:
    """A scripted server and what vendors' providers ask it."""

    def __init__(self, upstream: Upstream, http: Client) -> None:
        self.upstream = upstream
        self._tools = ProviderTools(http=http, facts=MemoryFacts(), clock=FakeClock(), api_key="key")

    def settings(self, kind: str, **settings: object) -> dict[str, object]:
        return {"base_url": self.upstream.origin if kind == "ollama" else self.upstream.v1, "model": "m", **settings}

    async def ask(self, kind: str, answer: Answer | None = None, options: bytes | None = None, **settings: object) -> list[Event]:
        self.upstream.script(answer or Answer())
        provider = PROVIDERS[kind]
        target = provider.build("llm", provider.Settings.model_validate(self.settings(kind, **settings)), self._tools)
        message = MESSAGE if options is None else msgspec.structs.replace(MESSAGE, options=msgspec.Raw(options))
        return await gathered(tell_of(target), message, GRANT, lambda _: None)

    async def sent(self, kind: str, options: bytes | None = None, **settings: object) -> dict[str, object]:
        await self.ask(kind, options=options, **settings)
        return dict(self.upstream.heard[-1].body)

    async def check(self, kind: str, answer: Answer) -> list[tuple[str, str]]:
        self.upstream.script(answer)
        provider = PROVIDERS[kind]
        found = await provider.check("llm", provider.Settings.model_validate(self.settings(kind)), self._tools)
        return [(one.severity, one.what) for one in found]


@pytest.fixture
async def case() -> AsyncGenerator[Case]:
    async with Upstream(models=("m",)) as upstream, Client() as http:
        yield Case(upstream, http)


def completion(usage: dict[str, object], **message: object) -> Answer:
    said = {"choices": [{"message": {"content": "yes", **message}, "finish_reason": "stop"}], "usage": usage}
    return Answer(body=json.dumps(said).encode(), headers={"Content-Type": "application/json"})


TOTALS = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@pytest.mark.parametrize(
    ("kind", "counts", "cached", "reasoning"),
    [
        ("openai", {"prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 12}}, 64, 12),
        ("deepseek", {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}, 64, 0),
        ("openai", {}, 0, 0),
        # More cached than sent is no count, and charging by it would give money back.
        ("openai", {"prompt_tokens_details": {"cached_tokens": 900}, "completion_tokens_details": {"reasoning_tokens": -1}}, 100, 0),
        ("openai", {"prompt_tokens_details": "none", "completion_tokens_details": [1]}, 0, 0),
        ("deepseek", {"prompt_cache_hit_tokens": 8, "prompt_tokens_details": None}, 8, 0),
    ],
)
async def test_what_was_cached_and_what_was_thought_is_counted(case: Case, kind: str, counts, cached: int, reasoning: int) -> None:
    events = await case.ask(kind, completion({**TOTALS, **counts}))
    usage = [event.usage for event in events if isinstance(event, Used)]
    assert usage == [Usage(prompt_tokens=100, completion_tokens=20, total_tokens=120, cached_tokens=cached, reasoning_tokens=reasoning)]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thinking_is_no_part_of_the_answer(case: Case, name: str) -> None:
    events = await case.ask("deepseek", completion(TOTALS, **{name: "hm"}))
    assert [event for event in events if isinstance(event, Thought | Delta)] == [Thought("hm"), Delta("yes")]


@pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5.1-mini"])
async def test_a_reasoning_model_gets_no_parameter_that_it_refuses(case: Case, model: str) -> None:
    options = b'{"max_tokens":9,"top_p":0.5,"stop":"x","tools":[]}'
    body = await case.sent("openai", options, model=model, temperature=0.3, max_tokens=5, seed=1)
    assert {"temperature", "top_p", "stop", "seed", "max_tokens"}.isdisjoint(body)
    assert (body["max_completion_tokens"], body["tools"]) == (9, [])


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5-chat-latest", "chatgpt-4o-latest"])
async def test_other_models_get_what_was_set(case: Case, model: str) -> None:
    body = await case.sent("openai", model=model, temperature=0.3)
    assert body["temperature"] == 0.3


async def test_whether_a_model_reasons_can_be_said(case: Case) -> None:
    body = await case.sent("openai", model="house-model", reasoning=True, temperature=0.3, reasoning_effort="low")
    assert ("temperature" in body, body["reasoning_effort"]) == (False, "low")
    assert (await case.sent("openai", model="o3", reasoning=False, temperature=0.3))["temperature"] == 0.3


async def test_a_request_names_its_organization_and_project(case: Case) -> None:
    await case.sent("openai", organization="org-1", project="proj_2")
    headers = case.upstream.heard[-1].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj_2")


def test_a_header_cannot_be_smuggled_into_a_name() -> None:
    with pytest.raises(ValidationError):
        OpenAISettings(model="m", organization="org\r\nX-Evil: 1")


@pytest.mark.parametrize(("think", "sent"), [(True, {"type": "enabled"}), (False, {"type": "disabled"}), (None, None)])
async def test_deepseek_thinks_or_not(case: Case, think: bool | None, sent: object) -> None:
    assert (await case.sent("deepseek", think=think)).get("thinking") == sent


def test_deepseek_needs_no_more_than_its_key() -> None:
    assert DeepSeekSettings().model == "deepseek-chat"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("deepseek", Answer(status=402, error="Insufficient Balance", code="invalid_request_error")),
        ("openai", Answer(status=429, error="You exceeded your current quota", code="insufficient_quota")),
    ],
)
async def test_an_account_without_credit_is_said_and_not_asked_again(case: Case, kind: str, answer: Answer) -> None:
    with pytest.raises(ProviderError) as caught:
        await case.ask(kind, answer)
    assert not isinstance(caught.value, ProviderBusy)
    assert caught.value.message == f"llm has no credit left at its vendor (HTTP {answer.status})."
    assert caught.value.detail == f"llm has no credit left at its vendor (HTTP {answer.status}): {answer.error}. {CREDIT}"
    assert (caught.value.retryable, caught.value.unhealthy) == (False, False)


async def test_the_doctor_finds_an_account_without_credit(case: Case) -> None:
    assert await case.check("deepseek", Answer(status=402)) == [("error", "llm has no credit left at its vendor.")]


@pytest.mark.parametrize("name", ["num_ctx", "context_tokens"])
async def test_ollamas_context_has_two_names(case: Case, name: str) -> None:
    assert (await case.sent("ollama", **{name: 8192}))["options"] == {"num_ctx": 8192}


@pytest.mark.parametrize("think", [True, False, "low", "medium", "high"])
async def test_ollama_thinks_as_much_as_is_said(case: Case, think: object) -> None:
    assert (await case.sent("ollama", think=think))["think"] == think


@pytest.mark.parametrize("alive", [300, -1, "10m", "1h30m", "-1s"])
async def test_ollama_keeps_a_model_as_long_as_is_said(case: Case, alive: object) -> None:
    assert (await case.sent("ollama", keep_alive=alive))["keep_alive"] == alive


@pytest.mark.parametrize("settings", [{"keep_alive": "a while"}, {"think": "very"}, {"num_ctx": 1}])
def test_what_ollama_could_not_read_is_a_mistake_at_the_start(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OllamaSettings.model_validate({"model": "m", **settings})
