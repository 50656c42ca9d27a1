"""Workspaces in memory, of which only the names matter."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from dagi.errors import Conflict, Missing
from dagi.ports.workspaces import Wanted, WorkspaceInfo

_MADE = datetime(2026, 11, 23, tzinfo=UTC)


class FakeRoom:
    """Implements the port WorkspaceRoom. `found`: the workspaces by DAO and name."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], WorkspaceInfo] = {}

    async def templates(self) -> Sequence[str]:
        """See the port."""
        return ("python",)

    async def list(self, dao_id: str) -> Sequence[WorkspaceInfo]:
        """See the port."""
        return [info for (dao, _), info in sorted(self.found.items()) if dao == dao_id]

    async def show(self, dao_id: str, name: str) -> WorkspaceInfo:
        """See the port."""
        if (dao_id, name) not in self.found:
            raise Missing(f"The DAO has no workspace {name!r}.", workspace=name)
        return self.found[dao_id, name]

    async def create(self, wanted: Wanted) -> WorkspaceInfo:
        """See the port."""
        if (wanted.dao_id, wanted.name) in self.found:
            raise Conflict("There is a workspace of that name.", workspace=wanted.name)
        origin = wanted.template or wanted.git or "empty"
        info = WorkspaceInfo(name=wanted.name, made_at=_MADE, made_by=wanted.by, origin=origin)
        self.found[wanted.dao_id, wanted.name] = info
        return info

    async def delete(self, dao_id: str, name: str) -> None:
        """See the port."""
        await self.show(dao_id, name)
        del self.found[dao_id, name]

    async def set_command(self, dao_id: str, name: str, command: str, argv: Sequence[str]) -> WorkspaceInfo:
        """See the port."""
        info = await self.show(dao_id, name)
        commands = {**info.commands, command: tuple(argv)} if argv else {key: one for key, one in info.commands.items() if key != command}
        self.found[dao_id, name] = changed = msgspec.structs.replace(info, commands=commands)
        return changed
