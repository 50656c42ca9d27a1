"""What a check of a provider finds, and the settings it takes."""

from collections.abc import AsyncGenerator

import pytest
from pydantic import ValidationError

from dagi.outbound import Client
from dagi.ports.provider import ProviderTools
from dagi.targets.models import deepseek, ollama, openai, openai_compatible
from dagi.targets.models.chat_api import ChatSettings
from dagi.targets.models.ollama import OllamaSettings
from dagi.testing.clock import FakeClock
from dagi.testing.facts import MemoryFacts
from dagi.testing.upstream import Answer, Upstream

pytestmark = pytest.mark.anyio

KEY = "very:secret:0123456789"
KINDS = ("openai", "ollama")


class World:
    """A scripted server that has one model, and the tools of a provider."""

    def __init__(self, upstream: Upstream, http: Client) -> None:
        self.upstream = upstream
        self.tools = ProviderTools(http=http, facts=MemoryFacts(), clock=FakeClock(), api_key=KEY)


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with Upstream(models=("qwen3:8b",)) as upstream, Client() as http:
        yield World(upstream, http)


async def findings(world: World, kind: str, model: str = "qwen3:8b", *answers: Answer) -> list[tuple[str, str]]:
    world.upstream.script(*answers)
    if kind == "ollama":
        settings = OllamaSettings(base_url=world.upstream.origin, model=model)
        found = await ollama.provider.check("llm", settings, world.tools)
    else:
        found = await openai_compatible.provider.check("llm", ChatSettings(base_url=world.upstream.v1, model=model), world.tools)
    assert not any(KEY in one.what + one.fix for one in found)
    return [(one.severity, one.fix) for one in found]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_check_of_a_healthy_server_finds_nothing_to_do(world: World, kind: str) -> None:
    assert await findings(world, kind) == [("ok", ""), ("ok", "")]


async def test_a_check_looks_for_the_embedding_model_too(world: World) -> None:
    of_ollama = OllamaSettings(base_url=world.upstream.origin, model="qwen3:8b", embedding_model="e5")
    assert [one.fix for one in await ollama.provider.check("llm", of_ollama, world.tools)] == ["", "", "ollama pull e5"]
    other = ChatSettings(base_url=world.upstream.v1, model="qwen3:8b", embedding_model="e5")
    fixes = [one.fix for one in await openai_compatible.provider.check("llm", other, world.tools)]
    assert fixes == ["", "", "Set embedding_model to one of its own: qwen3:8b."]


async def test_a_check_says_what_to_do(world: World) -> None:
    assert (await findings(world, "ollama", "gemma3"))[1] == ("error", "ollama pull gemma3")
    assert (await findings(world, "openai", "gemma3"))[1] == ("warning", "Set model to one of its own: qwen3:8b.")
    assert (await findings(world, "openai", "m", Answer(status=401)))[0][0] == "error"
    assert (await findings(world, "openai", "m", Answer(status=404)))[0][0] == "warning"
    assert (await findings(world, "openai", "m", Answer(body=b"<html>")))[1][0] == "warning"
    assert (await findings(world, "ollama", "m", Answer(body=b"<html>")))[1][0] == "error"
    await world.upstream.stop()
    assert "ollama serve" in (await findings(world, "ollama"))[0][1]
    assert "Start the server" in (await findings(world, "openai"))[0][1]


async def test_a_provider_that_needs_a_key_says_where_to_put_it(world: World) -> None:
    tools = ProviderTools(http=world.tools.http, facts=world.tools.facts, clock=world.tools.clock)
    (found,) = await deepseek.provider.check("llm", deepseek.DeepSeekSettings(), tools)
    assert (found.severity, found.fix) == ("error", "Set the environment variable DEEPSEEK_API_KEY to a valid key.")


def test_presets_know_their_server_and_the_name_of_their_key() -> None:
    assert openai.OpenAISettings(model="gpt-5-mini").base_url == "https://api.openai.com/v1"
    assert deepseek.DeepSeekSettings().api_key_env == "DEEPSEEK_API_KEY"
    assert (openai.provider.needs_key, deepseek.provider.needs_key) == (True, True)
    assert (openai_compatible.provider.needs_key, ollama.provider.needs_key) == (False, False)


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "localhost:8080", "model": "m"},
        {"base_url": "http://u:secret@h/v1", "model": "m"},
        {"base_url": "http://h/v1?key=secret", "model": "m"},
        {"base_url": "http://h/v1", "model": ""},
        {"base_url": "http://h/v1", "model": "m", "temprature": 1},
        {"base_url": "http://h/v1"},
    ],
)
def test_settings_that_cannot_work_are_refused_without_showing_a_secret(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatSettings.model_validate(values)
    assert "secret" not in str(caught.value)
