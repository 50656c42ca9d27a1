"""Control groups: bounds on all processes of a run together, where this machine lets the stack make them.

Where it does not (an ordinary user without a delegated group), the run's own watch counts memory instead; see `watching`.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from dagi.targets.devtools.sandbox.job import Bounds

_MOUNT: Final = Path("/sys/fs/cgroup")
_PREFIX: Final = "dagi-"


class Group:
    """The groups of one run.

    Attributes:
        joins: files into which a process writes 0 to become a member.
    """

    def __init__(self, directories: Sequence[Path], counters: Path) -> None:
        self.joins = [str(directory / "cgroup.procs") for directory in directories]
        self._directories = directories
        self._counters = counters

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed a process for the memory all of them took."""
        with suppress(OSError, ValueError):
            for line in self._counters.read_text(encoding="ascii").splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value) > 0
        return False

    def close(self) -> None:
        """Remove them. To be called when no process is left."""
        for directory in self._directories:
            # What is still mapped by a file that lies in memory keeps counting where it is; the group's name goes all the same.
            with suppress(OSError):
                directory.rmdir()


def grouped(bounds: Bounds, mount: Path = _MOUNT, own: str | None = None) -> Group | None:
    """Groups for a run with these bounds; None where none can be made.

    Args:
        own: `/proc/self/cgroup` as it reads; the real one where None.
    """
    paths = _own_paths(own)
    name = f"{_PREFIX}{os.getpid()}-{token_hex(4)}"
    made: list[Path] = []
    try:
        if "memory" in paths and "pids" in paths:
            return _first(mount, paths, name, bounds, made)
        if "" in paths:
            return _second(mount / paths[""].lstrip("/"), name, bounds, made)
    except OSError:
        Group(made, mount).close()
    return None


def _first(mount: Path, paths: dict[str, str], name: str, bounds: Bounds, made: list[Path]) -> Group:
    """Version 1: a hierarchy for each controller. The swap's bound is not everywhere."""
    memory, pids = (mount / kind / paths[kind].lstrip("/") / name for kind in ("memory", "pids"))
    for directory in (memory, pids):
        directory.mkdir()
        made.append(directory)
    _write(memory / "memory.limit_in_bytes", bounds.memory)
    with suppress(OSError):
        _write(memory / "memory.memsw.limit_in_bytes", bounds.memory)
    _write(pids / "pids.max", bounds.processes + _OWN_PROCESSES)
    return Group([memory, pids], memory / "memory.oom_control")


def _second(own: Path, name: str, bounds: Bounds, made: list[Path]) -> Group:
    """Version 2 (kernel's Documentation/admin-guide/cgroup-v2.rst): one hierarchy.

    Children get a controller only where their parent passes it on, and a group that does has no processes of its own. So the stack's own
    group must have been delegated to it with the stack in a group below, as systemd does with `Delegate=` and `DelegateSubgroup=`; then
    the groups of runs are siblings of the stack's.
    """
    for parent in (own, own.parent):
        passed = (parent / "cgroup.subtree_control").read_text(encoding="ascii").split()
        if {"memory", "pids"} <= set(passed) and os.access(parent, os.W_OK):
            break
    else:
        raise PermissionError("no delegated group")
    group = parent / name
    group.mkdir()
    made.append(group)
    _write(group / "memory.max", bounds.memory)
    with suppress(OSError):
        _write(group / "memory.swap.max", 0)
    _write(group / "pids.max", bounds.processes + _OWN_PROCESSES)
    return Group([group], group / "memory.events")


# Of bubblewrap itself: the one outside and the one that is process 1 inside.
_OWN_PROCESSES: Final = 4


def _own_paths(own: str | None) -> dict[str, str]:
    """The stack's own groups: by controller (version 1), and by "" (version 2). See cgroups(7)."""
    try:
        text = Path("/proc/self/cgroup").read_text(encoding="utf-8") if own is None else own
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _write(path: Path, value: int) -> None:
    path.write_text(str(value), encoding="ascii")
