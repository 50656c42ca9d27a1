"""Limits as callers meet them: refused early, told how long to wait, counted by what was really used."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from dagi.access.limits import Quota
from dagi.stores.dao_limits import DaoLimits
from dagi.stores.keys import Keys
from dagi.testing.clock import FakeClock
from dagi.testing.upstream import Answer

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)]
DAO = "greenfood-dao"
PRICED = {"models": [{"model": "scripted", "input": 1000, "output": 1000}]}
HEADS = [f"x-ratelimit-{what}-{kind}" for kind in ("requests", "tokens") for what in ("limit", "remaining", "reset")]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_the_request_after_the_last_one_allowed_is_refused_and_told_how_long_to_wait(start) -> None:
    async with start(limits={"user": {"rpm": 2}}) as stack:
        answers = [await stack.route("Hello?", metadata={"plain": True}) for _ in range(3)]
        other = await stack.route("Hello?", user="tg:admin001", metadata={"plain": True})
    assert [answer.status_code for answer in (*answers, other)] == [200, 200, 429, 200]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"2"}
    refused = answers[2].json()
    assert {key: refused[key] for key in ("status", "code", "limit", "limit_of", "limit_value")} == {
        "status": "error",
        "code": "RATE_LIMITED",
        "limit": "requests_per_minute",
        "limit_of": "user",
        "limit_value": 2,
    }
    assert 1 <= int(answers[2].headers["retry-after"]) <= 61
    assert len(stack.upstream.heard) == 3


async def test_without_limits_no_head_speaks_of_them(stack) -> None:
    answer = await stack.route("Hello?")
    assert not any(head.startswith("x-ratelimit") for head in answer.headers)


async def test_streams_and_errors_carry_the_heads_too(start) -> None:
    def alone(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [{"name": "only", "use_provider": "model"}]

    async with start(alone, limits={"user": {"rpm": 10, "tokens_per_day": 1000}}) as stack:
        body = {"prompt": "Hello?", "stream": True, "metadata": {"user_id": "tg:12345"}}
        streamed = await stack.http.post("/route", json=body)
        stack.upstream.script(*[Answer(status=500)] * 4)
        failed = [await stack.http.post("/route", json={**body, "stream": stream}) for stream in (True, False)]
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert [answer.status_code for answer in failed] == [502, 502]
    for answer in (streamed, *failed):
        assert all(head in answer.headers for head in HEADS)
    assert streamed.headers["x-ratelimit-reset-requests"] in {"1m0s", "1m1s"}


async def test_when_the_days_tokens_are_used_the_next_request_is_refused(start) -> None:
    async with start(limits={"user": {"tokens_per_day": 5}}) as stack:
        first = await stack.route("Hello?", metadata={"plain": True})
        second = await stack.route("Hello?", metadata={"plain": True})
        other = await stack.route("Hello?", user="tg:admin001", metadata={"plain": True})
    assert first.json()["usage"]["total_tokens"] >= 5
    assert (second.status_code, second.json()["limit"]) == (429, "tokens_per_day")
    assert int(second.headers["retry-after"]) <= 24 * 3600
    assert other.status_code == 200


async def test_money_is_counted_by_the_price_table_and_a_restart_forgives_nothing(start) -> None:
    limits = {"limits": {"dao": {"money_per_month": 0.001}}, "prices": PRICED}
    async with start(**limits) as stack:
        assert (await stack.route("Hello?", metadata={"plain": True})).status_code == 200
    async with start(**limits) as stack:
        refused = await stack.route("Hello?", user="tg:admin001", metadata={"plain": True})
        assert (refused.status_code, refused.json()["code"], refused.headers["x-should-retry"]) == (429, "BUDGET_EXCEEDED", "false")
        assert (refused.json()["limit_of"], refused.json()["limit_value"]) == ("dao", 0.001)
        rows = stack.rows("SELECT of, holder, requests, tokens, micros FROM spend ORDER BY of")
        told = [(of, holder, requests, micros == tokens * 1000) for of, holder, requests, tokens, micros in rows]
        assert told == [("dao", DAO, 1, True), ("user", "tg:12345", 1, True)]


@pytest.mark.inside
async def test_what_a_caller_who_hangs_up_has_used_counts(start) -> None:
    async with start(prices=PRICED) as stack:
        stack.upstream.script(Answer(text="one two", hang_after=1))
        body = {"prompt": "Count to a hundred.", "stream": True, "metadata": {"user_id": "tg:12345", "plain": True}}
        async with stack.http.stream("POST", "/route", json=body) as answer:
            await anext(answer.aiter_bytes())
        await stack.upstream.until(lambda: stack.upstream.disconnects == 1)
        await stack.front.router.ports.dialogs.saved()

        async def counted() -> bool:
            rows = stack.rows("SELECT outcome, charged_tokens > 0, charged_micros > 0 FROM exchange")
            return rows == [("cancelled", 1, 1)]

        await eventually(counted)


UNSAID = (
    {"reasoning_content": "hm " * 400},
    {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "x" * 1200}}]},
    *({"content": "b"} for _ in range(300)),
)


@pytest.mark.inside
@pytest.mark.parametrize("deltas", [UNSAID[:1], UNSAID[:2], UNSAID[2:]], ids=["thoughts", "calls after words", "other choices"])
async def test_what_was_made_of_an_answer_that_breaks_off_counts_though_it_is_no_text(start, deltas: tuple[object, ...]) -> None:
    def frame(delta: object, index: int) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": None}
        chunk = {"id": "u", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    async with start(prices=PRICED) as stack:
        # Nothing tells the counts, and the connection ends too early.
        frames = b"".join(frame(delta, int(delta == UNSAID[-1])) for delta in ({"content": "a"}, *deltas))
        stack.upstream.script(Answer(body=frames, headers={"content-type": "text/event-stream"}))
        body = {"model": "dagi-stack", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "n": 2, "metadata": {"plain": True}}
        with pytest.raises(httpx.RemoteProtocolError):
            await stack.http.post("/v1/chat/completions", json=body)
        await stack.front.router.ports.dialogs.saved()
        [(tokens,)] = stack.rows("SELECT charged_tokens FROM exchange")
        assert tokens >= 300 * (2 if len(deltas) == 2 else 1)


async def test_a_keys_own_limit_counts_beside_that_of_the_user_it_speaks_for(start) -> None:
    async with start(limits={"user": {"rpm": 3}}) as stack:
        bot = await stack.key("member", act_as=True, quota=Quota(rpm=4))

        async def ask(user: str) -> httpx.Response:
            body = {"prompt": "Hello?", "metadata": {"user_id": user, "plain": True}}
            return await stack.http.post("/route", json=body, headers={"authorization": f"Bearer {bot}"})

        mine = [await ask("tg:12345") for _ in range(4)]
        others = [await ask("tg:admin001") for _ in range(2)]
    assert [answer.status_code for answer in mine] == [200, 200, 200, 429]
    assert mine[3].json()["limit_of"] == "user"
    assert [answer.status_code for answer in others] == [200, 429]
    assert others[1].json()["limit_of"] == "key"


async def test_a_key_that_speaks_for_itself_has_the_users_limit_unless_it_has_its_own(start) -> None:
    async with start(limits={"user": {"rpm": 1}}) as stack:
        for quota, expected in ((Quota(), [200, 429, 429]), (Quota(rpm=2), [200, 200, 429])):
            key = await stack.key("member", quota=quota)
            answers = [
                await stack.http.post(
                    "/route", json={"prompt": "Hello?", "metadata": {"plain": True}}, headers={"authorization": f"Bearer {key}"}
                )
                for _ in range(3)
            ]
            assert [answer.status_code for answer in answers] == expected
            assert answers[-1].json()["limit_of"] == "key"


async def test_a_daos_limit_that_is_set_while_the_stack_runs_holds_within_a_second(stack) -> None:
    database = stack.installation.database()
    await DaoLimits(database, FakeClock()).change(DAO, {"rpm": 1})

    async def limited() -> bool:
        return (await stack.route("Hello?", metadata={"plain": True})).status_code == 429

    await eventually(limited)
    await DaoLimits(database, FakeClock()).change(DAO, {"rpm": None})

    async def free() -> bool:
        return not await limited()

    await eventually(free)
    await database.close()


async def test_a_key_that_is_revoked_or_rotated_is_noticed_by_the_running_stack(stack) -> None:
    key = await stack.key("member")
    key_id = key.split("_")[1]
    database = stack.installation.database()

    async def status(with_key: str) -> int:
        body = {"prompt": "Hello?", "metadata": {"plain": True}}
        return (await stack.http.post("/route", json=body, headers={"authorization": f"Bearer {with_key}"})).status_code

    second = (await Keys(database, FakeClock()).rotate(key_id, overlap=timedelta())).key
    assert [await status(key) in {200, 401}, await status(second) in {200, 401}] == [True, True]

    async def rotated() -> bool:
        return (await status(key), await status(second)) == (401, 200)

    await eventually(rotated)
    await Keys(database, FakeClock()).revoke(key_id)

    async def revoked() -> bool:
        return await status(second) == 401

    await eventually(revoked)
    await database.close()


@pytest.mark.inside
async def test_refused_requests_are_recorded_but_use_nothing_and_whoever_may_nothing_learns_no_limit(start) -> None:
    async with start(limits={"user": {"rpm": 1}}) as stack:
        for _ in range(2):
            await stack.route("Hello?", metadata={"plain": True})
        stranger = await stack.route("Hello?", user="tg:999")
        await stack.front.router.ports.dialogs.saved()
        rows = stack.rows("SELECT outcome, charged_on != '' FROM exchange ORDER BY id")
    assert rows == [("ok", 1), ("RATE_LIMITED", 0)]
    assert stranger.status_code == 403
    assert not any(head.startswith("x-ratelimit") for head in stranger.headers)


async def test_an_explanation_tells_the_limits_and_what_is_left_and_counts_nothing(start) -> None:
    async with start(limits={"user": {"rpm": 1}, "dao": {"money_per_month": 2.5}}, prices=PRICED) as stack:
        body = {"prompt": "Hello?", "metadata": {"dao_id": DAO, "user_id": "tg:12345", "plain": True}}
        told = [(await stack.http.post("/route/explain", json=body)).json() for _ in range(2)]
        await stack.route("Hello?", metadata={"plain": True})
        refused = (await stack.http.post("/route/explain", json=body)).json()
        stranger = (await stack.http.post("/route/explain", json={"prompt": "?", "metadata": {"user_id": "tg:999"}})).json()
    assert told[0]["limits"]["usage"] == told[1]["limits"]["usage"]
    assert [(one["of"], one["limit"], one["value"], one["used"], one["remaining"]) for one in told[0]["limits"]["usage"]] == [
        ("user", "requests_per_minute", 1, 0, 1),
        ("dao", "money_per_month", 2.5, 0, 2.5),
    ]
    assert (told[0]["allowed"], refused["allowed"], refused["refusal"]["code"]) == (True, False, "RATE_LIMITED")
    assert stranger["limits"]["usage"] == []


@pytest.mark.inside
async def test_limits_are_shared_through_a_server_and_its_loss_is_told(start, counters) -> None:
    async with start(limits={"url": counters.url, "timeout_ms": 200, "user": {"rpm": 2}}) as stack:
        assert [(await stack.route("Hello?", metadata={"plain": True})).status_code for _ in range(3)] == [200, 200, 429]
        assert {one["name"]: one["state"] for one in (await stack.http.get("/ready")).json()["dependencies"]}["limits"] == "ok"
        await counters.stop()
        assert (await stack.route("Hello?", metadata={"plain": True})).status_code == 200
        ready = await stack.http.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        database = stack.installation.database()
        await DaoLimits(database, FakeClock()).change(DAO, {"money_per_month": 1_000_000})
        await stack.front.directory.refresh()
        await database.close()
        refused = await stack.route("Hello?", user="tg:admin001", metadata={"plain": True})
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "ACCESS_UNAVAILABLE", "1")
    (line,) = [line for line in stack.log() if line["event"] == "limits_server_lost"]
    assert line["level"] == "error"


@pytest.mark.inside
async def test_limits_and_prices_of_a_reloaded_configuration_hold_at_once_and_what_was_counted_stays(start, tmp_path: Path) -> None:
    async with start(limits={"user": {"rpm": 5}}) as stack:
        assert (await stack.route("Hello?", metadata={"plain": True})).headers["x-ratelimit-remaining-requests"] == "4"
        file = tmp_path / "dagi.yml"
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        settings |= {"limits": {"user": {"rpm": 2}, "timeout_ms": 99}, "prices": PRICED}
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        stack.front.reloader.ask()

        async def reloaded() -> bool:
            return any(line["event"] == "config_reloaded" for line in stack.log())

        await eventually(reloaded)
        (line,) = [line for line in stack.log() if line["event"] == "config_reloaded"]
        assert {"limits.user.rpm", "prices.models"} <= set(line["changed"])
        assert [line["keys"] for line in stack.log() if line["event"] == "config_needs_restart"] == [["limits.timeout_ms"]]
        answers = [await stack.route("Hello?", metadata={"plain": True}) for _ in range(2)]
        await stack.front.router.ports.dialogs.saved()
        assert stack.rows("SELECT micros > 0 FROM spend WHERE of = 'dao'") == [(1,)]
    assert [answer.status_code for answer in answers] == [200, 429]


async def test_an_answer_from_the_cache_counts_as_a_request_and_uses_no_tokens(start) -> None:
    def cached(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [{"name": "only", "use_provider": "model", "context": False, "cache": {"ttl_s": 60}}]

    async with start(cached, limits={"user": {"rpm": 10, "tokens_per_day": 1000}}) as stack:
        answers = [await stack.route("Hello?") for _ in range(3)]
    assert [answer.json()["cached"] for answer in answers] == [False, True, True]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["9", "8", "7"]
    left = [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in answers]
    assert left[0] == 1000
    assert left[1] == left[2] < 1000


@pytest.mark.parametrize(
    "claim", [{"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1}]
)
async def test_a_provider_that_counts_wrongly_lets_nobody_go_beyond_the_day(start, claim: dict[str, int]) -> None:
    said = {"model": "scripted", "choices": [{"message": {"content": "word " * 400}, "finish_reason": "stop"}], "usage": claim}
    async with start(limits={"user": {"tokens_per_day": 400}}) as stack:
        stack.upstream.script(Answer(body=json.dumps(said).encode(), headers={"content-type": "application/json"}))
        answers = [await stack.route("Hello?", metadata={"plain": True}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
