"""What lies in a directory, however hostile: no link is followed, nothing but directories is opened."""

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

from dagi.targets.devtools.workspaces.kernel import DIRECTORY, Opener, open_beneath

Kind = Literal["file", "directory", "link", "other"]

# Directories within directories, everywhere: what is deeper could be named by no tool, and could exhaust whoever walks it.
DEPTH: Final = 100


class Found(NamedTuple):
    """Something in a directory.

    Attributes:
        path: relative to where the walk began; undecodable bytes are surrogates (PEP 383).
        parts: how many parts the path has.
        size: apparent, in bytes: a sparse file has the size that it claims. 0 for what is no file.
    """

    path: str
    name: str
    parts: int
    kind: Kind
    size: int
    mode: int
    inode: int


def _everything(_: Found) -> bool:
    return True


def walk(root: int, *, into: Callable[[Found], bool] = _everything, opener: Opener = open_beneath) -> Iterator[Found]:
    """Everything beneath an open directory: each directory's entries by name, then what is in its subdirectories.

    What vanishes or changes its kind meanwhile is passed over.

    Args:
        into: whether to enter a directory.
    """
    waiting = [("", 0)]
    while waiting:
        directory, depth = waiting.pop()
        entered: list[tuple[str, int]] = []
        for found in _entries(root, directory, depth, opener):
            yield found
            if found.kind == "directory" and found.parts < DEPTH and into(found):
                entered.append((found.path, found.parts))
        waiting += reversed(entered)


def _entries(root: int, directory: str, depth: int, opener: Opener) -> list[Found]:
    try:
        fd = opener(root, directory, DIRECTORY)
    except OSError:
        return []
    found: list[Found] = []
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                try:
                    state = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                path = f"{directory}/{entry.name}" if directory else entry.name
                kind = kind_of(state.st_mode)
                size = state.st_size if kind == "file" else 0
                found.append(Found(path, entry.name, depth + 1, kind, size, state.st_mode, state.st_ino))
    finally:
        os.close(fd)
    found.sort(key=_name)
    return found


def _name(found: Found) -> str:
    return found.name


def kind_of(mode: int) -> Kind:
    """What a file mode stands for; devices, sockets and FIFOs are `other`."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"


def measure(root: int) -> tuple[int, int]:
    """Bytes and files beneath an open directory; directories and links count as files."""
    size = files = 0
    for found in walk(root):
        size += found.size
        files += 1
    return size, files
