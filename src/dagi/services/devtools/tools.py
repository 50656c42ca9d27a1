"""`/fs/*`, `/ci/run-tests`, `/git/*`, `/notebook/execute` and `/tools`: each tool's parameters in, its result out."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from dagi.access.names import check_dao
from dagi.errors import Invalid, UnsupportedMediaType
from dagi.ports.devtools import Hear, Order, ToolInfo, Tools
from dagi.services.devtools.entrance import Entrance, Guest
from dagi.services.devtools.progress import streamed, whole
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request, path_values
from dagi.services.rbac.endpoints import AS, BEHALF
from dagi.services.reading import query, read

PLACES: Final[Mapping[str, str]] = {
    "/fs/read": "fs_read",
    "/fs/write": "fs_write",
    "/fs/list": "fs_list",
    "/fs/search": "fs_search",
    "/fs/move": "fs_move",
    "/fs/delete": "fs_delete",
    "/ci/run-tests": "run_tests",
    "/git/status": "git_status",
    "/git/diff": "git_diff",
    "/git/log": "git_log",
    "/git/commit": "git_commit",
    "/git/branch": "git_branch",
    "/git/worktree": "git_worktree",
    "/notebook/execute": "notebook_execute",
}
TOOL: Final = "/tools/{name}"
_ERRORS: Final = (400, 401, 403, 404, 409, 412, 413, 503)
_EVENTS: Final = b"text/event-stream"
_STREAM: Final = (
    "With `stream: true` or `Accept: text/event-stream` the answer is `text/event-stream`; every frame is `data: {…}` and a blank line, "
    "with a `type`: `progress` (`kind` tells of what), and one of `end` (the whole answer) or `error` (as an error body) as the last. "
    "Frames that begin with a colon only say that the tool is still at work."
)


class ToolBody(msgspec.Struct, forbid_unknown_fields=True):
    """A call of any tool. `params` are the tool's own."""

    params: dict[str, object] = {}
    dao_id: Annotated[str | None, msgspec.Meta(description="The DAO; the key's or the signed grant's own where left out.")] = None
    stream: Annotated[bool, msgspec.Meta(description="Answer as server-sent events.")] = False


class ToolReply(msgspec.Struct):
    """What a tool gave; `result` has the form that `GET /tools` tells."""

    request_id: str
    tool: str
    result: dict[str, object]
    status: Literal["success"] = "success"


class ToolsReply(msgspec.Struct):
    """All tools, with the JSON Schemas of what they take and give."""

    request_id: str
    tools: list[ToolInfo]


class ToolsFace:
    """Decodes, has the tool do it, encodes."""

    def __init__(self, entrance: Entrance, tools: Tools) -> None:
        self._entrance = entrance
        self._tools = tools

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        summaries = {tool.name: tool.summary for tool in self._tools.tools()}
        return (
            *(self._own(path, tool, summaries.get(tool, "")) for path, tool in PLACES.items()),
            Endpoint(method="GET", path="/tools", handler=self.list, summary="All tools", gives=ToolsReply, errors=(401,)),
            Endpoint(
                method="POST",
                path=TOOL,
                handler=self.call,
                summary="Call a tool by its name",
                description=_STREAM,
                takes=ToolBody,
                gives=ToolReply,
                stream=True,
                errors=_ERRORS,
                parameters=(Parameter(name="name", description="The tool's name.", place="path"), BEHALF),
            ),
        )

    def _own(self, path: str, tool: str, summary: str) -> Endpoint:
        async def handler(request: Request) -> Answer:
            given = dict(read(dict[str, object], request)) if request.body else {}
            dao_id, stream = given.pop("dao_id", None), given.pop("stream", False)
            if not isinstance(dao_id, str | None):
                raise Invalid("dao_id must be a text.", field="dao_id")
            if not isinstance(stream, bool):
                raise Invalid("stream must be true or false.", field="stream")
            return await self._called(request, tool, ToolBody(given, dao_id, stream))

        return Endpoint(
            method="POST",
            path=path,
            handler=handler,
            summary=summary or f"Call {tool}",
            description=_STREAM,
            takes=ToolBody,
            gives=ToolReply,
            stream=True,
            errors=_ERRORS,
            parameters=(BEHALF,),
        )

    async def list(self, request: Request) -> Answer:
        """GET /tools."""
        return Answer(body=encode(ToolsReply(request.id, list(self._tools.tools()))))

    async def call(self, request: Request) -> Answer:
        """POST /tools/{name}."""
        return await self._called(request, path_values(TOOL, request.path)["name"], read(ToolBody, request))

    async def _called(self, request: Request, tool: str, body: ToolBody) -> Answer:
        guest = self._guest(request, body)
        order = Order(id=request.id, tool=tool, params=body.params, grant=guest.grant, key_id=guest.key_id)
        told = {"request_id": request.id, "tool": tool}

        async def work(hear: Hear) -> Mapping[str, object]:
            return await self._tools.call(order, hear)

        if body.stream or _EVENTS in request.headers.get(b"accept", b""):
            return streamed(work, told, request.id)
        return await whole(work, told)

    def _guest(self, request: Request, body: ToolBody) -> Guest:
        if request.headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedMediaType("Send the body as it is, without content-encoding.")
        dao_id = None if body.dao_id is None else check_dao(body.dao_id)
        return self._entrance.enter(request, query(request, (AS,)), dao_id)
