"""A tool is ordered through the router: by right, with progress, with the tool's own errors, and on record."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest
from tests.conftest import DAO, Stack, StackFactory
from tests.scripted_kit import MISSING, ScriptedKit

from dagi.assemble.devtools import opened_devtools, serving_devtools
from dagi.assemble.tools import Parts
from dagi.observe.clock import SystemClock
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.testing.waiting import eventually
from dagi.testing.workspaces import FakeRoom

pytestmark = [pytest.mark.anyio, pytest.mark.inside]
CONTRIBUTOR = "tg:contributor001"
RULES = [
    {
        "name": "devtools",
        "priority": 10,
        "conditions": {"mode": "devtools"},
        "use_provider": "dao_devtools",
        "fallback_provider": "dao_facts",
    },
    {"name": "chat", "priority": 20, "conditions": {"mode": "chat"}, "use_provider": "dao_facts"},
]


class House:
    """A stack whose developer tools run elsewhere, and the tools."""

    def __init__(self, stack: Stack, kit: ScriptedKit) -> None:
        self.stack, self.kit = stack, kit

    async def order(self, tool: str, user: str = CONTRIBUTOR, **params: object):
        """POST /route in the mode devtools."""
        return await self.stack.route("", user=user, mode="devtools", metadata={"tool": tool, "params": params})


@pytest.fixture
async def house(start: StackFactory) -> AsyncGenerator[House]:
    async with AsyncExitStack() as entered:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        stack = await entered.enter_async_context(start(devtools={"url": url}, routing_rules=RULES))
        kit = ScriptedKit()
        parts = Parts(kits=[kit], sandbox=Bubblewrap(Setting(), SystemClock()), room=FakeRoom())
        devtools = await entered.enter_async_context(opened_devtools(stack.installation, url, parts))
        await entered.enter_async_context(serving_devtools(devtools, stack.installation, listener))
        yield House(stack, kit)


async def test_an_order_is_done_and_its_result_is_the_answers_data(house: House) -> None:
    answer = (await house.order("fs_read", path="README.md", lines=3)).json()
    assert (answer["mode"], answer["provider"], answer["rule"]) == ("devtools", "dao_devtools", "devtools")
    assert answer["data"] == {"tool": "fs_read", "result": {"path": "README.md", "text": f"3 lines of README.md in {DAO}/main"}}
    assert answer["response"] == "fs_read: path README.md."
    assert answer["usage"]["total_tokens"] == 0
    call = house.kit.calls[0]
    assert (call.id, call.grant.user_id, call.grant.dao_id) == (answer["request_id"], CONTRIBUTOR, DAO)


async def test_whoever_lacks_the_tools_right_reaches_no_tool(house: House) -> None:
    for user in ("tg:12345", "tg:guest123", "tg:stranger"):
        refused = await house.order("fs_read", user, path="a")
        assert (refused.status_code, refused.json()["code"]) == (403, "RBAC_PERMISSION_DENIED")
    assert house.kit.calls == []


async def test_a_rule_that_asks_for_less_opens_no_tool_and_the_denial_is_recorded_once(start: StackFactory) -> None:
    async with AsyncExitStack() as entered:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        lax = [{**RULES[0], "requires": "chat.use"}, RULES[1]]
        stack = await entered.enter_async_context(start(devtools={"url": url}, routing_rules=lax))
        house = House(stack, ScriptedKit())
        parts = Parts(kits=[house.kit], sandbox=Bubblewrap(Setting(), SystemClock()), room=FakeRoom())
        devtools = await entered.enter_async_context(opened_devtools(stack.installation, url, parts))
        await entered.enter_async_context(serving_devtools(devtools, stack.installation, listener))
        refused = await house.order("run_tests", "tg:12345")
        assert (refused.status_code, refused.json()["required_entitlement"]) == (403, "devtools.run")
        query = "SELECT action FROM audit WHERE outcome = 'denied'"
        async with asyncio.timeout(5):
            while not stack.rows(query):
                await asyncio.sleep(0.01)
    assert stack.rows(query) == [("devtools.run",)]
    assert house.kit.calls == []


async def test_progress_is_seen_while_it_happens(house: House) -> None:
    house.kit.go_on.clear()
    body = {
        "mode": "devtools",
        "stream": True,
        "metadata": {"dao_id": DAO, "user_id": CONTRIBUTOR, "tool": "run_tests", "params": {"paths": ["a"]}},
    }
    async with house.stack.http.stream("POST", "/route", json=body) as answer:
        pieces = answer.aiter_text()
        assert '"kind":"test","id":"a","type":"progress"' in await anext(pieces)
        house.kit.go_on.set()
        rest = "".join([piece async for piece in pieces])
    assert '"data":{"tool":"run_tests","result":{"outcome":"passed","tests":["a"]}}' in rest
    assert rest.count('"type":"end"') == 1


async def test_errors_of_a_tool_are_the_callers_own(house: House) -> None:
    for params, status, code in (({"path": MISSING}, 404, "NOT_FOUND"), ({"pth": "a"}, 400, "VALIDATION_ERROR")):
        for _ in range(6):
            refused = await house.order("fs_read", **params)
            assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    unknown = await house.order("fs_format")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "UNKNOWN_TOOL")
    # Nothing was tried again, nobody else was asked, and no breaker is open.
    assert len(house.kit.calls) == 6
    assert (await house.order("fs_read", path="a")).json()["attempts"] == [
        {"provider": "dao_devtools", "outcome": "ok", "ms": pytest.approx(0, abs=60_000)}
    ]


async def test_a_caller_who_leaves_the_router_ends_the_run(house: House) -> None:
    house.kit.go_on.clear()
    asking = asyncio.create_task(house.order("run_tests"))
    await eventually(lambda: house.kit.running == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await eventually(lambda: house.kit.ended == 1)


async def test_explain_tells_the_tools_target_and_its_right(house: House) -> None:
    metadata = {"dao_id": DAO, "user_id": CONTRIBUTOR, "tool": "git_commit"}
    told = (await house.stack.http.post("/route/explain", json={"mode": "devtools", "metadata": metadata})).json()
    assert (told["rule"], told["requires"], told["targets"][0], told["allowed"]) == ("devtools", "git.commit", "dao_devtools", True)


async def test_the_router_says_that_its_tools_are_gone_and_where_there_are_none(start: StackFactory) -> None:
    async with start(devtools={"url": "http://127.0.0.1:9"}, routing_rules=RULES[:1] + RULES[1:]) as stack:
        house = House(stack, ScriptedKit())
        ready = (await stack.http.get("/ready")).json()
        assert [one["state"] for one in ready["dependencies"] if one["name"] == "devtools"] == ["down"]
        refused = await house.order("fs_read", path="a")
        assert "127.0.0.1" not in refused.text
    async with start(routing_rules=[{key: one for key, one in RULES[0].items() if key != "fallback_provider"}]) as stack:
        refused = await House(stack, ScriptedKit()).order("fs_read", path="a")
        assert (refused.status_code, refused.json()["code"]) == (503, "NOT_CONFIGURED")
