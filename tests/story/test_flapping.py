"""A model server that comes and goes: every caller gets an answer, and the operator is told of each change once."""

import asyncio
from collections import Counter

import pytest

from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
ROUNDS = 6


async def test_a_provider_that_comes_and_goes_leaves_nobody_without_an_answer(start) -> None:
    def change(settings: dict[str, object]) -> None:
        settings["llm_providers"][0]["config"]["breaker"] = {"open_s": 0.1}
        settings["routing_rules"][-1]["fallback_provider"] = ["dao_facts"]

    async with start(change) as stack:
        port = stack.upstream.port
        answering: Counter[str] = Counter()

        async def ask() -> str:
            answer = await stack.route("What is this DAO?")
            assert answer.status_code == 200, answer.text
            answering[answer.json()["provider"]] += 1
            return answer.json()["provider"]

        async def state() -> str:
            providers = (await stack.http.get("/providers")).json()["providers"]
            return next(one["state"] for one in providers if one["name"] == "model")

        for _ in range(ROUNDS):
            await stack.upstream.stop()
            assert set(await asyncio.gather(*(ask() for _ in range(8)))) == {"dao_facts"}
            assert await state() in {"open", "half_open"}
            await stack.upstream.start(port)
            async with asyncio.timeout(10):
                while await ask() != "model":
                    await asyncio.sleep(0.01)
            assert await state() == "closed"
            assert set(await asyncio.gather(*(ask() for _ in range(8)))) == {"model"}
        events = Counter(line["event"] for line in stack.log())
        assert answering.total() == events["exchange"]
        assert 1 <= events["breaker_closed"] <= ROUNDS
        # Each return may be tried a few times too early; nobody is told of those who were refused meanwhile.
        assert events.keys() <= {"exchange", "breaker_opened", "breaker_closed", "config_reloaded"}


async def test_a_provider_that_fails_every_other_time_is_tried_again_and_stays_in_use(stack) -> None:
    from dagi.testing.upstream import Answer

    for _ in range(20):
        stack.upstream.script(Answer(status=500), Answer(text="it worked"))
        assert (await stack.route(metadata={"plain": True})).json()["response"] == "it worked"
    await eventually(lambda: len([line for line in stack.log() if line["event"] == "exchange"]) == 20)
    assert "breaker_opened" not in {line["event"] for line in stack.log()}
