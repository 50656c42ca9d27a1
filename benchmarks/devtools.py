"""The developer tools: what the sandbox costs, how fast files are read, and a small test run inside beside one outside."""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

from dagi.access.entitlements import CONTRIBUTOR
from dagi.errors import SandboxUnavailable
from dagi.message import Grant
from dagi.observe.clock import SystemClock
from dagi.targets.devtools.files.kit import FileTools
from dagi.targets.devtools.git.running import Git
from dagi.targets.devtools.git.tools import GitTools
from dagi.targets.devtools.running.kit import TestRuns
from dagi.targets.devtools.runtime import found_runtime
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.targets.devtools.sandbox.job import Job
from dagi.targets.devtools.tool import Call, Kit
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from figures import Plan, Row, Skipped, Spread

_DAO = "bench"
_CALL = Call(id="b", grant=Grant(dao_id=_DAO, user_id="tg:1", entitlements=CONTRIBUTOR), hear=lambda _: None)
_FILE = "text.md"
_KIB = 9
_READERS = 8


def rows(plan: Plan) -> list[Row]:
    """Sandbox, files, git, tests."""
    runtime = Path(f"{sys.prefix}-sandbox")
    try:
        found_runtime(runtime)
    except SandboxUnavailable as error:
        raise Skipped(error.message) from error
    return asyncio.run(_rows(plan, runtime))


async def _rows(plan: Plan, runtime: Path) -> list[Row]:
    inside = Path(str(files("dagi.targets.devtools.inside")))
    sandbox = Bubblewrap(Setting(python=runtime, inside=inside), SystemClock())
    try:
        await sandbox.check()
    except SandboxUnavailable as error:
        raise Skipped(error.message) from error
    store = DiskWorkspaces(plan.work / "workspaces", SystemClock())
    await store.open()
    workspace = await store.create(_DAO, "main", template="python")
    (workspace.tree / _FILE).write_text("A line of some length, as there are many.\n" * (_KIB * 25), encoding="utf-8")
    kits = [FileTools(store), TestRuns(sandbox, store), GitTools(store, Git(sandbox))]
    return [
        await _started(sandbox, plan.pick(100, 5)),
        *await _read(kits[0], workspace.tree / _FILE, plan.pick(4_000, 100)),
        await _git(kits[2], plan.pick(40, 3)),
        await _tested(kits[1], workspace.tree, runtime, plan),
    ]


async def _started(sandbox: Bubblewrap, count: int) -> Row:
    async def inside() -> None:
        async with sandbox.run(Job(command=("true",))):
            pass

    async def outside() -> None:
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()

    held, bare = await _in_turns(inside, outside, count)
    return Row(
        what="sandbox: set up, `true`, everything gone",
        main=f"{held.p50:.1f} ms",
        ratio=f"{held.p50 / bare.p50:.1f} × a bare process ({bare.p50:.1f} ms)",
        p50=f"{held.p50:.1f} ms",
        p99=f"{held.p99:.1f} ms",
        numbers={"inside_ms": held, "outside_ms": bare},
    )


async def _read(kit: Kit, path: Path, count: int) -> list[Row]:
    read = _tool(kit, "fs_read", path=path.name)

    async def plain() -> None:
        await asyncio.to_thread(path.read_text, encoding="utf-8")

    ours, bare = await _in_turns(read, plain, count)
    together = await _together(read, count), await _together(plain, count)
    return [
        Row(
            what=f"`fs_read`, {_KIB} KiB, one after the other",
            main=f"{ours.p50:.2f} ms",
            ratio=f"{ours.p50 / bare.p50:.1f} × the file read in a thread",
            p50=f"{ours.p50:.2f} ms",
            p99=f"{ours.p99:.2f} ms",
            numbers={"ours_ms": ours, "plain_ms": bare},
        ),
        Row(
            what=f"`fs_read`, {_KIB} KiB, {_READERS} at once",
            main=f"{together[0]:,.0f}/s",
            ratio=f"{together[0] / together[1]:.2f} of the files read in threads",
            numbers={"ours_per_s": together[0], "plain_per_s": together[1]},
        ),
    ]


async def _git(kit: Kit, count: int) -> Row:
    status = _tool(kit, "git_status")
    spent = Spread.of([await _ms(status) for _ in range(count)])
    return Row(what="`git_status`, a small workspace", main=f"{spent.p50:.0f} ms", p99=f"{spent.p99:.0f} ms", numbers={"ms": spent})


async def _tested(kit: Kit, tree: Path, runtime: Path, plan: Plan) -> Row:
    copy = plan.work / "copy"
    shutil.copytree(tree, copy)
    run = _tool(kit, "run_tests")

    async def outside() -> None:
        command = [str(runtime / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        await asyncio.to_thread(subprocess.run, command, cwd=copy, check=True, capture_output=True)

    held, bare = await _in_turns(run, outside, plan.pick(20, 2))
    return Row(
        what="`run_tests`, four small tests",
        main=f"{held.p50:.0f} ms",
        ratio=f"{held.p50 / bare.p50:.2f} × pytest outside ({bare.p50:.0f} ms)",
        p50=f"{held.p50:.0f} ms",
        p99=f"{held.p99:.0f} ms",
        numbers={"inside_ms": held, "outside_ms": bare},
    )


def _tool(kit: Kit, name: str, **params: object) -> Callable[[], Awaitable[None]]:
    tool = next(tool for tool in kit.tools() if tool.name == name)
    takes = tool.takes(**params)

    async def work() -> None:
        await tool.work(_CALL, takes)

    return work


async def _in_turns(one: Callable[[], Awaitable[None]], other: Callable[[], Awaitable[None]], count: int) -> tuple[Spread, Spread]:
    await one()
    await other()
    spent = [(await _ms(one), await _ms(other)) for _ in range(count)]
    return Spread.of([first for first, _ in spent]), Spread.of([second for _, second in spent])


async def _ms(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


async def _together(work: Callable[[], Awaitable[None]], count: int) -> float:
    async def reader() -> None:
        for _ in range(count // _READERS):
            await work()

    began = time.perf_counter()
    await asyncio.gather(*(reader() for _ in range(_READERS)))
    return count // _READERS * _READERS / (time.perf_counter() - began)
