"""`/daos/{dao_id}/audit`: what was changed and what was denied, and whether the record is whole."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from dagi.access.names import check_identity
from dagi.errors import Invalid
from dagi.ports.audit import ACTION_MAX, AuditLog, AuditQuery
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request, path_values
from dagi.services.rbac.door import Door, Visitor
from dagi.services.rbac.endpoints import AS, DAO, Place
from dagi.services.reading import number, query, read_outcome, time

AUDIT: Final = DAO + "/audit"
VERIFY: Final = AUDIT + "/verify"
MOST: Final = 1_000
_USUAL: Final = 100
_PARAMETERS: Final = (
    Parameter(name="action", description="Only records of this action, for example member.added."),
    Parameter(name="outcome", description="Only what was done, or only what was denied.", schema={"enum": ["done", "denied"]}),
    Parameter(name="user", description="Only what an account did, or was the subject of."),
    Parameter(name="since", description="Only from this time on, for example 2026-12-31T18:00:00Z."),
    Parameter(name="before", description="Only records with smaller numbers: the next page.", schema={"type": "integer", "minimum": 1}),
    Parameter(
        name="limit", description="How many, the newest.", schema={"type": "integer", "minimum": 1, "maximum": MOST, "default": _USUAL}
    ),
)
_KNOWN: Final = (AS, *(parameter.name for parameter in _PARAMETERS))


class AuditBody(msgspec.Struct):
    """One record. `actor`, `subject` and `details` are null where they were erased; the hash stays."""

    seq: int
    at: datetime
    action: str
    outcome: str
    decision_id: str
    actor: str | None
    key_id: str | None
    subject: str | None
    details: dict[str, object] | None
    hash: str


class AuditReply(msgspec.Struct):
    """Records, newest first."""

    request_id: str
    dao_id: str
    records: list[AuditBody]


class FindingBody(msgspec.Struct):
    """Something wrong at a record's number."""

    seq: int
    what: str


class VerifyReply(msgspec.Struct):
    """What verification has found; `head` is the number and the hash of the newest record, to be kept elsewhere."""

    request_id: str
    dao_id: str
    whole: bool
    records: int
    erased: int
    findings: list[FindingBody]
    head: str


class AuditFace:
    """The audit of a DAO, for those with `audit.read`."""

    def __init__(self, door: Door, audit: AuditLog) -> None:
        self._door = door
        self._audit = audit

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (
            Place("GET", AUDIT).endpoint(self.list, "What was changed and denied", gives=AuditReply, also=_PARAMETERS),
            Place("GET", VERIFY).endpoint(self.verify, "Whether the record is whole", gives=VerifyReply),
        )

    async def list(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/audit."""
        values = query(request, _KNOWN)
        visitor = self._enter(request, AUDIT, values)
        wanted = AuditQuery(
            dao_id=visitor.dao_id,
            action=values.get("action"),
            outcome=read_outcome(values.get("outcome")),
            involving=check_identity(values["user"], "user") if "user" in values else None,
            since=time(values.get("since"), "since"),
            before=number(values, "before", usual=0, most=10**15) or None,
            limit=number(values, "limit", usual=_USUAL, most=MOST),
        )
        if wanted.action is not None and len(wanted.action) > ACTION_MAX:
            raise Invalid("No action has so long a name.", field="action")
        records = [msgspec.convert(one, AuditBody, from_attributes=True) for one in await self._audit.list(wanted)]
        return Answer(body=encode(AuditReply(request.id, visitor.dao_id, records)))

    async def verify(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/audit/verify."""
        visitor = self._enter(request, VERIFY, query(request, (AS,)))
        found = await self._audit.verify(visitor.dao_id)
        reply = VerifyReply(
            request_id=request.id,
            dao_id=visitor.dao_id,
            whole=not found.findings,
            records=found.records,
            erased=found.erased,
            findings=[FindingBody(one.seq, one.what) for one in found.findings],
            head=found.heads.get(visitor.dao_id, ""),
        )
        return Answer(body=encode(reply))

    def _enter(self, request: Request, template: str, values: Mapping[str, str]) -> Visitor:
        visitor = self._door.enter(request, values, path_values(template, request.path)["dao_id"])
        visitor.require("audit.read")
        return visitor
