"""A workspace's files through an open directory: whatever is reached is a regular file, or a directory, beneath it."""

import errno
import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dagi.errors import Conflict, Invalid, Missing, PayloadTooLarge
from dagi.targets.devtools.workspaces.kernel import DIRECTORY, READ, Opener
from dagi.targets.devtools.workspaces.trouble import disk_trouble, disk_works

# The largest file that is read or written as a whole. Of larger ones parts can be read.
WHOLE: Final = 16 << 20
_LINKED: Final = "The path leads through a link, or onto another disk; no tool follows links."
_SENTENCES: Final = {
    errno.ELOOP: _LINKED,
    errno.EXDEV: _LINKED,
    errno.ENOTDIR: "A part of the path is no directory, but a file or a link; no tool follows links.",
    errno.EISDIR: "It is a directory.",
    errno.ENAMETOOLONG: "The path is too long.",
    errno.ENXIO: "It is no regular file.",
    errno.ENODEV: "It is no regular file.",
    errno.EINVAL: "A directory cannot be put into itself.",
}


@contextmanager
def told(field: str) -> Generator[None]:
    """Make errors of the disk into sentences for callers; none shows where the workspace is on this machine.

    Raises:
        Missing, Invalid, Conflict: what the path leads to is not there, is of another kind, or is in the way.
        StoreError: the disk is full or does not work.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if number == errno.ENOENT:
            raise Missing("There is no file or directory of that path in the workspace.", field=field) from error
        if number == errno.EEXIST:
            raise Conflict("Something of that path is there already.", field=field) from error
        if number == errno.ENOTEMPTY:
            raise Conflict("The directory is not empty; say recursive to remove it with all that is in it.", field=field) from error
        if number in _SENTENCES:
            raise Invalid(_SENTENCES[number], field=field) from error
        raise disk_trouble(error) from error


class Tree:
    """The files of one workspace while somebody holds it. Works on the disk: to be used in a thread."""

    def __init__(self, root: int, opener: Opener) -> None:
        self.root = root
        self.opener = opener
        self._device = os.fstat(root).st_dev

    @contextmanager
    def directory(self, parts: Sequence[str]) -> Generator[int]:
        """An open directory.

        Raises:
            OSError: there is none.
        """
        fd = self.opener(self.root, "/".join(parts), DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def file(self, path: str, field: str) -> Generator[tuple[int, os.stat_result]]:
        """An open regular file, with its state.

        Raises:
            OSError: there is none.
            Invalid: it is of another kind, or has a second name elsewhere.
        """
        fd = self.opener(self.root, path, READ)
        try:
            state = os.fstat(fd)
            if stat.S_ISDIR(state.st_mode):
                raise Invalid("It is a directory; fs_list shows what is in it.", field=field)
            # A hard link would be a way to a file of somebody else.
            if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1 or state.st_dev != self._device:
                raise Invalid("It is no regular file of this workspace alone.", field=field)
            yield fd, state
        finally:
            os.close(fd)

    def content(self, parts: Sequence[str], field: str) -> tuple[bytes, os.stat_result] | None:
        """A file as a whole, with its state; None where there is none.

        Raises:
            OSError: a part of the path is no directory, for example.
            Invalid: it is no regular file.
            PayloadTooLarge: it is larger than what is read as a whole.
        """
        try:
            with self.file("/".join(parts), field) as (fd, state):
                if state.st_size > WHOLE:
                    raise too_large(field)
                return whole(fd, state.st_size), state
        except FileNotFoundError:
            return None

    def missing(self, parts: Sequence[str]) -> int:
        """How many of these directories, from the last one on, are not there.

        Raises:
            OSError: one of them is no directory.
        """
        for there in range(len(parts), 0, -1):
            try:
                with self.directory(parts[:there]):
                    return len(parts) - there
            except FileNotFoundError:
                continue
        return len(parts)

    @contextmanager
    def made(self, parts: Sequence[str]) -> Generator[int]:
        """An open directory, made with those it is in where they are not there.

        Raises:
            OSError: something else has the name of one of them.
        """
        at = self.opener(self.root, "", DIRECTORY)
        try:
            for part in parts:
                try:
                    following = self.opener(at, part, DIRECTORY)
                except FileNotFoundError:
                    os.mkdir(part, 0o755, dir_fd=at)
                    os.fsync(at)
                    following = self.opener(at, part, DIRECTORY)
                os.close(at)
                at = following
            yield at
        finally:
            os.close(at)


@contextmanager
def opened(directory: Path, opener: Opener) -> Generator[Tree]:
    """A workspace's files.

    Raises:
        StoreError: they cannot be opened.
    """
    with disk_works():
        root = os.open(directory, DIRECTORY)
    try:
        yield Tree(root, opener)
    finally:
        os.close(root)


def whole(fd: int, size: int) -> bytes:
    """All of an open file that has this size."""
    data = os.read(fd, size + 1)
    while len(data) < size and (more := os.read(fd, size - len(data))):
        data += more
    return data


def too_large(field: str) -> PayloadTooLarge:
    """A file that is not read or written as a whole."""
    return PayloadTooLarge(
        f"The file is larger than the {WHOLE} bytes that are read or written as a whole; parts of it can be read by offset.",
        limit_bytes=WHOLE,
        field=field,
    )
