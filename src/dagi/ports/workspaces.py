"""WorkspaceRoom: the workspaces of DAOs, for those who make them and take them away."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class WorkspaceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One workspace.

    Attributes:
        origin: what it began with: `empty`, a template's name, or the address it was cloned from.
        commands: what `run_tests` may run beside what it knows by itself: names, and each one's program with arguments.
        bytes, files: what it holds.
        max_bytes, max_files: what it may hold.
    """

    name: str
    made_at: datetime
    made_by: str
    origin: str
    commands: Mapping[str, Sequence[str]] = {}
    bytes: int = 0
    files: int = 0
    max_bytes: int = 0
    max_files: int = 0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace that is to be made.

    Attributes:
        template: what to copy into it; nothing where empty.
        git: the address to clone it from; nowhere where empty.
    """

    dao_id: str
    name: str
    template: str = ""
    git: str = ""
    by: str


class WorkspaceRoom(Protocol):
    """Makes, shows and removes workspaces. Rights are the caller's business."""

    async def templates(self) -> Sequence[str]:
        """The names of what a workspace may begin with."""
        ...

    async def list(self, dao_id: str) -> Sequence[WorkspaceInfo]:
        """Those of a DAO, by name."""
        ...

    async def show(self, dao_id: str, name: str) -> WorkspaceInfo:
        """One of them.

        Raises:
            Invalid: none can have that name.
            Missing: there is none of that name.
        """
        ...

    async def create(self, wanted: Wanted) -> WorkspaceInfo:
        """Make one.

        Raises:
            Invalid: the name, the template or the address cannot be used.
            Conflict: there is one of that name, or the DAO has as many as it may.
            SandboxUnavailable: it is to be cloned, and nothing can run here.
        """
        ...

    async def delete(self, dao_id: str, name: str) -> None:
        """Remove one with all it holds.

        Raises:
            Invalid, Missing: see `show`.
        """
        ...

    async def set_command(self, dao_id: str, name: str, command: str, argv: Sequence[str]) -> WorkspaceInfo:
        """Have `run_tests` know a command by a name; no arguments at all take the name away.

        Raises:
            Invalid: the command's name or arguments cannot be used; or see `show`.
            Missing: see `show`.
        """
        ...
