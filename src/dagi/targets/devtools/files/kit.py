"""The tools of files, as a kit."""

import asyncio
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any, Final, TypeVar

import msgspec

from dagi.targets.devtools.files.listing import ListGives, ListTakes, list_files
from dagi.targets.devtools.files.moving import DeleteGives, DeleteTakes, MoveGives, MoveTakes, delete, move
from dagi.targets.devtools.files.reading import ReadGives, ReadTakes, read
from dagi.targets.devtools.files.searching import Search, SearchGives, SearchTakes
from dagi.targets.devtools.files.tree import Tree, opened
from dagi.targets.devtools.files.writing import WriteGives, WriteTakes, write
from dagi.targets.devtools.tool import DEFAULT_WORKSPACE, Call, InWorkspace, Tool
from dagi.targets.devtools.workspaces.kernel import Opener, open_beneath
from dagi.targets.devtools.workspaces.threads import to_its_end
from dagi.targets.devtools.workspaces.workspace import Workspace, Workspaces

# Searches take long, and must not take all threads from those who read.
_SEARCHES: Final = 2

TakesT = TypeVar("TakesT", bound=InWorkspace)
GivesT = TypeVar("GivesT", bound=msgspec.Struct)


class FileTools:
    """Reads and changes the files of workspaces."""

    def __init__(self, workspaces: Workspaces, *, opener: Opener = open_beneath) -> None:
        self._workspaces = workspaces
        self._opener = opener
        self._searches = asyncio.Semaphore(_SEARCHES)

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        """The tools of files."""
        return (
            Tool(
                name="fs_read",
                summary="Read a file of the workspace, or some of its lines.",
                takes=ReadTakes,
                gives=ReadGives,
                work=partial(self._reading, read),
            ),
            Tool(
                name="fs_write",
                summary="Write a file of the workspace: as a whole, by exact replacements, or by a unified diff.",
                takes=WriteTakes,
                gives=WriteGives,
                work=self.write,
            ),
            Tool(
                name="fs_list",
                summary="List what is in a directory of the workspace.",
                takes=ListTakes,
                gives=ListGives,
                work=partial(self._reading, list_files),
            ),
            Tool(
                name="fs_search",
                summary="Search the files of the workspace for a text or a regular expression.",
                takes=SearchTakes,
                gives=SearchGives,
                work=self.search,
            ),
            Tool(
                name="fs_move",
                summary="Move or rename a file or directory of the workspace.",
                takes=MoveTakes,
                gives=MoveGives,
                work=partial(self._writing, move),
            ),
            Tool(
                name="fs_delete",
                summary="Delete a file or directory of the workspace.",
                takes=DeleteTakes,
                gives=DeleteGives,
                work=partial(self._writing, delete),
            ),
        )

    async def write(self, call: Call, wanted: WriteTakes) -> WriteGives:
        """fs_write; the workspace `main` is made where the DAO has none of that name."""
        make = wanted.workspace == DEFAULT_WORKSPACE
        workspace = await self._workspaces.find(call.grant.dao_id, wanted.workspace, make=make, made_by=call.grant.user_id)
        return await self._written(workspace, write, wanted)

    async def search(self, call: Call, wanted: SearchTakes) -> SearchGives:
        """fs_search; a few at a time."""
        workspace = await self._workspaces.find(call.grant.dao_id, wanted.workspace)
        cancelled = Event()

        def work() -> SearchGives:
            with opened(workspace.tree, self._opener) as tree:
                return Search(tree, wanted, cancelled.is_set).run()

        async with self._searches, workspace.reading():
            return await to_its_end(work, cancelled.set)

    async def _reading(self, work: Callable[[Tree, TakesT], GivesT], call: Call, wanted: TakesT) -> GivesT:
        workspace = await self._workspaces.find(call.grant.dao_id, wanted.workspace)

        def done() -> GivesT:
            with opened(workspace.tree, self._opener) as tree:
                return work(tree, wanted)

        async with workspace.reading():
            return await to_its_end(done)

    async def _writing(self, work: Callable[[Workspace, Tree, TakesT], GivesT], call: Call, wanted: TakesT) -> GivesT:
        return await self._written(await self._workspaces.find(call.grant.dao_id, wanted.workspace), work, wanted)

    async def _written(self, workspace: Workspace, work: Callable[[Workspace, Tree, TakesT], GivesT], wanted: TakesT) -> GivesT:
        def done() -> GivesT:
            with opened(workspace.tree, self._opener) as tree:
                return work(workspace, tree, wanted)

        async with workspace.writing():
            return await to_its_end(done)
