"""`/rbac/resolve` and `/rbac/check`: what somebody may do in a DAO, and why."""

from typing import Annotated, Final

import msgspec

from dagi.access.entitlements import TOOL_ENTITLEMENTS, is_entitlement
from dagi.access.names import check_dao, check_identity
from dagi.access.signed import Audience, Signer
from dagi.errors import Denied, Invalid
from dagi.message import Grant, covers
from dagi.ports.audit import Denial, Denials
from dagi.ports.clock import Clock
from dagi.ports.members import Members
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request
from dagi.services.rbac.door import Door, Visitor
from dagi.services.reading import checked, query, read

_WHO: Final = {"dao_id": check_dao, "user_id": check_identity}
_ACTION_MAX: Final = 128
_ERRORS: Final = (400, 401, 403, 503)


class Who(msgspec.Struct, forbid_unknown_fields=True):
    """Whose rights, and where. The caller's own, and its key's DAO, where left out."""

    dao_id: str | None = None
    user_id: str | None = None


class ResolveReply(msgspec.Struct):
    """What somebody may do. A DAO that does not exist and one the person is no member of give equal answers."""

    request_id: str
    dao_id: str
    user_id: str
    roles: list[str]
    entitlements: list[str]
    reason: str
    policy_version: int
    decision_id: str


class CheckBody(msgspec.Struct, forbid_unknown_fields=True):
    """A question for a decision."""

    action: Annotated[str, msgspec.Meta(description="An entitlement such as `chat.use`, `workflow.run`, or the name of a tool.")]
    resource: Annotated[str | None, msgspec.Meta(description="What the action is about: of `workflow.run` the workflow's name.")] = None
    subject: Annotated[str | None, msgspec.Meta(description="The account; the caller's own where left out.")] = None
    dao: Annotated[str | None, msgspec.Meta(description="The DAO; the key's own where left out.")] = None
    audience: Annotated[
        Audience | None, msgspec.Meta(description="Sign the grant for this service, where it is allowed: `signed` of the answer.")
    ] = None


class CheckReply(msgspec.Struct):
    """The decision.

    Attributes:
        needs_one_of: roles of the DAO that would do; empty where the person is no member.
        signed: the grant for the service that was named, good for 60 seconds.
    """

    request_id: str
    allow: bool
    reason: str
    needs_one_of: list[str]
    decision_id: str
    roles: list[str]
    entitlement: str | None
    policy_version: int
    signed: str | None = None


class PublicKeyReply(msgspec.Struct):
    """The key by which services check signed grants: Ed25519, 32 bytes in hex."""

    public_key: str


class DecisionsFace:
    """Decides, for the caller itself or for others where it may ask."""

    def __init__(self, door: Door, members: Members, denials: Denials, signer: Signer, clock: Clock) -> None:
        self._door = door
        self._members = members
        self._denials = denials
        self._signer = signer
        self._clock = clock

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        by_query = tuple(Parameter(name=name, description=f"See the body of POST: {name}.") for name in _WHO)
        return (
            Endpoint(
                method="GET",
                path="/rbac/resolve",
                handler=self.resolve_query,
                summary="What somebody may do in a DAO, and why",
                gives=ResolveReply,
                parameters=by_query,
                errors=_ERRORS,
            ),
            Endpoint(
                method="POST",
                path="/rbac/resolve",
                handler=self.resolve,
                summary="What somebody may do in a DAO, and why",
                takes=Who,
                gives=ResolveReply,
                errors=_ERRORS,
            ),
            Endpoint(
                method="POST",
                path="/rbac/check",
                handler=self.check,
                summary="Whether somebody may do something in a DAO; a refusal is put on record",
                takes=CheckBody,
                gives=CheckReply,
                errors=_ERRORS,
            ),
            Endpoint(
                method="GET",
                path="/rbac/public-key",
                handler=self.public_key,
                summary="The key by which signed grants are checked",
                audience="public",
                gives=PublicKeyReply,
            ),
        )

    async def public_key(self, _request: Request) -> Answer:
        """GET /rbac/public-key."""
        return Answer(body=encode(PublicKeyReply(self._signer.public_key.hex())))

    async def resolve_query(self, request: Request) -> Answer:
        """GET /rbac/resolve."""
        values = checked(query(request, tuple(_WHO)), _WHO)
        return self._resolved(request, values.get("dao_id"), values.get("user_id"))

    async def resolve(self, request: Request) -> Answer:
        """POST /rbac/resolve."""
        who = read(Who, request)
        return self._resolved(request, who.dao_id, who.user_id)

    def _resolved(self, request: Request, dao_id: str | None, user_id: str | None) -> Answer:
        grant = self._asked(request, dao_id, user_id)
        reply = ResolveReply(
            request_id=request.id,
            dao_id=grant.dao_id,
            user_id=grant.user_id,
            roles=list(grant.roles),
            entitlements=sorted(grant.entitlements),
            reason=grant.reason,
            policy_version=grant.policy_version,
            decision_id=grant.decision_id,
        )
        return Answer(body=encode(reply))

    async def check(self, request: Request) -> Answer:
        """POST /rbac/check."""
        asked = read(CheckBody, request)
        visitor, grant = self._visited(request, asked.dao, asked.subject)
        if asked.audience is not None and grant.user_id != visitor.user_id and not visitor.acts_as:
            raise Invalid("Grants are signed for the caller itself, and for those it speaks for (act_as).", field="audience")
        entitlement = _entitlement(asked)
        reason, allow = grant.reason, False
        if entitlement is None:
            reason = "unknown_action"
        else:
            try:
                grant.require(entitlement)
                allow = True
            except Denied as denied:
                reason = str(denied.facts["reason"])
                self._denials.denied(Denial.of(denied, grant, request.id, visitor.actor.key_id))
        reply = CheckReply(
            request_id=request.id,
            allow=allow,
            reason=reason,
            needs_one_of=[] if allow or entitlement is None else self._roles_granting(grant, entitlement),
            decision_id=grant.decision_id,
            roles=list(grant.roles),
            entitlement=entitlement,
            policy_version=grant.policy_version,
            signed=self._signed(asked.audience, grant, visitor) if allow else None,
        )
        return Answer(body=encode(reply))

    def _signed(self, audience: Audience | None, grant: Grant, visitor: Visitor) -> str | None:
        return None if audience is None else self._signer.sign(grant, audience, self._clock.now(), visitor.actor.key_id)

    def _asked(self, request: Request, dao_id: str | None, user_id: str | None) -> Grant:
        return self._visited(request, dao_id, user_id)[1]

    def _visited(self, request: Request, dao_id: str | None, user_id: str | None) -> tuple[Visitor, Grant]:
        """Decide about somebody. Of others only those may hear who speak for them, or may read the members."""
        visitor = self._door.enter(request, {}, dao_id)
        subject = visitor.user_id if user_id is None else check_identity(user_id)
        if subject != visitor.user_id and not visitor.acts_as:
            visitor.require("member.read")
        return visitor, self._door.decide(visitor.dao_id, subject)

    def _roles_granting(self, grant: Grant, entitlement: str) -> list[str]:
        if not grant.roles:
            return []
        dao = self._members.standing(grant.dao_id, grant.user_id).dao
        roles = {} if dao is None else dao.roles
        return [role for role, granted in roles.items() if covers(granted, entitlement)]


def _entitlement(asked: CheckBody) -> str | None:
    """The entitlement that an action needs; None for an action nobody knows, which nobody may do."""
    action, resource = asked.action, asked.resource
    if len(action) > _ACTION_MAX or (resource is not None and len(resource) > _ACTION_MAX):
        raise Invalid(f"An action and a resource have at most {_ACTION_MAX} characters.", field="action")
    if action in TOOL_ENTITLEMENTS:
        return TOOL_ENTITLEMENTS[action]
    if action == "workflow.run" and resource:
        action = f"workflow.run:{resource}"
    return action if is_entitlement(action) and action != "workflow.run:*" else None
