"""The developer tools put together: workspaces, the sandbox, the tools, and the door before them. For their process, and for commands."""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dagi.assemble.installation import Installation
from dagi.errors import SandboxUnavailable
from dagi.observe.metrics import Metrics
from dagi.ports.clock import Clock
from dagi.ports.workspaces import WorkspaceRoom
from dagi.targets.devtools.runtime import found_runtime
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.targets.devtools.sandbox.job import Bounds, Sandbox
from dagi.targets.devtools.tool import Kit
from dagi.targets.devtools.toolbox import Records, Toolbox
from dagi.targets.devtools.turns import Room, Turns
from dagi.targets.devtools.workspaces.room import DiskRoom
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.targets.devtools.workspaces.workspace import Quota

MEGABYTE = 2**20


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
    return Parts(kits=(), sandbox=built_sandbox(installation, clock), room=DiskRoom(workspaces, quota))


def built_sandbox(installation: Installation, clock: Clock) -> Sandbox:
    """The sandbox, with the Python environment for it where there is one."""
    settings = installation.loaded.settings.devtools
    environment = runtime_place(installation)
    try:
        found_runtime(environment)
    except SandboxUnavailable:
        return Bubblewrap(Setting(user=settings.sandbox_user), clock)
    return Bubblewrap(Setting(user=settings.sandbox_user, python=environment), clock)


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
