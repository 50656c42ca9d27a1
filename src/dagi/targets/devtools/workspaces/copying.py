"""Copying a directory that code of others has left behind. Every name, link and size in it is hostile."""

import os
import re
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from dagi.errors import Conflict
from dagi.targets.devtools.workspaces.kernel import DIRECTORY, READ, Opener, open_beneath
from dagi.targets.devtools.workspaces.names import is_gits, printable
from dagi.targets.devtools.workspaces.walking import DEPTH, Found, walk
from dagi.targets.devtools.workspaces.workspace import Usage

_LINK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_PATH: Final = 4096
_TOLD: Final = 20
# Named by what is in them.
_OBJECT: Final = re.compile(r"objects/(?:[0-9a-f]{2}/[0-9a-f]{38,62}|pack/pack-[0-9a-f]{40,64}\.(?:pack|idx))\Z")


class Copy:
    """One copy of a directory.

    Args:
        allowed: raises where so much is too much; asked before each file is copied.
        files: it is a workspace's files: git's own directory has no place among them.
        old: the directory it will stand in for, if it is git's: objects that are there already are linked instead of copied.
        without: names that are left out wherever they are.
    """

    def __init__(
        self,
        allowed: Callable[[Usage], None],
        *,
        files: bool,
        old: Path | None = None,
        without: Collection[str] = (),
        opener: Opener = open_beneath,
    ) -> None:
        self.usage = Usage(0, 0)
        self.left_out: list[str] = []
        self.left_out_all = 0
        self._allowed = allowed
        self._files = files
        self._old = old
        self._without = without
        self._opener = opener

    def make(self, root: int, name: str, target: Path) -> None:
        """Copy the directory of that name beneath the open directory `root` into a new directory `target`.

        Raises:
            Conflict: there is no such directory.
            PayloadTooLarge: of `allowed`.
            OSError: the disk is full, for example.
        """
        try:
            source = self._opener(root, name, DIRECTORY)
        except OSError as error:
            raise Conflict("The run left no directory of files behind, so nothing was changed.") from error
        try:
            target.mkdir(mode=0o755)
            into = os.open(target, DIRECTORY)
            try:
                for found in walk(source, into=self._wanted, opener=self._opener):
                    self._take(source, found, into)
            finally:
                os.close(into)
        finally:
            os.close(source)

    def _wanted(self, found: Found) -> bool:
        if found.kind == "other" or found.name in self._without or (self._files and is_gits(found.name)):
            return False
        return len(os.fsencode(found.path)) < _LONGEST_PATH and (found.kind != "directory" or found.parts < DEPTH)

    def _take(self, source: int, found: Found, into: int) -> None:
        if not self._wanted(found):
            self.left_out_all += 1
            if len(self.left_out) < _TOLD:
                self.left_out.append(printable(found.path))
            return
        self.usage = Usage(self.usage.bytes + found.size, self.usage.files + 1)
        self._allowed(self.usage)
        if found.kind == "directory":
            os.mkdir(found.path, 0o755, dir_fd=into)
        elif found.kind == "link":
            fd = self._opener(source, found.path, _LINK)
            try:
                os.symlink(os.readlink("", dir_fd=fd), found.path, dir_fd=into)
            finally:
                os.close(fd)
        elif not self._linked(found, into):
            self._copied(source, found, into)

    def _linked(self, found: Found, into: int) -> bool:
        if self._old is None or not _OBJECT.match(found.path):
            return False
        with suppress(FileNotFoundError):
            old = self._old / found.path
            if stat.S_ISREG(old.lstat().st_mode):
                os.link(old, found.path, dst_dir_fd=into, follow_symlinks=False)
                return True
        return False

    def _copied(self, source: int, found: Found, into: int) -> None:
        fd = self._opener(source, found.path, READ)
        try:
            state = os.fstat(fd)
            new = os.open(found.path, _NEW, 0o600, dir_fd=into)
            try:
                # Not a byte beyond what was counted.
                left, at = found.size, 0
                while left > 0 and (count := os.sendfile(new, fd, at, left)) > 0:
                    left, at = left - count, at + count
                os.fchmod(new, 0o755 if state.st_mode & 0o100 else 0o644)
                os.utime(new, ns=(state.st_mtime_ns, state.st_mtime_ns))
            finally:
                os.close(new)
        finally:
            os.close(fd)
