"""The developer tools put together: workspaces, the sandbox, the tools, and the door before them. For their process, and for commands."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import msgspec

from dagi.assemble.installation import Installation
from dagi.errors import SandboxUnavailable
from dagi.observe.metrics import Metrics
from dagi.ports.clock import Clock
from dagi.ports.workspaces import Wanted, WorkspaceRoom
from dagi.targets.devtools.files.kit import FileTools
from dagi.targets.devtools.git.cloning import Cloning
from dagi.targets.devtools.git.running import Git
from dagi.targets.devtools.git.tools import GitTools
from dagi.targets.devtools.git.worktrees import WorktreeTools
from dagi.targets.devtools.notebooks.kit import Notebooks
from dagi.targets.devtools.running.kit import Commands, TestRuns
from dagi.targets.devtools.runtime import found_runtime
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.targets.devtools.sandbox.job import Bounds, Sandbox
from dagi.targets.devtools.tool import Kit
from dagi.targets.devtools.toolbox import Records, Toolbox
from dagi.targets.devtools.turns import Room, Turns
from dagi.targets.devtools.workspaces.room import DiskRoom
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.targets.devtools.workspaces.workspace import Quota, Workspace

MEGABYTE = 2**20
_CHECK_S = 10.0


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the tools work with, and the tools."""

    kits: Sequence[Kit]
    sandbox: Sandbox
    room: WorkspaceRoom


async def opened_parts(installation: Installation, clock: Clock) -> Parts:
    """The tools there are, as the configuration has them; what killed processes left behind in workspaces is cleared away."""
    settings = installation.loaded.settings.devtools
    limits = settings.workspaces
    quota = Quota(bytes=limits.max_mb * MEGABYTE, files=limits.max_files, history_bytes=limits.history_mb * MEGABYTE)
    directory = installation.data_dir / "workspaces"
    workspaces = DiskWorkspaces(directory, clock, quota=quota, per_dao=limits.per_dao, templates=_place(limits.templates))
    await workspaces.open()
    sandbox = built_sandbox(installation, clock)
    git = Git(sandbox)
    cloning = Cloning(git, settings.git.allowed)
    file_tools, bounds = FileTools(workspaces), bounds_of(installation)
    kits = (
        file_tools,
        TestRuns(sandbox, workspaces, bounds=bounds, commands=_commands(workspaces)),
        Notebooks(sandbox, workspaces, file_tools, bounds=bounds),
        GitTools(workspaces, git),
        WorktreeTools(workspaces, git),
    )
    room = DiskRoom(workspaces, quota, partial(_cloned, workspaces, cloning) if settings.git.allowed else None)
    return Parts(kits=kits, sandbox=sandbox, room=room)


def _commands(workspaces: DiskWorkspaces) -> Commands:
    async def commands(workspace: Workspace) -> Mapping[str, Sequence[str]]:
        return (await workspaces.about(workspace.dao_id, workspace.name)).commands

    return commands


async def _cloned(workspaces: DiskWorkspaces, cloning: Cloning, wanted: Wanted) -> None:
    workspace = await workspaces.find(wanted.dao_id, wanted.name)
    async with cloning.clone(wanted.git, workspace.quota) as ran, workspace.writing():
        await workspace.replace(ran.root, ("tree", "git"))


def built_sandbox(installation: Installation, clock: Clock) -> Sandbox:
    """The sandbox, with the Python environment for it where there is one."""
    settings = installation.loaded.settings.devtools
    environment = runtime_place(installation)
    inside = Path(str(files("dagi.targets.devtools.inside")))
    setting = Setting(user=settings.sandbox_user, inside=inside)
    try:
        found_runtime(environment)
    except SandboxUnavailable:
        return Bubblewrap(setting, clock)
    return Bubblewrap(msgspec.structs.replace(setting, python=environment), clock)


async def why_no_code_is_run(installation: Installation, clock: Clock) -> str | None:
    """What an operator should hear at the start: that code of others cannot be run, and why. None where it can."""
    try:
        async with asyncio.timeout(_CHECK_S):
            await built_sandbox(installation, clock).check()
    except SandboxUnavailable as error:
        return f"{error.message} Until then the developer tools work on files alone."
    except TimeoutError:
        return f"The sandbox's test took over {_CHECK_S:g} s; until it passes, no code is run."
    try:
        found_runtime(runtime_place(installation))
    except SandboxUnavailable as error:
        return f"{error.message} Until then no tests and no notebooks are run."
    return None


def runtime_place(installation: Installation) -> Path:
    """Where the Python environment for the sandbox should be."""
    named = installation.loaded.settings.devtools.runtime
    return _place(named) or Path(f"{sys.prefix}-sandbox")


def bounds_of(installation: Installation) -> Bounds:
    """What a run may take."""
    runs = installation.loaded.settings.devtools.runs
    return Bounds(
        wall_s=runs.wall_s,
        cpu_s=runs.cpu_s,
        memory=runs.memory_mb * MEGABYTE,
        processes=runs.processes,
        output=runs.output_kb * 1024,
        disk=runs.disk_mb * MEGABYTE,
        files=runs.files,
    )


def built_toolbox(installation: Installation, parts: Parts, records: Records, clock: Clock, metrics: Metrics) -> Toolbox:
    """The tools behind one door, with the line before the sandbox."""
    settings = installation.loaded.settings.devtools
    room = Room(active=settings.max_concurrent, waiting=settings.max_queue, wait_s=settings.queue_timeout_ms / 1000)
    turns = Turns(room, clock)
    metrics.gauge("dagi_sandbox_runs_active", "Tools that hold a place in the sandbox now", lambda: turns.active)
    metrics.gauge("dagi_sandbox_runs_waiting", "Tools that wait for one now", lambda: turns.waiting)
    return Toolbox(parts.kits, turns, records, clock)


def _place(named: str | None) -> Path | None:
    return None if named is None else Path(named).expanduser().absolute()
