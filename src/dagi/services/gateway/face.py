"""The gateway's table of endpoints."""

from collections.abc import Callable, Sequence

import msgspec

from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Table
from dagi.services.openapi import describe
from dagi.services.operations import Operations


class GatewayFace(msgspec.Struct, frozen=True, kw_only=True):
    """What the service's endpoints need."""

    platforms: Sequence[Endpoint]
    operations: Operations
    metrics: Callable[[], bytes]
    url: str
    version: str

    def table(self) -> Table:
        """All endpoints of the service."""
        described = self.operations.for_operators(None, lambda: Answer(body=description[0]))
        endpoints = [
            *self.platforms,
            *self.operations.endpoints(self.metrics),
            Endpoint(method="GET", path="/openapi.json", handler=described, summary="This description", errors=(401, 403)),
        ]
        description = [encode(describe(endpoints, title="DAGI Stack gateway", version=self.version, server=self.url))]
        return Table(endpoints)
