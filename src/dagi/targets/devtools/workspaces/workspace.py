"""What every tool knows of a workspace."""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What a workspace may hold.

    Attributes:
        bytes, files: of its files; directories count as files.
        history_bytes: of git's objects.
    """

    bytes: int = 256 << 20
    files: int = 20_000
    history_bytes: int = 512 << 20


class Usage(NamedTuple):
    """What a workspace holds: bytes of its files by their apparent sizes, and how many files; directories and links count as files."""

    bytes: int
    files: int


class Replaced(NamedTuple):
    """What came of a replacement.

    Attributes:
        usage: what the files are now, where they were replaced.
        left_out: what was there and is no file, directory or link, or is git's own directory; a few of them, made printable.
        left_out_all: how many those are in all.
    """

    usage: Usage | None
    left_out: tuple[str, ...]
    left_out_all: int


class Change(Protocol):
    """A change of the files that is under way: it counts, and it has a place for what is not yet, or no longer, at its place."""

    @property
    def usage(self) -> Usage:
        """What the workspace holds."""
        ...

    @property
    def draft(self) -> Path:
        """An empty directory on the file system of `tree`; emptied after the change, also after one that was killed."""
        ...

    def grow(self, *, size: int = 0, files: int = 0) -> None:
        """Count what is about to come (or to go, where negative); to be called before it is done.

        Raises:
            PayloadTooLarge: it would be more than the quota.
        """
        ...


class Workspace(Protocol):
    """One workspace on disk. Its directory holds `work/tree` (the files) and `work/git` (git's directory, apart from the files, so that no
    path among the files leads into it).

    Whoever reads holds `reading`, whoever changes anything holds `writing`; both count across processes. `tree` and `git` are found anew
    after either was entered, for `work` is exchanged as a whole.
    """

    @property
    def dao_id(self) -> str:
        """The DAO."""
        ...

    @property
    def name(self) -> str:
        """Its name within the DAO."""
        ...

    @property
    def tree(self) -> Path:
        """The files: directories, regular files, and symbolic links that came with a git repository, which nobody here follows."""
        ...

    @property
    def git(self) -> Path:
        """Git's directory; there only once git was used here."""
        ...

    @property
    def quota(self) -> Quota:
        """What it may hold."""
        ...

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Nobody changes anything meanwhile."""
        ...

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Nobody reads or changes anything meanwhile."""
        ...

    def changing(self) -> AbstractContextManager[Change]:
        """Change files of `tree`, counted. To be entered in a thread (it works on the disk), while `writing`."""
        ...

    async def replace(self, root: int, names: tuple[str, ...]) -> Replaced:
        """Put what a run left behind in the place of `tree`, of `git` or of both, at once or not at all. To be called while `writing`.

        Args:
            root: an open directory that holds what is named; hostile: only regular files, directories and symbolic links are taken,
                nothing is followed, and the quota counts.
            names: `tree`, `git`, or both; what is not named stays as it is.

        Raises:
            PayloadTooLarge: it is more than the quota; nothing has changed.
            Conflict: what is named is not there, or is no directory; nothing has changed.
        """
        ...


class Workspaces(Protocol):
    """The workspaces of all DAOs."""

    async def find(self, dao_id: str, name: str, *, make: bool = False, made_by: str = "") -> Workspace:
        """The workspace.

        Args:
            make: make an empty one where there is none.
            made_by: who makes it, then.

        Raises:
            Invalid: no workspace can have that name.
            Missing: there is none of that name.
            Conflict: it was to be made, and the DAO has as many as it may have.
        """
        ...
