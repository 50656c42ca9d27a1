"""One workspace on disk.

::

    about.json         what it is (about.py)
    lock, lock.turn    who reads and who changes (locks.py); what it holds (tally.py)
    work/tree          its files
    work/git           git's directory
    draft/             what is not yet, or no longer, at its place; whatever a new writer finds here is left over
"""

import os
import shutil
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from dagi.errors import Internal, PayloadTooLarge
from dagi.targets.devtools.workspaces.about import About, sync_directory
from dagi.targets.devtools.workspaces.copying import Copy
from dagi.targets.devtools.workspaces.kernel import DIRECTORY, exchange, sync_file_system
from dagi.targets.devtools.workspaces.locks import Lock
from dagi.targets.devtools.workspaces.tally import Tally, check
from dagi.targets.devtools.workspaces.threads import to_its_end
from dagi.targets.devtools.workspaces.trouble import disk_works
from dagi.targets.devtools.workspaces.walking import measure
from dagi.targets.devtools.workspaces.workspace import Quota, Replaced, Usage

ABOUT: Final = "about.json"
LOCK: Final = "lock"
WORK: Final = "work"
TREE: Final = "tree"
GIT: Final = "git"
DRAFT: Final = "draft"
# Where there is no exchange in one step: which path `new` in the draft is meant for.
_MEANT_FOR: Final = "meant-for"
_NEW: Final = "new"
_OLD: Final = "old"
# Git keeps several files for one of the workspace.
_GIT_FILES: Final = 4


class DiskChange:
    """A change that is under way."""

    def __init__(self, tally: Tally, draft: Path) -> None:
        self._tally = tally
        self.draft = draft
        self.grow = tally.grow

    @property
    def usage(self) -> Usage:
        """What the workspace holds."""
        return self._tally.usage


class DiskWorkspace:
    """One workspace on disk; the contract is `Workspace`."""

    def __init__(self, directory: Path, dao_id: str, about: About, quota: Quota, lock: Lock) -> None:
        self.directory = directory
        self.dao_id = dao_id
        self.about = about
        self.name = about.name
        self.quota = quota
        self.tree = directory / WORK / TREE
        self.git = directory / WORK / GIT
        self._lock = lock
        self._held = -1

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[None]:
        """Nobody changes anything meanwhile."""
        async with self._lock.shared():
            yield

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """Nobody reads or changes anything meanwhile."""
        async with self._lock.exclusive() as fd:
            self._held = fd
            try:
                yield
            finally:
                self._held = -1

    @contextmanager
    def changing(self) -> Generator[DiskChange]:
        """Change files, counted."""
        fd = self._writer()
        settle(self.directory)
        tally = Tally(fd, self.quota, self.measured)
        draft = self.directory / DRAFT
        yield DiskChange(tally, draft)
        tally.remember()

    async def replace(self, root: int, names: tuple[str, ...]) -> Replaced:
        """Put what a run left behind in the place of `tree`, of `git` or of both."""
        self._writer()
        return await to_its_end(partial(self._replace, root, names))

    def measured(self) -> tuple[int, int]:
        """Bytes and files, counted by walking. In a thread, while `reading` or `writing`."""
        fd = os.open(self.tree, DIRECTORY)
        try:
            return measure(fd)
        finally:
            os.close(fd)

    def _writer(self) -> int:
        if self._held < 0:
            raise Internal("A workspace was to be changed by somebody who does not hold it.")
        return self._held

    @disk_works()
    def _replace(self, root: int, names: Sequence[str]) -> Replaced:
        fd = self._writer()
        settle(self.directory)
        new = self.directory / DRAFT / _NEW
        copies = {name: self._copy(name) for name in (TREE, GIT) if name in names}
        try:
            if len(copies) > 1:
                new.mkdir(mode=0o700)
            for name, copy in copies.items():
                copy.make(root, name, new / name if len(copies) > 1 else new)
            held = os.open(new, DIRECTORY)
            try:
                sync_file_system(held)
            finally:
                os.close(held)
            tree = copies.get(TREE)
            tally = None
            if tree is not None:
                tally = Tally(fd, self.quota, lambda: tree.usage)
                tally.set(tree.usage)
            place(self.directory, f"{WORK}/{next(iter(copies))}" if len(copies) == 1 else WORK)
            if tally is not None:
                tally.remember()
        finally:
            settle(self.directory)
        left_out = [path for copy in copies.values() for path in copy.left_out]
        return Replaced(tree.usage if tree is not None else None, tuple(left_out), sum(copy.left_out_all for copy in copies.values()))

    def _copy(self, name: str) -> Copy:
        if name == TREE:
            return Copy(lambda usage: check(usage, self.quota), files=True)
        return Copy(self._check_history, files=False, old=self.git)

    def _check_history(self, usage: Usage) -> None:
        limit = self.quota.history_bytes
        if usage.bytes > limit:
            raise PayloadTooLarge(f"The history would be larger than the {limit} bytes it may have.", limit_bytes=limit)
        files = self.quota.files * _GIT_FILES
        if usage.files > files:
            raise PayloadTooLarge(f"The history would have more than the {files} files it may have.", limit_files=files)


def place(directory: Path, name: str, *, exchanged: bool | None = None) -> None:
    """Put the draft `new` of a workspace where it belongs; what was there stays in the draft.

    Args:
        name: `work`, or a path beneath it.
        exchanged: that it was done in one step, or cannot be, on this file system; None to try.
    """
    target, draft = directory / name, directory / DRAFT
    new = draft / _NEW
    if not os.path.lexists(target):
        new.rename(target)
    elif exchanged is False or not exchange(new, target):
        # Two steps; `settle` makes the second one for whoever dies between them.
        (draft / _MEANT_FOR).write_text(name, encoding="ascii")
        sync_directory(draft)
        target.rename(draft / _OLD)
        new.rename(target)
        (draft / _MEANT_FOR).unlink()
    sync_directory(target.parent)


def settle(directory: Path) -> None:
    """Bring a workspace whose writer died to its old or its new state, and clear its draft. Whoever calls it holds the exclusive lock."""
    draft = directory / DRAFT
    draft.mkdir(mode=0o700, exist_ok=True)
    meant_for, new = draft / _MEANT_FOR, draft / _NEW
    with os.scandir(draft) as entries:
        left = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    if not left:
        return
    if meant_for.is_file() and new.is_dir():
        target = directory / meant_for.read_text(encoding="ascii")
        if not os.path.lexists(target):
            new.rename(target)
            sync_directory(target.parent)
    for name, is_directory in left:
        if is_directory:
            shutil.rmtree(draft / name, ignore_errors=True)
        elif name != _MEANT_FOR:
            (draft / name).unlink(missing_ok=True)
    meant_for.unlink(missing_ok=True)
