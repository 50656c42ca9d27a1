"""A new configuration for a running stack: in force in one moment, or not at all, and nobody's question is lost over it."""

import asyncio
from pathlib import Path

import msgspec
import pytest
import yaml

from dagi.assemble.reload import Outcome
from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.inside]


def settings(stack) -> dict[str, object]:
    return yaml.safe_load(file(stack).read_text(encoding="utf-8"))


def file(stack) -> Path:
    return Path(str(stack.installation.choice.config))


def outcomes(stack) -> int:
    path = stack.installation.data_dir / "run" / "reload.json"
    return msgspec.json.decode(path.read_bytes(), type=Outcome).number if path.exists() else 0


async def reloaded(stack, changed: dict[str, object] | str) -> Outcome:
    """Write the configuration, have it put in force, and tell what became of it."""
    text = changed if isinstance(changed, str) else yaml.safe_dump(changed, allow_unicode=True)
    file(stack).write_text(text, encoding="utf-8")
    before = outcomes(stack)
    assert stack.front is not None
    stack.front.reloader.ask()
    await eventually(lambda: outcomes(stack) > before)
    return msgspec.json.decode((stack.installation.data_dir / "run" / "reload.json").read_bytes(), type=Outcome)


def with_rule(stack, name: str) -> dict[str, object]:
    rule = {"name": name, "priority": 0, "conditions": {"mode": "chat"}, "use_provider": "model", "context": False}
    return {**settings(stack), "routing_rules": [rule]}


async def test_new_rules_are_in_force_for_the_next_question(stack) -> None:
    assert (await stack.route()).json()["rule"] == "chat"
    outcome = await reloaded(stack, with_rule(stack, "fresh"))
    assert (outcome.outcome, outcome.restart) == ("reloaded", [])
    assert any(key.startswith("routing_rules[fresh]") for key in outcome.changed)
    assert (await stack.route()).json()["rule"] == "fresh"
    rules = (await stack.http.get("/rules")).json()["rules"]
    assert [rule["name"] for rule in rules] == ["fresh"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("routing_rules: [", "YAML"),
        ("version: '0.3.0'\nroutng_rules: []\n", "routing_rules"),
        ("version: '0.3.0'\nenvironment: development\nrouting_rules: [{name: x, use_provider: nobody}]\n", "nobody"),
        ("version: '0.3.0'\nenvironment: production\ndebug: true\n", "debug"),
    ],
    ids=["no yaml", "unknown key", "unknown provider", "unsafe"],
)
async def test_a_broken_configuration_leaves_the_old_one_in_force_and_says_what_to_write(stack, broken: str, said: str) -> None:
    outcome = await reloaded(stack, broken)
    assert outcome.outcome == "refused"
    assert said in outcome.message
    assert (await stack.route()).json()["rule"] == "chat"
    assert "config_refused" in [line["event"] for line in stack.log()]


async def test_what_needs_a_restart_is_named_and_stays_as_it_was(stack) -> None:
    changed = {**with_rule(stack, "fresh"), "dialogs": {"history_tokens": 7}}
    outcome = await reloaded(stack, changed)
    assert outcome.restart == ["dialogs.history_tokens"]
    assert (await reloaded(stack, changed)).restart == ["dialogs.history_tokens"]
    assert (await stack.route()).json()["rule"] == "fresh"


async def test_a_provider_that_did_not_change_keeps_its_breaker_and_one_that_did_begins_anew(stack) -> None:
    assert stack.front is not None
    for _ in range(3):
        for answer in (Answer(status=500), Answer(status=500), Answer(text="the fallback")):
            stack.upstream.script(answer)
        await stack.route()
    states = {one["name"]: one["state"] for one in (await stack.http.get("/providers")).json()["providers"]}
    assert states["model"] == "open"
    await reloaded(stack, with_rule(stack, "fresh"))
    states = {one["name"]: one["state"] for one in (await stack.http.get("/providers")).json()["providers"]}
    assert states["model"] == "open"
    changed = settings(stack)
    changed["llm_providers"][0]["config"]["model"] = "another"
    await reloaded(stack, changed)
    assert (await stack.route()).json()["model"] == "another"


async def test_an_answer_that_is_under_way_is_finished_by_the_provider_it_began_with(stack) -> None:
    stack.upstream.script(Answer(text="the old provider answers", hang_after=2))
    asked = asyncio.ensure_future(stack.events())
    await eventually(lambda: stack.upstream.active == 1)
    gone = settings(stack)
    gone["llm_providers"] = []
    gone["routing_rules"] = [{"name": "facts", "use_provider": "dao_facts"}]
    assert (await reloaded(stack, gone)).outcome == "reloaded"
    assert (await stack.route()).json()["provider"] == "dao_facts"
    stack.upstream.release()
    events = await asked
    assert "".join(str(event["text"]) for event in events if event["type"] == "delta") == "the old provider answers"
    assert events[-1]["type"] == "end"


async def test_a_storm_of_reloads_drops_no_request(stack) -> None:
    assert stack.front is not None
    stop = False
    statuses: list[int] = []
    rules: set[str] = set()
    refused: list[str] = []

    async def ask() -> None:
        while not stop:
            answer = await stack.route(metadata={"plain": True})
            statuses.append(answer.status_code)
            rules.add(answer.json().get("rule"))
            if answer.status_code != 200:
                refused.append(answer.text)

    callers = [asyncio.ensure_future(ask()) for _ in range(8)]
    for number in range(15):
        good = yaml.safe_dump(with_rule(stack, f"rule{number}"), allow_unicode=True)
        file(stack).write_text(good if number % 3 else "version: [", encoding="utf-8")
        for _ in range(20):
            stack.front.reloader.ask()
        reached = len(statuses) + 20
        await eventually(lambda reached=reached: len(statuses) >= reached)
        file(stack).write_text(good, encoding="utf-8")
    stop = True
    await asyncio.gather(*callers)
    assert refused == []
    assert len(rules) > 3
    events = [line["event"] for line in stack.log()]
    assert "config_reloaded" in events
    assert "internal_error" not in events


async def test_a_changed_file_is_noticed_where_that_is_enabled(start) -> None:
    async with start(server={"reload_on_change": True}) as stack:
        file(stack).write_text(yaml.safe_dump(with_rule(stack, "noticed"), allow_unicode=True), encoding="utf-8")
        await eventually(lambda: outcomes(stack) > 0)
        assert (await stack.route()).json()["rule"] == "noticed"


async def test_kept_answers_outlive_a_reload_and_never_answer_for_a_changed_provider(stack) -> None:
    cached = with_rule(stack, "fresh")
    cached["routing_rules"][0]["cache"] = {"ttl_s": 300}
    await reloaded(stack, cached)
    stack.upstream.script(Answer(text="before"), Answer(text="after"))
    await stack.route("Hello?")
    cached["routing_rules"][0] |= {"name": "renamed", "timeout_ms": 4000}
    await reloaded(stack, cached)
    kept = (await stack.route("Hello?")).json()
    cached["llm_providers"][0]["config"]["temperature"] = 0.3
    await reloaded(stack, cached)
    asked = (await stack.route("Hello?")).json()
    assert [(body["rule"], body["response"], body["cached"]) for body in (kept, asked)] == [
        ("renamed", "before", True),
        ("renamed", "after", False),
    ]


async def test_a_key_that_was_exchanged_in_its_file_is_used_and_told_of_without_being_shown(stack) -> None:
    file_of_key = Path.cwd() / "key.txt"
    file_of_key.write_text("first-secret", encoding="utf-8")
    changed = settings(stack)
    changed["llm_providers"][0]["config"]["api_key_file"] = str(file_of_key)
    await reloaded(stack, changed)
    file_of_key.write_text("second-secret", encoding="utf-8")
    outcome = await reloaded(stack, changed)
    await stack.route(metadata={"plain": True})
    assert (outcome.outcome, outcome.changed) == ("reloaded", ["llm_providers[model], its secret"])
    assert stack.upstream.heard[-1].headers["authorization"] == "Bearer second-secret"
    assert (await reloaded(stack, changed)).outcome == "unchanged"


async def test_a_key_that_comes_with_a_reload_makes_its_provider_available(stack) -> None:
    # In the order of the file: where the key is there, the first rule; else the second.
    rules = [
        {"name": "with_key", "conditions": {"api_key_available": "remote"}, "use_provider": "model", "context": False},
        {"name": "without", "use_provider": "model", "context": False},
    ]
    (Path.cwd() / "key.txt").write_text("", encoding="utf-8")
    remote = {"name": "remote", "type": "deepseek", "config": {"api_key_file": str(Path.cwd() / "key.txt")}}
    changed = {**settings(stack), "routing_rules": rules}
    changed["llm_providers"].append(remote)
    assert (await reloaded(stack, changed)).message == ""
    before = (await stack.route()).json()["rule"]
    (Path.cwd() / "key.txt").write_text("secret", encoding="utf-8")
    await reloaded(stack, changed)
    assert (before, (await stack.route()).json()["rule"]) == ("without", "with_key")
