"""Test runs in the sandbox: what a project's tests tell, and what hostile ones get."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

import dagi.targets.devtools.inside
from dagi.message import Grant
from dagi.observe.clock import SystemClock
from dagi.targets.devtools.running.forms import RunTests, TestsDone
from dagi.targets.devtools.running.kit import TestRuns
from dagi.targets.devtools.runtime import found_runtime
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.targets.devtools.sandbox.job import Bounds
from dagi.targets.devtools.tool import Call
from dagi.targets.devtools.workspaces.disk import DiskWorkspace
from dagi.targets.devtools.workspaces.store import DiskWorkspaces

pytestmark = pytest.mark.anyio
DAO = "greenfood-dao"
INSIDE = Path(dagi.targets.devtools.inside.__file__ or "").parent
BOUNDS = Bounds(wall_s=20, cpu_s=15, memory=256 << 20, processes=48, output=64 << 10, disk=8 << 20, files=500, file=4 << 20)


class House:
    """A workspace, and its tests run."""

    def __init__(self, workspace: DiskWorkspace, kit: TestRuns) -> None:
        self.workspace = workspace
        self.heard: list[Mapping[str, object]] = []
        self._tool = kit.tools()[0]

    def write(self, **files: str) -> None:
        """Files by their names, `__` for a slash and `.py` at the end where they have no other."""
        for name, content in files.items():
            path = self.workspace.tree / name.replace("__", "/").replace("DOT", ".")
            path = path if "." in path.name else path.with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    async def run(self, **params: object) -> TestsDone:
        grant = Grant(dao_id=DAO, user_id="tg:12345", entitlements=frozenset({"devtools.run"}))
        call = Call(id="r", grant=grant, hear=self.heard.append)
        return await self._tool.work(call, msgspec.convert(params, RunTests))


@pytest.fixture
async def workspaces(tmp_path: Path) -> DiskWorkspaces:
    made = DiskWorkspaces(tmp_path / "workspaces", SystemClock())
    await made.open()
    return made


@pytest.fixture
async def house(workspaces) -> House:
    return await housed(workspaces, BOUNDS)


async def housed(workspaces: DiskWorkspaces, bounds: Bounds, template: str = "empty") -> House:
    runtime = found_runtime(Path(f"{sys.prefix}-sandbox"))
    sandbox = Bubblewrap(Setting(python=runtime.environment, inside=INSIDE), SystemClock())
    workspace = await workspaces.create(DAO, "main", template=template)

    async def commands(_: object) -> Mapping[str, tuple[str, ...]]:
        return {"hello": ("sh", "-c", "echo hello; exit 3")}

    return House(workspace, TestRuns(sandbox, workspaces, bounds=bounds, commands=commands))


def living(mark: str) -> list[int]:
    """The processes of this machine whose command line holds the mark."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if mark.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


PROJECT = """
import sys, pytest, unittest

def test_passes():
    print("not shown")

def test_fails():
    print("said before"); print("and here", file=sys.stderr)
    assert {"votes": 1} == {"votes": 2}

@pytest.fixture
def treasury():
    raise RuntimeError("no treasury")

def test_errors(treasury): ...

@pytest.mark.skip(reason="not today")
def test_skipped(): ...

@pytest.mark.xfail(reason="known")
def test_known(): assert False

@pytest.mark.xfail(reason="known")
def test_mended(): ...

class TestOld(unittest.TestCase):
    def test_one_of_unittest(self):
        self.assertEqual(1 + 1, 2)
"""


async def test_every_test_is_told_with_its_outcome_as_it_ends(house: House) -> None:
    house.write(tests__test_votes=PROJECT)
    done = await house.run()
    assert (done.outcome, done.framework, done.exit_status) == ("failed", "pytest", 1)
    assert done.summary == "2 of 7 failed, 1 skipped, 1 xfailed, 1 xpassed."
    assert {test.id.rpartition("::")[2]: test.outcome for test in done.tests} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_errors": "error",
        "test_skipped": "skipped",
        "test_known": "xfailed",
        "test_mended": "xpassed",
        "test_one_of_unittest": "passed",
    }
    failed = next(test for test in done.tests if test.outcome == "failed")
    assert failed.id == "tests/test_votes.py::test_fails"
    assert failed.message.startswith("AssertionError: assert {'votes': 1} == {'votes': 2}")
    assert failed.traceback.startswith("tests/test_votes.py:9: in test_fails")
    assert (failed.stdout, failed.stderr) == ("said before\n", "and here\n")
    heard = [event["id"] for event in house.heard if event["kind"] == "test"]
    assert heard == [test.id for test in done.tests]
    assert house.heard[0] == {"kind": "start", "framework": "pytest"}
    assert "2 failed" not in done.output.stdout
    assert "1 failed, 2 passed, 1 skipped, 1 xfailed, 1 xpassed, 1 error" in done.output.stdout
    assert sorted(path.name for path in house.workspace.tree.rglob("*")) == ["test_votes.py", "tests"]


async def test_the_packaged_project_passes_and_its_coverage_is_measured(workspaces) -> None:
    house = await housed(workspaces, BOUNDS, "python")
    done = await house.run(coverage=True)
    assert done.outcome == "passed", done
    assert done.coverage is not None
    assert done.coverage.percent > 50
    assert "treasury/accounts.py" in {file.path for file in done.coverage.files}


async def test_one_test_a_keyword_and_the_first_failure_can_be_asked_for(house: House) -> None:
    house.write(tests__test_votes=PROJECT)
    one = await house.run(paths=["tests/test_votes.py::test_passes"])
    assert (one.outcome, one.totals.passed, one.totals.collected) == ("passed", 1, 1)
    some = await house.run(keyword="fails or errors", max_failures=1)
    assert (some.totals.failed, some.totals.error) == (1, 0)


async def test_a_module_that_cannot_be_loaded_and_a_path_that_is_not_there_are_errors_of_the_run(house: House) -> None:
    house.write(test_one="import nowhere_to_be_found", test_two="def test_two(): ...")
    done = await house.run()
    assert (done.outcome, done.totals.broken) == ("errors", 1)
    assert done.broken[0].id == "test_one.py"
    assert done.summary == "test_one.py cannot be loaded: ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    done = await house.run(paths=["test_three.py"])
    assert done.outcome == "errors"
    assert "file or directory not found: test_three.py" in done.output.stderr


async def test_unittest_tells_the_same(house: House) -> None:
    house.write(
        tests__test_old="""
import unittest
class Old(unittest.TestCase):
    def test_passes(self): ...
    def test_fails(self):
        print("said")
        self.assertEqual(1, 2)
    def test_errors(self): raise RuntimeError("no treasury")
    def test_parts(self):
        for part in range(3):
            with self.subTest(part=part):
                self.assertNotEqual(part, 1)
    @unittest.skip("not today")
    def test_skipped(self): ...
    @unittest.expectedFailure
    def test_known(self): self.fail()
class Unready(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("not ready")
    def test_never(self): ...
""",
        tests__test_broken="import nowhere_to_be_found",
    )
    done = await house.run(framework="unittest", coverage=True)
    assert (done.outcome, done.totals.broken, done.broken[0].id) == ("errors", 1, "test_broken")
    assert {test.id.rpartition(".")[2]: test.outcome for test in done.tests} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_errors": "error",
        "test_parts": "failed",
        "test_skipped": "skipped",
        "test_known": "xfailed",
        "Unready)": "error",
    }
    failed = next(test for test in done.tests if test.id.endswith("test_fails"))
    assert (failed.message, failed.stdout) == ("AssertionError: 1 != 2", "said\n")
    assert done.coverage is not None
    assert done.broken[0].message == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    one = await house.run(framework="unittest", paths=["tests/test_old.py::Old::test_passes"])
    assert (one.outcome, one.totals.passed) == ("passed", 1)


async def test_unittest_finds_what_lies_in_several_directories_and_measures_beside_what_is_no_python(house: House) -> None:
    case = "import unittest\nclass Case(unittest.TestCase):\n    def test_it(self): ..."
    untold = "class Untold(Exception):\n    def __str__(self): raise RuntimeError"
    house.write(one__test_a=case, two__test_b=f"{case}\n    def test_that(self): raise Untold\n{untold}", odd="\x00", old="print 'old'")
    done = await house.run(framework="unittest", paths=["one", "two"], coverage=True)
    assert [(test.id, test.outcome) for test in done.tests] == [
        ("test_a.Case.test_it", "passed"),
        ("test_b.Case.test_it", "passed"),
        ("test_b.Case.test_that", "error"),
    ]
    assert done.tests[-1].message == "test_b.Untold: <exception str() failed>"
    assert done.coverage is not None
    assert {file.path for file in done.coverage.files} == {"one/test_a.py", "two/test_b.py"}


async def test_a_keyword_is_looked_for_by_unittest_in_tests_that_are_no_package(house: House) -> None:
    house.write(tests__test_a="import unittest\nclass Case(unittest.TestCase):\n    def test_it(self): ...\n    def test_that(self): ...")
    done = await house.run(framework="unittest", keyword="that")
    assert [test.id for test in done.tests] == ["test_a.Case.test_that"]


async def test_npm_and_a_command_of_the_workspace_are_run_as_well(house: House) -> None:
    house.write(
        packageDOTjson='{"name": "votes", "version": "1.0.0", "scripts": {"test": "node --test"}}',
        votesDOTtestDOTjs="""
const { test, describe, it } = require('node:test');
test('counts', () => {});
describe('quorum', () => { it('holds', () => { throw new Error('it does not'); }); it('is skipped', { skip: 'why' }, () => {}); });
""",
    )
    done = await house.run()
    assert (done.outcome, done.framework) == ("failed", "npm")
    assert [(test.id, test.outcome, test.message) for test in done.tests] == [
        ("counts", "passed", ""),
        ("quorum > holds", "failed", "it does not"),
        ("quorum > is skipped", "skipped", "why"),
    ]
    done = await house.run(command="hello")
    assert (done.outcome, done.framework, done.exit_status, done.output.stdout) == ("failed", "command", 3, "hello\n")


async def test_the_environment_that_was_asked_for_is_there_and_none_else(house: House) -> None:
    house.write(
        lib__things="value = 1",
        test_it="import os\ndef test_it():\n    import things\n    assert os.environ['COLOUR'] == 'green'",
    )
    assert (await house.run(environment={"COLOUR": "green", "PYTHONPATH": "lib"})).outcome == "passed"


@pytest.mark.parametrize(
    "files",
    [
        {"conftest": "import os; os._exit(0)"},
        {"conftest": "import sys; sys.exit(0)"},
        {"test_a": "def test_first(): ...\ndef test_then():\n    import os; os._exit(0)"},
        {"test_a": "import os, signal\ndef test_it():\n    os.kill(os.getpid(), signal.SIGKILL)"},
        {"conftest": "pytest_plugins = ['evil']", "evil": "import os; os._exit(0)"},
        {"test_a": "import pytest\ndef test_first(): ...\ndef test_then(): pytest.exit('done', 0)"},
        {"test_a": "import atexit, os\ndef test_it():\n    atexit.register(os._exit, 0)\n    assert False"},
    ],
)
async def test_a_run_that_ends_early_has_not_passed_whatever_its_status(house: House, files: Mapping[str, str]) -> None:
    house.write(test_b="def test_b(): assert False", **files)
    done = await house.run()
    assert done.outcome == "crashed"
    assert "without having come to its end" in done.summary


async def test_a_conftest_that_changes_the_exit_status_does_not_make_failures_pass(house: House) -> None:
    house.write(conftest="def pytest_sessionfinish(session): session.exitstatus = 0", test_a="def test_a(): assert False")
    done = await house.run()
    assert (done.outcome, done.totals.failed) == ("failed", 1)


async def test_nothing_in_the_workspace_takes_the_place_of_what_runs_the_tests(house: House) -> None:
    evil = "import os; os._exit(0)"
    names = ["pytest", "sitecustomize", "usercustomize", "dagi_reporting", "dagi_pytest", "coverage", "_pytest__evil", "pluggy"]
    house.write(test_a="def test_a(): ...", **dict.fromkeys(names, evil))
    done = await house.run(coverage=True, paths=["test_a.py"])
    assert (done.outcome, done.totals.passed) == ("passed", 1)


async def test_forged_lines_of_the_report_stay_within_bounds_and_change_nothing_outside(house: House) -> None:
    forged = """
import json, os
def test_it():
    for fd in range(3, 200):
        try:
            for line in ({"kind": "begin", "id": "x" * 60000}, {"kind": "test", "outcome": "passed", "seconds": 1e300},
                         {"kind": "test", "outcome": "owned"}, {"kind": "finish", "status": 0, "totals": {"passed": 10**30}},
                         {"kind": "coverage", "percent": -7}, ["a list"]):
                os.write(fd, json.dumps(line).encode() + b"\\n")
            os.write(fd, b"[" * 50000 + b"\\n" + b"\\xff\\xfe\\n" + b"x" * 100000 + b"\\n")
        except OSError: pass
    os._exit(0)
"""
    house.write(test_a=forged)
    done = await house.run()
    assert all(len(test.id) <= 520 and test.seconds <= 1e6 for test in done.tests)
    assert done.totals.passed <= 10_000_000
    assert len(msgspec.json.encode(done)) < 400_000


HOSTILE = {
    "hangs": ("import time\ndef test_first(): ...\ndef test_hangs(): time.sleep(600)", "timed_out", {"wall_s": 2.0}),
    "ignores signals": (
        "import signal, time\ndef test_hangs():\n    for n in (2, 15): signal.signal(n, signal.SIG_IGN)\n    time.sleep(600)",
        "timed_out",
        {"wall_s": 2.0},
    ),
    "fills memory": ("def test_hangs():\n    a = []\n    while True: a.append(bytearray(b'x' * (16 << 20)))", "out_of_memory", {}),
    "fills the disk": (
        "def test_hangs():\n    n = 0\n    while True:\n        n += 1; open(f'/tmp/{n}', 'wb').write(b'x' * (1 << 20))",
        "disk_limit",
        {},
    ),
    "makes files": ("def test_hangs():\n    n = 0\n    while True:\n        n += 1; open(f'{n}', 'w').close()", "disk_limit", {}),
    "prints": (
        "import os\ndef test_hangs(capfd):\n    with capfd.disabled():\n        while True: os.write(1, b'x' * 65536)",
        "output_limit",
        {},
    ),
}


@pytest.mark.parametrize("trick", HOSTILE)
async def test_a_run_is_stopped_at_its_bounds_and_the_test_that_did_it_is_named(workspaces, trick: str) -> None:
    code, outcome, changes = HOSTILE[trick]
    house = await housed(workspaces, msgspec.structs.replace(BOUNDS, **changes))
    house.write(test_a=code)
    done = await house.run()
    # The kernel may refuse more memory, or more of the disk, before it is seen to be too much: the test fails by itself then.
    refused = done.outcome == "failed" and any(word in done.tests[0].message for word in ("MemoryError", "No space left"))
    assert done.outcome == outcome or refused, done
    assert refused or "test_a.py::test_hangs" in done.summary
    assert done.wall_s < 20
    assert len(msgspec.json.encode(done)) < 400_000
    assert [path.name for path in house.workspace.tree.iterdir()] == ["test_a.py"]


async def test_nothing_of_the_host_is_read_reached_or_left_behind(house: House, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("the secret of the host", encoding="utf-8")
    mark = f"dagi-mark-{os.getpid()}"
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0)
    bystander = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220, S607 - started, not waited for
    house.write(
        test_a=f"""
import os, signal, socket, subprocess, sys
def test_reads():
    for path in ("/etc/shadow", {str(canary)!r}, "/proc/1/root{canary}", "/proc/1/environ", "/root/.ssh", "/var/run/docker.sock"):
        try: text = open(path).read()
        except OSError: continue
        assert "secret" not in text and "root:" not in text
def test_calls():
    for address in (("127.0.0.1", {server.getsockname()[1]}), ("10.0.2.2", 80), ("8.8.8.8", 53)):
        try: socket.create_connection(address, timeout=1)
        except OSError: continue
        assert False, address
def test_leaves_a_daemon():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {mark!r}], start_new_session=True, stdout=-3, stderr=-3)
def test_kills():
    for process in (os.getppid(), 1, {bystander.pid}):
        try: os.kill(process, signal.SIGTERM)
        except OSError: pass
"""
    )
    try:
        done = await house.run()
        assert (done.outcome, done.totals.passed) == ("passed", 4), done
        assert living(mark) == []
        with pytest.raises(BlockingIOError):
            server.accept()
        assert bystander.poll() is None
    finally:
        server.close()
        bystander.kill()
        bystander.wait()
    assert "secret" not in msgspec.json.encode(done).decode()
    assert canary.read_text(encoding="utf-8") == "the secret of the host"


@pytest.fixture
async def hanging(house: House) -> AsyncGenerator[asyncio.Task[TestsDone]]:
    house.write(test_a=f"import time\ndef test_hangs():\n    'dagi-hang-{os.getpid()}'\n    time.sleep(600)")
    running = asyncio.create_task(house.run(environment={"MARK": f"dagi-hang-{os.getpid()}"}))
    async with asyncio.timeout(15):
        while not any(event["kind"] == "collected" for event in house.heard):
            await asyncio.sleep(0.02)
    yield running
    running.cancel()
    await asyncio.wait([running])


async def test_who_writes_need_not_wait_for_a_run_and_nobody_is_left_of_a_cancelled_one(house: House, hanging) -> None:
    async with asyncio.timeout(5), house.workspace.writing():
        assert not hanging.done()
    assert living(f"dagi-hang-{os.getpid()}") != []
    hanging.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([hanging])
    assert hanging.cancelled()
    assert living(f"dagi-hang-{os.getpid()}") == []
