"""The devtools service over real HTTP and a real database: who may come in, what is answered, what is on record."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import httpx
import pytest
from tests.conftest import DAO, Founded
from tests.scripted_kit import MISSING, ScriptedKit

from dagi.access.signed import Signer
from dagi.assemble.devtools import Devtools, opened_devtools, serving_devtools
from dagi.assemble.installation import Choice, Installation
from dagi.assemble.signing import grant_signer
from dagi.assemble.tools import Parts
from dagi.errors import SandboxUnavailable
from dagi.message import Grant
from dagi.ports.audit import AuditQuery, AuditRecord
from dagi.services.devtools import progress
from dagi.stores.audit import SqlAudit
from dagi.stores.keys import Keys
from dagi.targets.devtools.sandbox.job import DEAF, Ears, Finished, Job
from dagi.testing.clock import FakeClock
from dagi.testing.waiting import eventually
from dagi.testing.workspaces import FakeRoom

pytestmark = pytest.mark.anyio


class NoSandbox:
    """A machine that has none."""

    async def check(self) -> None:
        raise SandboxUnavailable("Code cannot be run here: it is a test.")

    def run(self, job: Job, ears: Ears = DEAF) -> AbstractAsyncContextManager[Finished]:
        del job, ears
        raise SandboxUnavailable("Code cannot be run here: it is a test.")


class Service:
    """The service that runs, and what stands behind it."""

    def __init__(self, installation: Installation, devtools: Devtools, http: httpx.AsyncClient, kit: ScriptedKit) -> None:
        self.installation, self.devtools, self.http, self.kit = installation, devtools, http, kit

    async def key(self, role: str, **options: object) -> dict[str, str]:
        """The header of a new key."""
        database = self.installation.database()
        made = await Keys(database, FakeClock()).create(DAO, role, **options)  # pyright: ignore[reportArgumentType]
        await database.close()
        await self.devtools.directory.refresh()
        return {"authorization": f"Bearer {made.key}"}

    async def audit(self, action: str) -> list[AuditRecord]:
        """The records of an action, oldest first."""
        database = self.installation.database()
        audit = SqlAudit(database)
        found = list(reversed(await audit.list(AuditQuery(dao_id=DAO, action=action))))
        assert (await audit.verify()).findings == ()
        await database.close()
        return found


@pytest.fixture
async def service(tmp_path, founded: Founded) -> AsyncGenerator[Service]:
    file = tmp_path / "dagi.yml"
    file.write_text(json.dumps({"version": "0.3.0", "environment": "development", "data_dir": str(tmp_path / "data")}), encoding="utf-8")
    founded.copy("demo", tmp_path / "data")
    installation = Installation.of(Choice(config=str(file)))
    kit = ScriptedKit()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    parts = Parts(kits=[kit], sandbox=NoSandbox(), room=FakeRoom())
    async with (
        opened_devtools(installation, url, parts) as devtools,
        serving_devtools(devtools, installation, listener),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        yield Service(installation, devtools, http, kit)


def signed(signer: Signer, *, audience: str = "devtools") -> dict[str, str]:
    grant = Grant(dao_id=DAO, user_id="tg:1", roles=("x",), entitlements=frozenset({"devtools.read", "devtools.write"}), decision_id="d7")
    return {"authorization": f"Bearer {signer.sign(grant, audience, datetime.now(UTC), 'k9')}"}  # pyright: ignore[reportArgumentType]


async def test_a_key_is_answered_by_its_own_right_in_its_own_dao(service: Service) -> None:
    contributor, member = await service.key("contributor"), await service.key("member")
    answer = await service.http.post("/fs/read", json={"path": "a", "lines": 2}, headers=contributor)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "status": "success",
        "request_id": answer.headers["x-request-id"],
        "tool": "fs_read",
        "result": {"path": "a", "text": f"2 lines of a in {DAO}/main"},
    }
    for headers, body, status, code in (
        (contributor, {"path": "a", "dao_id": "bees"}, 403, "RBAC_PERMISSION_DENIED"),
        (member, {"path": "a"}, 403, "RBAC_PERMISSION_DENIED"),
        ({"authorization": "Bearer nonsense"}, {"path": "a"}, 401, "UNAUTHENTICATED"),
        (contributor, {"path": MISSING}, 404, "NOT_FOUND"),
        (contributor, {"path": 1}, 400, "VALIDATION_ERROR"),
        (contributor, {"path": "a", "dao_id": 1}, 400, "VALIDATION_ERROR"),
        (contributor, [], 400, "VALIDATION_ERROR"),
    ):
        refused = await service.http.post("/fs/read", json=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert [call.grant.user_id.startswith("key:") for call in service.kit.calls] == [True, True]


async def test_a_keyless_program_of_development_is_answered_and_a_web_page_is_not(service: Service) -> None:
    assert (await service.http.post("/fs/read", json={"path": "a", "dao_id": DAO})).status_code == 200
    page = await service.http.post("/fs/read", json={"path": "a"}, headers={"origin": "http://evil.example"})
    assert page.status_code == 401


async def test_a_key_that_speaks_for_others_lends_no_more_than_both_may(service: Service) -> None:
    speaker = await service.key("contributor", act_as=True)
    for account, status in (("tg:contributor001", 200), ("tg:12345", 403), ("tg:stranger", 403)):
        answer = await service.http.post(f"/fs/read?as={account}", json={"path": "a"}, headers=speaker)
        assert answer.status_code == status, answer.text
    assert [call.grant.user_id for call in service.kit.calls] == ["tg:contributor001"]


async def test_a_signed_grant_is_enough_and_is_checked_with_the_public_key_alone(service: Service) -> None:
    early = await service.http.post("/fs/write", json={"path": "a", "content": "b"}, headers=signed(Signer(bytes(32))))
    assert (early.status_code, "public key" in early.json()["message"]) == (401, True)
    ours = grant_signer(service.installation)
    (service.installation.data_dir / "keys" / "grant.key").unlink()
    for headers, body, status in (
        (signed(ours), {}, 200),
        (signed(ours), {"dao_id": DAO}, 200),
        (signed(ours), {"dao_id": "bees"}, 403),
        (signed(ours, audience="orchestrator"), {}, 401),
        (signed(Signer(bytes(32))), {}, 401),
    ):
        answer = await service.http.post("/fs/write", json={"path": "a", "content": "b", **body}, headers=headers)
        assert answer.status_code == status, answer.text
    assert (await service.http.post("/ci/run-tests", json={}, headers=signed(ours))).json()["code"] == "RBAC_PERMISSION_DENIED"
    assert (await service.http.post("/fs/read?as=tg:2", json={"path": "a"}, headers=signed(ours))).status_code == 403
    record = (await service.audit("devtools.fs_write"))[0]
    assert (record.actor, record.key_id, record.subject, record.decision_id, record.outcome) == ("tg:1", "k9", "main", "d7", "done")


async def test_what_writes_is_on_record_before_it_is_answered_and_shows_nothing_of_what_was_written(service: Service) -> None:
    headers = await service.key("contributor")
    answer = await service.http.post("/fs/write", json={"path": "a", "content": "s3cret"}, headers=headers)
    (record,) = await service.audit("devtools.fs_write")
    details = record.details or {}
    assert (details["request_id"], details["outcome"], record.subject) == (answer.headers["x-request-id"], "ok", "main")
    assert "s3cret" not in json.dumps(details)
    await service.http.post("/ci/run-tests", json={}, headers=await service.key("member"))
    (denial,) = await _until(service, "devtools.run")
    assert (denial.outcome, await service.audit("devtools.run_tests")) == ("denied", [])


async def _until(service: Service, action: str) -> list[AuditRecord]:
    async with asyncio.timeout(5):
        while not (found := await service.audit(action)):
            await asyncio.sleep(0.01)
    return found


async def test_a_stream_tells_what_happens_and_ends_with_the_answer_or_an_error(service: Service) -> None:
    headers = {**await service.key("contributor"), "accept": "text/event-stream"}
    answer = await service.http.post("/ci/run-tests", json={"paths": ["a", "b"]}, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(frame.removeprefix("data: ")) for frame in answer.text.split("\n\n") if frame]
    assert [(event["type"], event.get("kind")) for event in events] == [("progress", "test"), ("progress", "test"), ("end", None)]
    assert events[-1]["result"] == {"outcome": "passed", "tests": ["a", "b"]}
    refused = await service.http.post("/fs/read", json={"path": MISSING, "stream": True}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (404, "NOT_FOUND")


async def test_a_tool_that_tells_nothing_is_seen_to_be_at_work(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENCE_S", 0.02)
    headers = {**await service.key("contributor"), "accept": "text/event-stream"}
    service.kit.go_on.clear()
    async with service.http.stream("POST", "/ci/run-tests", json={}, headers=headers) as answer:
        lines = answer.aiter_lines()
        assert [line async for line in _first(lines, 3)] == [": still at work", "", ": still at work"]
        service.kit.go_on.set()
        assert [line async for line in lines if '"type":"end"' in line]


async def _first(lines: AsyncIterator[str], count: int) -> AsyncGenerator[str]:
    for _ in range(count):
        yield await anext(lines)


async def test_a_caller_who_hangs_up_ends_the_run_and_leaves_a_record_of_it(service: Service) -> None:
    headers = await service.key("contributor")
    service.kit.go_on.clear()
    calling = asyncio.create_task(service.http.post("/ci/run-tests", json={}, headers=headers))
    await eventually(lambda: service.kit.running == 1)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await eventually(lambda: service.kit.ended == 1)
    (record,) = await _until(service, "devtools.run_tests")
    assert (record.details or {})["outcome"] == "cancelled"


async def test_workspaces_are_made_by_those_who_configure_and_seen_by_those_who_read(service: Service) -> None:
    admin, contributor = await service.key("admin"), await service.key("contributor")
    http = service.http
    refused = await http.post("/workspaces", json={"name": "site"}, headers=contributor)
    assert (refused.status_code, refused.json()["required_entitlement"]) == (403, "config.update")
    made = await http.post("/workspaces", json={"name": "site", "template": "python"}, headers=admin)
    assert (made.status_code, made.json()["workspace"]["origin"]) == (200, "python"), made.text
    assert (await http.post("/workspaces", json={"name": "site"}, headers=admin)).status_code == 409
    named = await http.put("/workspaces/site/commands/lint", json={"argv": ["make", "lint"]}, headers=admin)
    assert named.json()["workspace"]["commands"] == {"lint": ["make", "lint"]}
    listed = (await http.get("/workspaces", headers=contributor)).json()
    assert ([one["name"] for one in listed["workspaces"]], listed["templates"]) == (["site"], ["python"])
    assert (await http.delete("/workspaces/site", headers=contributor)).status_code == 403
    assert (await http.delete("/workspaces/site", headers=admin)).status_code == 200
    assert (await http.get("/workspaces/site", headers=contributor)).status_code == 404
    outcomes = [(record.subject, (record.details or {})["outcome"]) for record in await service.audit("workspace.created")]
    assert outcomes == [("site", "ok"), ("site", "CONFLICT")]
    assert len(await service.audit("workspace.deleted")) == len(await service.audit("workspace.command_set")) == 1


async def test_the_service_is_ready_without_a_sandbox_and_says_that_there_is_none(service: Service) -> None:
    ready = await service.http.get("/ready", headers=await service.key("admin"))
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    (sandbox,) = [one for one in ready.json()["dependencies"] if one["name"] == "sandbox"]
    assert (sandbox["state"], sandbox["needed"], "it is a test" in sandbox["detail"]) == ("down", False, True)
    assert (await service.http.get("/health")).json() == {"status": "ok"}


async def test_tools_tell_their_forms_and_the_description_holds_them(service: Service) -> None:
    headers = await service.key("guest")
    tools = {tool["name"]: tool for tool in (await service.http.get("/tools", headers=headers)).json()["tools"]}
    assert tools["run_tests"]["runs"] is True
    document = (await service.http.get("/openapi.json", headers=headers)).json()
    body = document["components"]["schemas"]["fs_read.body"]
    assert body["properties"]["lines"]["maximum"] == 1000
    assert {"path", "lines", "workspace", "dao_id", "stream"} == set(body["properties"])
    references = json.dumps(document)
    assert "#/$defs/" not in references
    for name in {part.split('"')[0] for part in references.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]


async def test_metrics_count_calls_by_how_they_ended(service: Service) -> None:
    admin = await service.key("admin")
    for path in ("a", "b", MISSING):
        await service.http.post("/fs/read", json={"path": path}, headers=admin)
    text = (await service.http.get("/metrics", headers=admin)).text
    assert 'dagi_tool_calls_total{action="devtools.fs_read",outcome="ok"} 2.0' in text
    assert 'dagi_tool_calls_total{action="devtools.fs_read",outcome="NOT_FOUND"} 1.0' in text
    assert "dagi_sandbox_runs_waiting 0.0" in text


async def test_a_body_may_be_as_large_as_a_file_and_no_larger(service: Service) -> None:
    headers = await service.key("contributor")
    content = "x" * (8 << 20)
    large = await service.http.post("/fs/write", json={"path": "a", "content": content}, headers=headers)
    assert (large.status_code, len(large.json()["result"]["text"])) == (200, len(content))
    larger = await service.http.post("/fs/write", content=b'{"path": "' + b"a" * (13 << 20) + b'"}', headers=headers)
    assert (larger.status_code, "devtools.max_body_mb" in larger.json()["message"]) == (413, True)
