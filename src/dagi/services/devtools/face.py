"""The devtools service's table of endpoints."""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from dagi.ports.devtools import Tools
from dagi.services.devtools.entrance import Entrance
from dagi.services.devtools.schemas import described
from dagi.services.devtools.tools import PLACES, ToolsFace
from dagi.services.devtools.workspaces import WorkspacesFace
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Request, Table
from dagi.services.openapi import describe
from dagi.services.operations import Operations


class DevtoolsFace(msgspec.Struct, frozen=True, kw_only=True):
    """What the service's endpoints need."""

    entrance: Entrance
    tools: Tools
    workspaces: WorkspacesFace
    operations: Operations
    metrics: Callable[[], bytes]
    url: str
    version: str

    def table(self) -> Table:
        """All endpoints of the service."""
        own = [*ToolsFace(self.entrance, self.tools).endpoints(), *self.workspaces.endpoints()]
        endpoints = [*(self._proven(endpoint) for endpoint in own), *self.operations.endpoints(self.metrics)]
        description: list[bytes] = []
        to_operators = self.operations.for_operators(None, lambda: Answer(body=description[0]))
        endpoints.append(Endpoint(method="GET", path="/openapi.json", handler=to_operators, summary="This description", errors=(401, 403)))
        document = cast("dict[str, Any]", describe(endpoints, title="DAGI Stack devtools", version=self.version, server=self.url))
        description.append(encode(described(document, PLACES, self.tools.tools())))
        return Table(endpoints)

    def _proven(self, endpoint: Endpoint) -> Endpoint:
        """The same, with the caller proven first: nobody unknown learns whether what it sent was of the right form."""
        handler = endpoint.handler

        async def proven(request: Request) -> Answer:
            self.entrance.prove(request)
            return await handler(request)

        return msgspec.structs.replace(endpoint, handler=proven)
