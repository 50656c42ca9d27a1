"""A contributor's afternoon: a workspace, a change, its tests, a commit; through the router, with the real tools behind it."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from tests.conftest import DAO, Stack, StackFactory

pytestmark = pytest.mark.anyio
CONTRIBUTOR = "tg:contributor001"
RULES = [{"name": "devtools", "priority": 10, "conditions": {"mode": "devtools"}, "use_provider": "dao_devtools", "context": False}]
FAILING = "def test_that_fails():\n    assert 1 + 1 == 3\n"


async def order(stack: Stack, tool: str, user: str = CONTRIBUTOR, **params: object) -> Mapping[str, Any]:
    answer = await stack.route("", user=user, mode="devtools", metadata={"tool": tool, "params": params})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["tool"] == tool
    return answer.json()["data"]["result"]


async def test_a_change_is_written_tested_repaired_and_committed(start: StackFactory) -> None:
    async with start(devtools={"enabled": True}, routing_rules=RULES) as stack:
        async with httpx.AsyncClient(base_url=stack.devtools_url, timeout=30) as devtools:
            made = await devtools.post("/workspaces", json={"name": "main", "template": "python", "dao_id": DAO})
            assert made.status_code == 200, made.text
        written = await order(stack, "fs_write", path="tests/test_more.py", content=FAILING)
        body = {"mode": "devtools", "stream": True, "prompt": ""}
        metadata = {"dao_id": DAO, "user_id": CONTRIBUTOR, "tool": "run_tests", "params": {}}
        stream = (await stack.http.post("/route", json={**body, "metadata": metadata})).text
        assert '"type":"progress"' in stream
        assert stream.index("test_that_fails") < stream.index('"type":"data"')
        assert (await order(stack, "run_tests"))["outcome"] == "failed"
        edits = [{"old": "== 3", "new": "== 2"}]
        repaired = await order(stack, "fs_write", path="tests/test_more.py", edits=edits, if_match=written["etag"])
        assert repaired["etag"] != written["etag"]
        assert (await order(stack, "run_tests"))["outcome"] == "passed"
        commit = await order(stack, "git_commit", message="One more test")
        log = await order(stack, "git_log")
        assert [one["id"] for one in log["commits"]] == [commit["commit"]]
        stale = await stack.route(
            "", user=CONTRIBUTOR, mode="devtools",
            metadata={"tool": "fs_write", "params": {"path": "tests/test_more.py", "content": "", "if_match": written["etag"]}},
        )  # fmt: skip
        assert (stale.status_code, stale.json()["code"]) == (412, "PRECONDITION_FAILED")
        outside = await stack.route(
            "", user=CONTRIBUTOR, mode="devtools", metadata={"tool": "fs_read", "params": {"path": "../../about.json"}}
        )
        assert (outside.status_code, outside.json()["code"]) == (400, "VALIDATION_ERROR")
        assert str(stack.installation.data_dir) not in stale.text + outside.text + stream
    query = "SELECT action FROM audit WHERE action LIKE 'devtools.%' OR action LIKE 'workspace.%' ORDER BY seq"
    actions = [action for (action,) in stack.rows(query)]
    assert actions[:4] == ["workspace.created", "devtools.fs_write", "devtools.run_tests", "devtools.run_tests"]
    assert actions.count("devtools.fs_write") == 3
