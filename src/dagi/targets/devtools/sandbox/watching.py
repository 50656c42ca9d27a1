"""What of a run's bounds the kernel does not hold by itself is watched from outside."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from dagi.targets.devtools.sandbox.cgroups import Group
from dagi.targets.devtools.sandbox.job import Bounds, Ending

# How often it is looked, in seconds.
LOOK_S: Final = 0.04
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Looks whether a run keeps to its bounds.

    Attributes:
        mounts: open directories in memory into which the run can write.
        first: its first process, as the host numbers it.
    """

    bounds: Bounds
    mounts: Sequence[int]
    first: int
    group: Group | None

    def broken(self) -> Ending | None:
        """The bound that the run has gone over, if any."""
        lying = 0
        for mount in self.mounts:
            state = os.fstatvfs(mount)
            used = (state.f_blocks - state.f_bfree) * state.f_frsize
            if used >= self.bounds.disk or state.f_files - state.f_ffree > self.bounds.files:
                return "disk"
            lying += used
        if self.group is not None:
            return "memory" if self.group.ran_out_of_memory() else None
        return "memory" if lying + own_memory(self.first) > self.bounds.memory else None


def own_memory(first: int) -> int:
    """Bytes that a process and all below it hold for themselves. Whoever ends meanwhile holds nothing."""
    total, waiting = 0, [first]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        try:
            _, resident, shared, *_ = (process / "statm").read_text(encoding="ascii").split()
            total += (int(resident) - int(shared)) * _PAGE
            for task in (process / "task").iterdir():
                waiting += (int(child) for child in (task / "children").read_text(encoding="ascii").split())
        except (OSError, ValueError):
            continue
    return total
