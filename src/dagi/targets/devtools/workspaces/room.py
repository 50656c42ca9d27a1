"""The workspaces as those see them who make them and take them away: the port WorkspaceRoom over the disk."""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from dagi.errors import Invalid, Missing
from dagi.ports.workspaces import Wanted, WorkspaceInfo
from dagi.targets.devtools.workspaces.about import About
from dagi.targets.devtools.workspaces.store import EMPTY, DiskWorkspaces
from dagi.targets.devtools.workspaces.workspace import Quota

# Fetches the address that is wanted into the workspace, which is there and empty.
Clone = Callable[[Wanted], Awaitable[None]]


class DiskRoom:
    """Implements the port WorkspaceRoom.

    Args:
        quota: of workspaces that have none of their own.
        clone: None where nothing can be cloned.
    """

    def __init__(self, workspaces: DiskWorkspaces, quota: Quota, clone: Clone | None = None) -> None:
        self._workspaces = workspaces
        self._quota = quota
        self._clone = clone

    async def templates(self) -> Sequence[str]:
        """See the port."""
        return sorted({EMPTY, *await self._workspaces.templates()})

    async def list(self, dao_id: str) -> Sequence[WorkspaceInfo]:
        """See the port."""
        told: list[WorkspaceInfo] = []
        for about in await self._workspaces.list(dao_id):
            # Removed meanwhile, perhaps while we waited for whoever works in it.
            with suppress(Missing):
                told.append(await self._told(dao_id, about))
        return told

    async def show(self, dao_id: str, name: str) -> WorkspaceInfo:
        """See the port."""
        with _naming():
            return await self._told(dao_id, await self._workspaces.about(dao_id, name))

    async def create(self, wanted: Wanted) -> WorkspaceInfo:
        """See the port. One that could not be cloned is not there afterwards."""
        if wanted.git and wanted.template:
            raise Invalid("A workspace begins with a template or with a repository, not with both.", field="git")
        if wanted.git and self._clone is None:
            sentence = "No repository can be cloned here; an operator says which may be (devtools.git.allowed)."
            raise Invalid(sentence, field="git")
        with _naming():
            made = await self._workspaces.create(
                wanted.dao_id, wanted.name, made_by=wanted.by, template=wanted.template or EMPTY, origin=wanted.git
            )
        if wanted.git and self._clone is not None:
            cloned = False
            try:
                await self._clone(wanted)
                cloned = True
            finally:
                if not cloned:
                    await self._workspaces.delete(wanted.dao_id, wanted.name)
        return await self._told(wanted.dao_id, made.about)

    async def delete(self, dao_id: str, name: str) -> None:
        """See the port."""
        with _naming():
            await self._workspaces.delete(dao_id, name)

    async def set_command(self, dao_id: str, name: str, command: str, argv: Sequence[str]) -> WorkspaceInfo:
        """See the port."""
        with _naming():
            about = await self._workspaces.set_command(dao_id, name, command, tuple(argv))
        return await self._told(dao_id, about)

    async def _told(self, dao_id: str, about: About) -> WorkspaceInfo:
        usage = await self._workspaces.usage(dao_id, about.name)
        quota = about.quota or self._quota
        return WorkspaceInfo(
            name=about.name,
            made_at=datetime.fromisoformat(about.made_at),
            made_by=about.made_by,
            origin=about.origin,
            commands=about.commands,
            bytes=usage.bytes,
            files=usage.files,
            max_bytes=quota.bytes,
            max_files=quota.files,
        )


@contextmanager
def _naming(workspace: str = "name") -> Generator[None]:
    """Tools call what is wrong a parameter of theirs; who makes workspaces has other names for it."""
    try:
        yield
    except Invalid as error:
        field = str(error.facts["field"]).removeprefix("params.")
        error.facts["field"] = workspace if field == "workspace" else "argv" if field.startswith("commands") else field
        raise
