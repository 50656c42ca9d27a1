"""What a workspace holds, counted on without walking it: the count stands in the workspace's lock file."""

import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from dagi.errors import PayloadTooLarge
from dagi.targets.devtools.workspaces.workspace import Quota, Usage

_LONGEST: Final = 200


class Tally:
    """The count during one change, under the exclusive lock.

    The file is emptied before anything changes and written again after it. So a process that dies in between leaves no count, a count of
    before the machine's last start (whose last writes may be lost) is none either, and both are measured anew.

    Args:
        fd: the lock file.
        measured: walks the files: bytes, files.
    """

    def __init__(self, fd: int, quota: Quota, measured: Callable[[], tuple[int, int]]) -> None:
        self._fd = fd
        self._quota = quota
        self._usage = remembered(fd) or Usage(*measured())
        self._emptied = False

    @property
    def usage(self) -> Usage:
        """What is there now."""
        return self._usage

    def grow(self, *, size: int = 0, files: int = 0) -> None:
        """Count what is about to come (or to go, where negative).

        Raises:
            PayloadTooLarge: it would be more than the quota.
        """
        after = Usage(max(0, self._usage.bytes + size), max(0, self._usage.files + files))
        check(after, self._quota, grows=(size > 0, files > 0))
        self.set(after)

    def set(self, usage: Usage) -> None:
        """Count anew what is about to be there."""
        if not self._emptied:
            os.ftruncate(self._fd, 0)
            self._emptied = True
        self._usage = usage

    def remember(self) -> None:
        """It is done."""
        if self._emptied or remembered(self._fd) is None:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{_boot()} {self._usage.bytes} {self._usage.files}\n".encode(), 0)


def remembered(fd: int) -> Usage | None:
    """The count of the last change, where it can be relied on."""
    line = os.pread(fd, _LONGEST, 0)
    words = line.decode("ascii", "replace").split()
    if not line.endswith(b"\n") or len(words) != 3 or words[0] != _boot() or not (words[1].isdecimal() and words[2].isdecimal()):
        return None
    return Usage(int(words[1]), int(words[2]))


def check(usage: Usage, quota: Quota, *, grows: tuple[bool, bool] = (True, True)) -> None:
    """Make sure that it is within the quota, as far as it grows.

    Raises:
        PayloadTooLarge: it is not.
    """
    if grows[0] and usage.bytes > quota.bytes:
        raise PayloadTooLarge(
            f"The workspace would hold {usage.bytes} bytes and may hold {quota.bytes}; delete something first.", limit_bytes=quota.bytes
        )
    if grows[1] and usage.files > quota.files:
        raise PayloadTooLarge(
            f"The workspace would hold {usage.files} files and directories and may hold {quota.files}; delete something first.",
            limit_files=quota.files,
        )


@cache
def _boot() -> str:
    # One word that is another one after each start of the machine.
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError as error:
        return f"unknown-{errno.errorcode.get(error.errno or 0, '')}-{os.getpid()}"
