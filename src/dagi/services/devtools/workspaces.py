"""`/workspaces`: a DAO's workspaces, listed for those who may read them, made and removed by those who configure the DAO."""

import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated, Final, TypeVar

import msgspec

from dagi.access.names import check_dao
from dagi.ports.calls import Called, CallLog, recording
from dagi.ports.workspaces import Wanted, WorkspaceInfo, WorkspaceRoom
from dagi.services.devtools.entrance import Entrance, Guest
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request, path_values
from dagi.services.rbac.endpoints import AS, BEHALF, BY_QUERY, Done
from dagi.services.reading import query, read

T = TypeVar("T")
ALL: Final = "/workspaces"
ONE: Final = ALL + "/{name}"
COMMAND: Final = ONE + "/commands/{command}"
READING: Final = "devtools.read"
MAKING: Final = "config.update"
_QUERY: Final = (AS, BY_QUERY.name)
_SHOWN: Final = 64
_ERRORS: Final = (400, 401, 403, 404, 409, 503)
_PARAMETERS: Final = {
    "name": Parameter(name="name", description="The workspace's name.", place="path"),
    "command": Parameter(name="command", description="The command's name.", place="path"),
}


class NewWorkspace(msgspec.Struct, forbid_unknown_fields=True):
    """A workspace to make: empty where neither a template nor an address is named."""

    name: str
    template: Annotated[str, msgspec.Meta(description="What to copy into it; see `templates` of the list.")] = ""
    git: Annotated[str, msgspec.Meta(description="The address to clone it from; see devtools.git.allowed of the configuration.")] = ""
    dao_id: Annotated[str | None, msgspec.Meta(description="The DAO; the key's own where left out.")] = None


class CommandBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `run_tests` runs when it is told the command's name; nothing takes the name away."""

    argv: Annotated[list[str], msgspec.Meta(description='The program and its arguments, for example ["make", "test"].')]


class WorkspacesReply(msgspec.Struct):
    """A DAO's workspaces, and what a new one may begin with."""

    request_id: str
    dao_id: str
    workspaces: list[WorkspaceInfo]
    templates: list[str]


class WorkspaceReply(msgspec.Struct):
    """One workspace."""

    request_id: str
    dao_id: str
    workspace: WorkspaceInfo


class WorkspacesFace:
    """Decodes, has it done, encodes; what changes anything is on record before it is answered."""

    def __init__(self, entrance: Entrance, room: WorkspaceRoom, calls: CallLog) -> None:
        self._entrance = entrance
        self._room = room
        self._calls = calls

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (
            _endpoint("GET", ALL, self.list, "The DAO's workspaces", gives=WorkspacesReply),
            _endpoint("POST", ALL, self.create, "Make a workspace", gives=WorkspaceReply, takes=NewWorkspace),
            _endpoint("GET", ONE, self.show, "One workspace", gives=WorkspaceReply),
            _endpoint("DELETE", ONE, self.delete, "Remove a workspace with all it holds", gives=Done),
            _endpoint("PUT", COMMAND, self.command, "Name a command for run_tests", gives=WorkspaceReply, takes=CommandBody),
        )

    async def list(self, request: Request) -> Answer:
        """GET /workspaces."""
        guest = self._enter(request, READING)
        found = await self._room.list(guest.grant.dao_id)
        return Answer(body=encode(WorkspacesReply(request.id, guest.grant.dao_id, list(found), list(await self._room.templates()))))

    async def show(self, request: Request) -> Answer:
        """GET /workspaces/{name}."""
        guest = self._enter(request, READING)
        return _told(request, guest, await self._room.show(guest.grant.dao_id, _name(ONE, request)))

    async def create(self, request: Request) -> Answer:
        """POST /workspaces."""
        self._entrance.prove(request)
        asked = read(NewWorkspace, request)
        guest = self._entrance.enter(request, query(request, (AS,)), asked.dao_id)
        guest.require(MAKING)
        by = guest.grant
        wanted = Wanted(dao_id=by.dao_id, name=asked.name, template=asked.template, git=asked.git, by=by.user_id)
        made = await self._recorded(request, guest, "workspace.created", asked.name, lambda: self._room.create(wanted))
        return _told(request, guest, made)

    async def delete(self, request: Request) -> Answer:
        """DELETE /workspaces/{name}."""
        guest, name = self._enter(request, MAKING), _name(ONE, request)
        await self._recorded(request, guest, "workspace.deleted", name, lambda: self._room.delete(guest.grant.dao_id, name))
        return Answer(body=encode(Done(request.id)))

    async def command(self, request: Request) -> Answer:
        """PUT /workspaces/{name}/commands/{command}."""
        guest, name = self._enter(request, MAKING), _name(COMMAND, request)
        argv, command = read(CommandBody, request).argv, path_values(COMMAND, request.path)["command"]
        set_it = self._room.set_command
        found = await self._recorded(request, guest, "workspace.command_set", name, lambda: set_it(guest.grant.dao_id, name, command, argv))
        return _told(request, guest, found)

    def _enter(self, request: Request, entitlement: str) -> Guest:
        values = query(request, _QUERY)
        dao_id = values.get(BY_QUERY.name)
        guest = self._entrance.enter(request, values, None if dao_id is None else check_dao(dao_id))
        guest.require(entitlement)
        return guest

    async def _recorded(self, request: Request, guest: Guest, action: str, name: str, work: Callable[[], Awaitable[T]]) -> T:
        call = Called(
            request_id=request.id,
            dao_id=guest.grant.dao_id,
            user_id=guest.grant.user_id,
            key_id=guest.key_id,
            action=action,
            workspace=name[:_SHOWN].encode("ascii", "replace").decode(),
            decision_id=guest.grant.decision_id,
            digest=sha256(request.body).hexdigest(),
        )
        with recording(self._calls, call, time.monotonic):
            result = await work()
        await self._calls.saved()
        return result


def _endpoint(
    method: str, path: str, handler: Callable[[Request], Awaitable[Answer]], summary: str, *, gives: type, takes: type | None = None
) -> Endpoint:
    named = [_PARAMETERS[name] for name in path_values(path, path)]
    by_query = () if path == ALL and method == "POST" else (BY_QUERY,)
    need = READING if method == "GET" else MAKING
    return Endpoint(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        description=f"Needs the entitlement `{need}`.",
        takes=takes,
        gives=gives,
        parameters=(*named, BEHALF, *by_query),
        errors=_ERRORS,
    )


def _name(template: str, request: Request) -> str:
    return path_values(template, request.path)["name"]


def _told(request: Request, guest: Guest, found: WorkspaceInfo) -> Answer:
    return Answer(body=encode(WorkspaceReply(request.id, guest.grant.dao_id, found)))
