"""What of a run's bounds the kernel does not hold by itself is watched from outside."""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from dagi.targets.devtools.sandbox.cgroups import Group
from dagi.targets.devtools.sandbox.job import Bounds, Ending

# How often it is looked, in seconds.
LOOK_S: Final = 0.04
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
# What the kernel holds for a socket at most, more or less, where a control group counts some of it and where none does.
_SOCKET: Final = 1 << 20
_LARGEST_BUFFER: Final = Path("/proc/sys/net/core/wmem_max")


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Looks whether a run keeps to its bounds.

    Attributes:
        mounts: open directories in memory into which the run can write.
        first: its first process, as the host numbers it.
        shares_network: its network is the host's, where the sockets of others are.
    """

    bounds: Bounds
    mounts: Sequence[int]
    first: int
    group: Group | None
    shares_network: bool = False

    def broken(self) -> Ending | None:
        """The bound that the run has gone over, if any."""
        lying = 0
        for mount in self.mounts:
            state = os.fstatvfs(mount)
            used = (state.f_blocks - state.f_bfree) * state.f_frsize
            if used >= self.bounds.disk or state.f_files - state.f_ffree > self.bounds.files:
                return "disk"
            lying += used
        most = self.bounds.memory
        if not self.shares_network and sockets(self.first) * self._socket() > most:
            return "memory"
        if self.group is not None:
            return "memory" if self.group.ran_out_of_memory() else None
        # To weigh what is shared costs time, so that is done only where it decides.
        too_much = lying + own_memory(self.first) > most and lying + own_memory(self.first, weighed=True) > most
        return "memory" if too_much else None

    def _socket(self) -> int:
        return _SOCKET if self.group is not None else max(_SOCKET, _uncounted_socket())


def sockets(first: int) -> int:
    """How many sockets there are in the network of a process."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc", str(first), "net", "sockstat").read_text(encoding="ascii").split(maxsplit=3)[2])
    return 0


def own_memory(first: int, *, weighed: bool = False) -> int:
    """Bytes that a process and all below it hold for themselves. Whoever ends meanwhile holds nothing.

    Args:
        weighed: what processes share since one was forked from the other counts once, not for each of them.
    """
    total, waiting = 0, [first]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        try:
            _, resident, shared, *_ = (process / "statm").read_text(encoding="ascii").split()
            total += (_weighed(process) if weighed else None) or (int(resident) - int(shared)) * _PAGE
            for task in (process / "task").iterdir():
                waiting += (int(child) for child in (task / "children").read_text(encoding="ascii").split())
        except (OSError, ValueError):
            continue
    return total


def _weighed(process: Path) -> int | None:
    """Its part of what it shares, and all of what is its own (proc_pid_smaps(5)); None where that is not told."""
    with suppress(OSError, ValueError):
        for line in (process / "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) << 10
    return None


@cache
def _uncounted_socket() -> int:
    with suppress(OSError, ValueError):
        # The kernel doubles what is asked for (socket(7), SO_SNDBUF).
        return 2 * int(_LARGEST_BUFFER.read_text(encoding="ascii"))
    return 0
