"""What every implementation of the port Tools holds to: the tools of this process, and those of another one behind HTTP."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest
from tests.scripted_kit import MISSING, ScriptedKit

from dagi.access.signed import Signer, Verifier
from dagi.assemble.server import Server
from dagi.errors import DagiError, Denied, Internal, Invalid, Missing, ProviderUnavailable, QueueFull, UnknownTool
from dagi.message import Grant
from dagi.observe.clock import SystemClock
from dagi.observe.observer import SilentObserver
from dagi.outbound import Client
from dagi.ports.audit import Denial
from dagi.ports.devtools import Order, Tools
from dagi.remote.devtools import RemoteTools
from dagi.services.callers import Callers
from dagi.services.devtools.entrance import Entrance
from dagi.services.devtools.face import DevtoolsFace
from dagi.services.devtools.workspaces import WorkspacesFace
from dagi.services.http1.service import Bounds, Service
from dagi.services.operations import Operations
from dagi.services.rbac.door import Door
from dagi.targets.devtools.toolbox import Records, Toolbox
from dagi.targets.devtools.turns import Room, Turns
from dagi.testing.calls import FakeCalls
from dagi.testing.members import FakeMembers
from dagi.testing.waiting import eventually
from dagi.testing.workspaces import FakeRoom

pytestmark = pytest.mark.anyio
EVERYTHING = frozenset({"devtools.read", "devtools.write", "devtools.run"})
GRANT = Grant(dao_id="green", user_id="tg:1", roles=("contributor",), entitlements=EVERYTHING, reason="role_grants", decision_id="d")


class Denials:
    """Those that were told."""

    def __init__(self) -> None:
        self.told: list[Denial] = []

    def denied(self, denial: Denial) -> None:
        self.told.append(denial)


class Subject:
    """The port, and the world behind it."""

    def __init__(self) -> None:
        self.kit, self.calls, self.denials, self.clock = ScriptedKit(), FakeCalls(), Denials(), SystemClock()
        self.turns = Turns(Room(active=2, waiting=3), self.clock)
        self.toolbox = Toolbox([self.kit], self.turns, Records(self.calls, self.denials), self.clock)
        self.port: Tools = self.toolbox
        self.heard: list[Mapping[str, object]] = []

    async def call(self, tool: str, grant: Grant = GRANT, **params: object) -> Mapping[str, object]:
        return await self.port.call(Order(id="r1", tool=tool, params=params, grant=grant, key_id="k1"), self.heard.append)

    async def refused(self, tool: str, grant: Grant = GRANT, **params: object) -> DagiError:
        with pytest.raises(DagiError) as caught:
            await self.call(tool, grant, **params)
        return caught.value


@asynccontextmanager
async def served(subject: Subject) -> AsyncGenerator[str]:
    """The service in front of the subject's toolbox; gives its address."""
    signer = Signer(bytes(32))
    callers = Callers(FakeMembers(), FakeMembers(), subject.clock, keyless=False)
    entrance = Entrance(Door(callers, FakeMembers(), subject.clock), lambda: Verifier(signer.public_key, "devtools"), subject.clock)
    face = DevtoolsFace(
        entrance=entrance,
        tools=subject.toolbox,
        workspaces=WorkspacesFace(entrance, FakeRoom(), subject.calls),
        operations=Operations(callers, (), open_details=False),
        metrics=bytes,
        url="http://localhost",
        version="0",
    )
    service = Service(face.table(), Bounds(body_bytes=2**20, body_s=5), SilentObserver())
    listener = socket.create_server(("127.0.0.1", 0))
    started = asyncio.Event()
    server = Server(service, 1.0, 100, started.set)
    running = asyncio.create_task(server.serve([listener]))
    await started.wait()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.stop()
    await running


@pytest.fixture(params=["here", "behind HTTP"])
async def subject(request: pytest.FixtureRequest) -> AsyncGenerator[Subject]:
    subject = Subject()
    async with AsyncExitStack() as stack:
        if request.param != "here":
            url = await stack.enter_async_context(served(subject))
            remote = RemoteTools(url, await stack.enter_async_context(Client()), Signer(bytes(32)), subject.clock)
            await remote.refresh()
            subject.port = remote
        yield subject


async def test_the_tools_are_told_with_their_forms(subject: Subject) -> None:
    infos = {tool.name: tool for tool in subject.port.tools()}
    assert [(name, one.entitlement, one.runs) for name, one in infos.items()] == [
        ("fs_read", "devtools.read", False),
        ("fs_write", "devtools.write", False),
        ("run_tests", "devtools.run", True),
    ]
    assert infos["fs_read"].takes == subject.toolbox.tools()[0].takes


async def test_a_tool_does_what_is_ordered_for_whom_it_is_ordered(subject: Subject) -> None:
    assert await subject.call("fs_read", path="a", lines=3) == {"path": "a", "text": "3 lines of a in green/main"}
    assert (subject.kit.calls[0].id, subject.kit.calls[0].grant) == ("r1", GRANT)


async def test_each_call_is_on_record_with_its_end_and_a_digest_of_what_was_asked(subject: Subject) -> None:
    await subject.call("fs_write", workspace="site", path="a", content="secret")
    await subject.call("fs_write", content="secret", path="a", workspace="site")
    await subject.refused("fs_read", path=MISSING)
    told = [(one.action, one.workspace, one.outcome, one.user_id, one.key_id, one.request_id) for one in subject.calls.calls]
    assert told == [
        ("devtools.fs_write", "site", "ok", "tg:1", "k1", "r1"),
        ("devtools.fs_write", "site", "ok", "tg:1", "k1", "r1"),
        ("devtools.fs_read", "main", "NOT_FOUND", "tg:1", "k1", "r1"),
    ]
    first, second, other = (one.digest for one in subject.calls.calls)
    assert first == second != other
    assert len(first) == 64


async def test_an_unknown_tool_is_answered_with_those_there_are(subject: Subject) -> None:
    for name in ("git_push", "../fs_read", "", "fs_read/", "FS_READ", "ї"):
        error = await subject.refused(name)
        assert isinstance(error, UnknownTool)
        assert (error.facts["tool"], error.facts["allowed"]) == (name, ["fs_read", "fs_write", "run_tests"])


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({}, "params.path", "missing"),
        ({"path": "a", "lins": 3, "more": 1}, "params.lins", '"lins", "more"'),
        ({"path": "a", "dao_id": "bees", "stream": True}, "params.dao_id", "Unknown"),
        ({"path": "a", "lines": "3"}, "params.lines", "expected `int`"),
        ({"path": "a", "lines": 0}, "params.lines", "1"),
        ({"path": "", "workspace": "main"}, "params.path", "length"),
        ({"path": ["a"]}, "params.path", "expected `str`"),
        ({"path": "\ud800"}, "params", "no"),
        ({"path": "a", "x": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}, "params", "deep"),
    ],
)
async def test_a_wrong_parameter_is_named(subject: Subject, params: Mapping[str, object], field: str, says: str) -> None:
    error = await subject.refused("fs_read", **params)
    assert isinstance(error, Invalid)
    assert (error.facts["field"], says in error.message) == (field, True), error.message
    assert subject.kit.calls == []


async def test_a_grant_without_the_tools_right_is_denied_and_the_denial_recorded_once(subject: Subject) -> None:
    reader = Grant(dao_id="green", user_id="tg:2", roles=("reader",), entitlements=frozenset({"devtools.read"}), decision_id="d2")
    error = await subject.refused("fs_write", reader, path="a", content="b")
    assert isinstance(error, Denied)
    assert error.audited
    assert (error.facts["required_entitlement"], error.facts["decision_id"]) == ("devtools.write", "d2")
    assert [(one.user_id, one.entitlement, one.key_id) for one in subject.denials.told] == [("tg:2", "devtools.write", "k1")]
    assert (subject.calls.calls, subject.kit.calls) == ([], [])


async def test_what_a_tool_refuses_comes_back_as_the_same_error(subject: Subject) -> None:
    error = await subject.refused("fs_read", path=MISSING)
    assert (type(error), error.message, error.facts) == (Missing, "There is no such file.", {"path": MISSING})


async def test_what_happens_meanwhile_is_heard_as_it_happens(subject: Subject) -> None:
    subject.kit.go_on.clear()
    running = asyncio.create_task(subject.call("run_tests", paths=["a", "b"]))
    await eventually(lambda: len(subject.heard) == 2)
    assert subject.heard == [{"kind": "test", "id": "a"}, {"kind": "test", "id": "b"}]
    assert not running.done()
    subject.kit.go_on.set()
    assert await running == {"outcome": "passed", "tests": ["a", "b"]}


async def test_a_caller_who_leaves_ends_what_runs_for_it_and_what_waits(subject: Subject) -> None:
    subject.kit.go_on.clear()
    calls = [asyncio.create_task(subject.call("run_tests")) for _ in range(4)]
    await eventually(lambda: subject.kit.running == 2 and subject.turns.waiting == 2)
    await eventually(lambda: [one["ahead"] for one in subject.heard] == [0, 1])
    for call in (calls[0], calls[3]):
        call.cancel()
    await eventually(lambda: subject.turns.waiting == 0 and subject.kit.ended == 1 and subject.kit.running == 2)
    subject.kit.go_on.set()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False, False, True]
    await eventually(lambda: sorted(one.outcome for one in subject.calls.calls) == ["cancelled", "cancelled", "ok", "ok"])
    assert (subject.turns.active, subject.kit.most) == (0, 2)


async def test_who_finds_the_line_full_is_told_when_to_come_again(subject: Subject) -> None:
    subject.kit.go_on.clear()
    calls = [asyncio.create_task(subject.call("run_tests")) for _ in range(5)]
    await eventually(lambda: subject.turns.waiting == 3)
    error = await subject.refused("run_tests")
    assert isinstance(error, QueueFull)
    assert (error.retry_after_s or 0) >= 1
    assert "Try again in" in error.message
    subject.kit.go_on.set()
    await asyncio.gather(*calls)


async def test_a_dao_that_asks_for_much_does_not_keep_another_one_waiting(subject: Subject) -> None:
    subject.kit.go_on.clear()
    other = Grant(dao_id="bees", user_id="tg:9", entitlements=EVERYTHING)
    greedy = [asyncio.create_task(subject.call("run_tests")) for _ in range(5)]
    await eventually(lambda: subject.turns.waiting == 3)
    modest = asyncio.create_task(subject.call("run_tests", other))
    # The line is full: whoever has had most gives up a place.
    await eventually(lambda: any(call.done() for call in greedy))
    for call in greedy[:2]:
        call.cancel()
    await eventually(lambda: len(subject.kit.calls) == 4)
    assert {call.grant.dao_id for call in subject.kit.calls[2:]} == {"green", "bees"}
    subject.kit.go_on.set()
    await modest
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_nothing_that_could_not_be_recorded_begins(subject: Subject) -> None:
    subject.calls.full = True
    error = await subject.refused("fs_write", path="a", content="b")
    assert (error.code, subject.kit.calls) == ("QUEUE_FULL", [])


async def test_a_service_that_is_not_there_is_said_to_be_so_without_its_address() -> None:
    async with Client() as http:
        remote = RemoteTools("http://127.0.0.1:9", http, Signer(bytes(32)), SystemClock())
        with pytest.raises(ProviderUnavailable) as caught:
            await remote.call(Order(id="r", tool="fs_read", params={}, grant=GRANT), lambda _: None)
    assert "127.0.0.1" not in caught.value.message
    assert "127.0.0.1" in caught.value.detail


async def test_a_service_that_trusts_another_signer_is_not_configured_and_a_defect_is_a_defect() -> None:
    subject = Subject()
    async with served(subject) as url, Client() as http:
        stranger = RemoteTools(url, http, Signer(bytes(31) + b"x"), subject.clock)
        order = Order(id="r", tool="fs_read", params={"path": "defect"}, grant=GRANT)
        with pytest.raises(DagiError) as caught:
            await stranger.call(order, lambda _: None)
        assert caught.value.code == "NOT_CONFIGURED"
        with pytest.raises(Internal):
            await RemoteTools(url, http, Signer(bytes(32)), subject.clock).call(order, lambda _: None)


async def test_a_service_that_hangs_is_taken_to_be_gone_before_and_after_it_has_begun_to_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    for said, told in ((b"", "do not answer just now"), (head + b'data: {"type": "progress", "kind": "test"}\n\n', "broke off")):

        async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = said) -> None:
            writer.write(said)
            # Until the caller has gone.
            while await reader.read(65_536):
                pass
            writer.close()

        subject = Subject()
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(await asyncio.start_server(hanging, "127.0.0.1", 0))
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            client = await stack.enter_async_context(Client())
            subject.port = RemoteTools(url, client, Signer(bytes(32)), subject.clock, silence_s=0.2)
            async with asyncio.timeout(5):
                error = await subject.refused("fs_read", path="a")
        assert told in error.message
        assert len(subject.heard) == bool(said)


async def test_a_grant_that_is_sent_on_holds_what_tools_need_and_stays_short_however_much_its_person_may(subject: Subject) -> None:
    workflows = {f"workflow.run:{number:064}" for number in range(1000)}
    admin = msgspec.structs.replace(GRANT, entitlements=frozenset({*EVERYTHING, "config.update", *workflows}))
    await subject.call("fs_read", admin, path="a")
    held = subject.kit.calls[0].grant
    assert held == (admin if subject.port is subject.toolbox else GRANT)
