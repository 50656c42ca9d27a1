"""A model in a file of one's own, asked through /route: real child processes, reloads and chains."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from dagi.assemble.diagnosis import diagnose
from dagi.assemble.providers import read_providers
from dagi.config import load
from dagi.targets.models import any_llm, llama
from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio


def local(model: Path, **config: object) -> dict[str, object]:
    values = {"model_path": str(model), "context_tokens": 2048, "max_tokens": 6, "temperature": 0.0, "timeout_ms": 30000, **config}
    return {"name": "local", "type": "llama", "config": values}


def rules(*fallback: str) -> list[dict[str, object]]:
    return [{"name": "chat", "use_provider": "local", "fallback_provider": list(fallback), "context": False}]


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE and "llama_process" in " ".join(one.cmdline())]


async def reloaded(stack, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    file = Path(stack.installation.choice.config)
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))  # noqa: ASYNC240 (the test has nothing else to do)
    change(settings)
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")  # noqa: ASYNC240
    stack.front.reloader.ask()
    await eventually(lambda: [line["event"] for line in stack.log()].count("config_reloaded") == number)


async def test_a_members_question_is_answered_by_a_model_of_this_machine_and_nothing_is_left_behind(start, tiny_model: Path) -> None:
    async with start(llm_providers=[local(tiny_model)], routing_rules=rules()) as stack:
        body = (await stack.route("Hello?")).json()
        assert (body["status"], body["provider"], body["model"]) == ("success", "local", "tiny")
        assert body["usage"]["completion_tokens"] == 6
        assert (await stack.events("Hello?"))[-1]["type"] == "end"
        assert len(children()) == 1
        ready = [line for line in stack.log() if line["event"] == "model_process_ready"]
        assert ready[0]["provider"] == "local"
    assert not children()


async def test_a_reload_ends_the_process_that_was_replaced_and_keeps_the_one_that_was_not(start, tiny_model: Path) -> None:
    async with start(llm_providers=[local(tiny_model)], routing_rules=rules()) as stack:
        await stack.route("Hello?")
        first = children()[0].pid
        await reloaded(stack, 1, lambda settings: settings["routing_rules"][0].update(name="renamed"))
        assert (await stack.route("Hello?")).json()["rule"] == "renamed"
        assert [one.pid for one in children()] == [first]
        await reloaded(stack, 2, lambda settings: settings["llm_providers"][0]["config"].update(model="another"))
        assert (await stack.route("Hello?")).json()["model"] == "another"
        await eventually(lambda: first not in [one.pid for one in children()])
        assert len(children()) == 1


async def test_a_question_that_comes_to_a_replaced_model_late_is_answered_by_it(start, tiny_model: Path) -> None:
    async with start(llm_providers=[local(tiny_model)], routing_rules=rules()) as stack:
        await stack.route("Hello?")
        values = {"base_url": stack.upstream.v1, "model": "scripted", "timeout_ms": 20_000, "retry": {"attempts": 1}}
        first = {"name": "first", "type": "openai_compatible", "config": values}
        chain = [{"name": "chat", "use_provider": "first", "fallback_provider": ["local"], "context": False}]
        await reloaded(stack, 1, lambda settings: settings.update(llm_providers=[first, local(tiny_model)], routing_rules=chain))
        before = children()[0].pid
        stack.upstream.script(Answer(status=500, latency_s=1.5))
        asked = asyncio.ensure_future(stack.route("Hello?"))
        await eventually(lambda: stack.upstream.active == 1)
        await reloaded(stack, 2, lambda settings: settings["llm_providers"][1]["config"].update(model="another"))
        answer = await asked
        assert (answer.status_code, answer.json().get("model")) == (200, "tiny"), answer.text
        await eventually(lambda: before not in [one.pid for one in children()])


async def test_where_the_file_is_missing_the_next_of_the_chain_answers(start, tmp_path: Path) -> None:
    async with start(llm_providers=[local(tmp_path / "none.gguf")], routing_rules=rules("dao_facts")) as stack:
        body = (await stack.route("Which projects are there?")).json()
        assert (body["provider"], [one["outcome"] for one in body["attempts"]]) == ("dao_facts", ["NOT_CONFIGURED", "ok"])
        assert "none.gguf" not in str(body)


@pytest.mark.parametrize("kind", ["llama", "any_llm"])
async def test_where_the_extra_is_missing_the_provider_is_not_configured_and_says_what_to_install(
    start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # A name that is installed nowhere stands for the package that is not.
    monkeypatch.setattr({"llama": llama, "any_llm": any_llm}[kind], "PACKAGE", "not_installed_anywhere")
    config = {"model_path": "x.gguf"} if kind == "llama" else {"vendor": "anthropic", "model": "m"}
    one = {"name": "local", "type": kind, "config": config}
    async with start(llm_providers=[one], routing_rules=rules("dao_facts")) as stack:
        states = {one["name"]: one for one in (await stack.http.get("/providers")).json()["providers"]}
        assert states["local"]["state"] == "not_configured"
        assert states["local"]["detail"].endswith(f"is not installed: pip install 'dagi-stack[{kind}]'")
        assert (await stack.route("Which projects are there?")).json()["provider"] == "dao_facts"
        told = [report.finding.what async for report in diagnose(stack.installation) if report.about == "provider local"]
        assert told == [states["local"]["detail"]]


def test_both_names_of_a_setting_are_allowed_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yml"
    providers = [
        {"name": "a", "type": "ollama", "config": {"model": "m", "num_ctx": 2048}},
        {"name": "b", "type": "ollama", "config": {"model": "m", "context_tokens": 2048}},
        {"name": "c", "type": "llama", "config": {"model_path": "m.gguf", "num_ctx": 2048}},
    ]
    file.write_text(yaml.safe_dump({"llm_providers": providers}), encoding="utf-8")
    read = {one.name: one.settings for one in read_providers(load("dev", file, cwd=tmp_path, environ={}))}
    assert (read["a"].num_ctx, read["b"].num_ctx, read["c"].context_tokens) == (2048, 2048, 2048)


async def test_many_questions_at_once_are_answered_by_one_process(start, tiny_model: Path) -> None:
    async with start(llm_providers=[local(tiny_model, slots=2, max_concurrent=8)], routing_rules=rules()) as stack:
        answers = await asyncio.gather(*(stack.route(f"Hello {number}?") for number in range(8)))
        assert {answer.json()["status"] for answer in answers} == {"success"}
        assert len(children()) == 1
