"""The rbac service's table of endpoints."""

from collections.abc import Callable, Sequence

import msgspec

from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Request, Table
from dagi.services.openapi import describe
from dagi.services.operations import Operations
from dagi.services.rbac.audit import AuditFace
from dagi.services.rbac.daos import DaosFace
from dagi.services.rbac.decisions import DecisionsFace
from dagi.services.rbac.door import Door
from dagi.services.rbac.keys import KeysFace
from dagi.services.rbac.members import MembersFace


class RbacFace(msgspec.Struct, frozen=True, kw_only=True):
    """What the service's endpoints need. `further`: endpoints of rooms that administer something of a DAO as well."""

    door: Door
    decisions: DecisionsFace
    daos: DaosFace
    members: MembersFace
    keys: KeysFace
    audit: AuditFace
    operations: Operations
    metrics: Callable[[], bytes]
    url: str
    version: str
    further: Sequence[Endpoint] = ()

    def table(self) -> Table:
        """All endpoints of the service."""
        operations = self.operations
        own = [
            *self.decisions.endpoints(),
            *self.daos.endpoints(),
            *self.members.endpoints(),
            *self.keys.endpoints(),
            *self.audit.endpoints(),
            *self.further,
        ]
        endpoints = [
            *(self._proven(endpoint) for endpoint in own),
            *operations.endpoints(self.metrics),
        ]
        description: list[bytes] = []
        described = operations.for_operators(None, lambda: Answer(body=description[0]))
        endpoints.append(Endpoint(method="GET", path="/openapi.json", handler=described, summary="This description", errors=(401, 403)))
        description.append(encode(describe(endpoints, title="DAGI Stack rbac", version=self.version, server=self.url)))
        return Table(endpoints)

    def _proven(self, endpoint: Endpoint) -> Endpoint:
        """The same, with the caller proven first: nobody unknown learns whether what it sent was of the right form."""
        handler = endpoint.handler
        if endpoint.audience == "public":
            return endpoint

        async def proven(request: Request) -> Answer:
            self.door.caller(request)
            return await handler(request)

        return msgspec.structs.replace(endpoint, handler=proven)
