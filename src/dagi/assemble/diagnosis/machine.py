"""What `dagi doctor` says of the machine: Python, memory, clock, disk, and how many files may be open."""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

from dagi.assemble.diagnosis.report import GIB, Report, bad, good, odd
from dagi.assemble.files import ENOUGH_FILES, attainable_files, most_callers

LOW_DISK = 1 * GIB
FULL_DISK = GIB // 64
LOW_MEMORY = GIB // 2
FEW_INODES = 1_000
# No release of the stack is older; a machine that believes otherwise has lost its clock.
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
# SQLite's log needs memory that all processes of one machine share, which these do not have.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs"})


def about_machine(now: datetime) -> Iterator[Report]:
    """Everything that is true of the machine, whatever is configured."""
    yield good("python", f"Python {'.'.join(str(part) for part in sys.version_info[:3])}")
    memory = psutil.virtual_memory().available
    if memory >= LOW_MEMORY:
        yield good("memory", f"{memory / GIB:.1f} GiB available")
    else:
        yield odd("memory", f"only {memory / GIB:.1f} GiB available", "stop something, or add memory; the stack needs about 0.3 GiB")
    if now < EARLIEST:
        fix = "set it, for example: timedatectl set-ntp true; keys, limits and records go by it"
        yield bad("clock", f"it says {now:%Y-%m-%d %H:%M} UTC, which is before this version was made", fix)
    yield _open_files()


def _open_files() -> Report:
    files = attainable_files()
    if files < ENOUGH_FILES:
        what = f"a process may have {files} open, so at most {most_callers(files)} callers can be connected at once"
        return odd(
            "open files", what, f"raise the limit before the start: ulimit -Hn {ENOUGH_FILES}, or LimitNOFILE={ENOUGH_FILES} in systemd"
        )
    return good("open files", f"a process may have {files} open")


def about_disk(path: Path) -> Iterator[Report]:
    """What is left where the data is; the directory is there."""
    try:
        free = psutil.disk_usage(str(path)).free
        inodes = os.statvfs(path)
    except OSError as error:
        yield odd("disk", f"what is free cannot be told: {error.strerror}", "look with: df")
        return
    if free < FULL_DISK:
        yield bad("disk", f"{path} is on a disk that is full", "free some space: nothing can be recorded, so requests are refused")
    elif free < LOW_DISK:
        yield odd("disk", f"only {free / GIB:.2f} GiB free", "free some: while nothing can be written, requests are refused")
    else:
        yield good("disk", f"{free / GIB:.0f} GiB free")
    # Some file systems have no fixed number of them, and say 0 of 0.
    if inodes.f_files and inodes.f_favail < FEW_INODES:
        yield odd(
            "disk", f"only {inodes.f_favail} more files can be made", "remove small files you do not need (df -i): SQLite makes new ones"
        )
    kind = _file_system(path)
    if kind in _NETWORK:
        fix = "put data_dir on a disk of this machine: SQLite loses data over a network"
        yield odd("disk", f"{path} is on a network file system ({kind})", fix)


def _file_system(path: Path) -> str:
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    place = path.resolve()
    return next((mounts[str(parent)] for parent in (place, *place.parents) if str(parent) in mounts), "")
