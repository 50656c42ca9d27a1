"""`/daos/{dao_id}/members`, `/daos/{dao_id}/invitations` and `/invitations/accept`."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from dagi.access.names import check_identity
from dagi.ports.administration import Administration, InvitationInfo, MemberInfo
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Request, path_values
from dagi.services.rbac.door import Door, Visitor
from dagi.services.rbac.endpoints import AS, BY_QUERY, DAO, Done, Place
from dagi.services.reading import later, query, read, time

MEMBERS: Final = DAO + "/members"
MEMBER: Final = MEMBERS + "/{user_id}"
INVITATIONS: Final = DAO + "/invitations"
INVITATION: Final = INVITATIONS + "/{invitation_id}"
ACCEPT: Final = "/invitations/accept"
NEVER: Final = "never"
_UNTIL: Final = "A time with its zone, for example 2026-12-31T18:00:00Z"


class NewMember(msgspec.Struct, forbid_unknown_fields=True):
    """A person to take in."""

    user_id: str
    roles: list[str]
    name: str = ""
    expires_at: Annotated[str | None, msgspec.Meta(description=f"{_UNTIL}; the membership lasts where left out.")] = None


class MemberChange(msgspec.Struct, forbid_unknown_fields=True):
    """What to change of a membership; roles replace those held."""

    roles: list[str] | None = None
    suspended: bool | None = None
    expires_at: Annotated[str | None, msgspec.Meta(description=f"{_UNTIL}; or `never`.")] = None


class MemberBody(msgspec.Struct):
    """A person's membership; `sources` says of each role who gives it: manual, invitation, import, token."""

    person_id: str
    name: str
    identities: list[str]
    roles: list[str]
    sources: list[str]
    suspended: bool
    expires_at: datetime | None


class MembersReply(msgspec.Struct):
    """The members of a DAO."""

    request_id: str
    dao_id: str
    members: list[MemberBody]


class MemberReply(msgspec.Struct):
    """One member."""

    request_id: str
    dao_id: str
    member: MemberBody


class NewInvitationBody(msgspec.Struct, forbid_unknown_fields=True):
    """An invitation to make. Times have their zone."""

    role: str
    expires_at: Annotated[str, msgspec.Meta(description=f"{_UNTIL}.")]
    uses: int = 1
    label: str = ""
    member_until: Annotated[str | None, msgspec.Meta(description="When the memberships end that it makes.")] = None


class InvitationMade(msgspec.Struct):
    """An invitation; its code is shown this once."""

    request_id: str
    id: str
    code: str
    dao_id: str
    role: str
    uses: int
    expires_at: datetime


class InvitationBody(msgspec.Struct):
    """An invitation as it may be listed."""

    id: str
    role: str
    label: str
    uses_left: int
    made_by: str
    expires_at: datetime
    member_until: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class InvitationsReply(msgspec.Struct):
    """The DAO's invitations, newest first."""

    request_id: str
    dao_id: str
    invitations: list[InvitationBody]


class AcceptBody(msgspec.Struct, forbid_unknown_fields=True):
    """The code of an invitation."""

    code: str


class MembersFace:
    """Members of DAOs, and how they are invited."""

    def __init__(self, door: Door, administration: Administration) -> None:
        self._door = door
        self._administration = administration

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (*self._of_members(), *self._of_invitations())

    def _of_members(self) -> tuple[Endpoint, ...]:
        return (
            Place("GET", MEMBERS).endpoint(self.list, "Members", gives=MembersReply),
            Place("POST", MEMBERS).endpoint(self.create, "Take a person in", takes=NewMember, gives=MemberReply),
            Place("GET", MEMBER).endpoint(self.show, "One member", gives=MemberReply),
            Place("PATCH", MEMBER).endpoint(self.change, "Change roles or expiry, suspend, resume", takes=MemberChange, gives=MemberReply),
            Place("DELETE", MEMBER).endpoint(self.remove, "End a membership; everybody may end their own"),
        )

    def _of_invitations(self) -> tuple[Endpoint, ...]:
        return (
            Place("GET", INVITATIONS).endpoint(self.invitations, "Invitations", gives=InvitationsReply),
            Place("POST", INVITATIONS).endpoint(self.invite, "Make an invitation", takes=NewInvitationBody, gives=InvitationMade),
            Place("DELETE", INVITATION).endpoint(self.withdraw, "Withdraw an invitation"),
            Place("POST", ACCEPT).endpoint(self.accept, "Accept an invitation", takes=AcceptBody, gives=MemberReply, also=(BY_QUERY,)),
        )

    async def list(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/members."""
        visitor = self._enter(request, MEMBERS)
        visitor.require("member.read")
        found = await self._administration.members(visitor.actor).all(visitor.dao_id)
        return Answer(body=encode(MembersReply(request.id, visitor.dao_id, [_member(one) for one in found])))

    async def create(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/members."""
        visitor = self._enter(request, MEMBERS)
        wanted = read(NewMember, request)
        made = await self._administration.members(visitor.actor).create(
            visitor.dao_id, wanted.user_id, wanted.roles, name=wanted.name, expires_at=time(wanted.expires_at, "expires_at")
        )
        return self._one(request, made)

    async def show(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/members/{user_id}."""
        visitor, user_id = self._enter_for(request)
        if user_id != visitor.user_id:
            visitor.require("member.read")
        return self._one(request, await self._administration.members(visitor.actor).show(visitor.dao_id, user_id))

    async def change(self, request: Request) -> Answer:
        """PATCH /daos/{dao_id}/members/{user_id}."""
        visitor, user_id = self._enter_for(request)
        wanted = read(MemberChange, request)
        until = None if wanted.expires_at == NEVER else time(wanted.expires_at, "expires_at")
        ends = msgspec.UNSET if wanted.expires_at is None else until
        changed = await self._administration.members(visitor.actor).update(
            visitor.dao_id,
            user_id,
            roles=wanted.roles,
            suspended=wanted.suspended,
            expires_at=ends,
        )
        return self._one(request, changed)

    async def remove(self, request: Request) -> Answer:
        """DELETE /daos/{dao_id}/members/{user_id}."""
        visitor, user_id = self._enter_for(request)
        await self._administration.members(visitor.actor).remove(visitor.dao_id, user_id)
        return Answer(body=encode(Done(request.id)))

    async def invitations(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/invitations."""
        visitor = self._enter(request, INVITATIONS)
        visitor.require("member.manage")
        found = await self._administration.invitations(visitor.actor).all(visitor.dao_id)
        return Answer(body=encode(InvitationsReply(request.id, visitor.dao_id, [_invitation(one) for one in found])))

    async def invite(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/invitations."""
        visitor = self._enter(request, INVITATIONS)
        wanted = read(NewInvitationBody, request)
        made = await self._administration.invitations(visitor.actor).create(
            visitor.dao_id,
            wanted.role,
            uses=wanted.uses,
            expires_at=later(wanted.expires_at, "expires_at"),
            label=wanted.label,
            member_until=time(wanted.member_until, "member_until"),
        )
        return Answer(body=encode(InvitationMade(request.id, **msgspec.structs.asdict(made))))

    async def withdraw(self, request: Request) -> Answer:
        """DELETE /daos/{dao_id}/invitations/{invitation_id}."""
        visitor = self._enter(request, INVITATION)
        invitation_id = path_values(INVITATION, request.path)["invitation_id"]
        await self._administration.invitations(visitor.actor).revoke(visitor.dao_id, invitation_id)
        return Answer(body=encode(Done(request.id)))

    async def accept(self, request: Request) -> Answer:
        """POST /invitations/accept: the code has to be of the caller's own DAO."""
        values = query(request, ("dao_id", AS))
        visitor = self._door.enter(request, values, values.get("dao_id"))
        code = read(AcceptBody, request).code
        joined = await self._administration.invitations(visitor.actor).accept(code, visitor.user_id, visitor.dao_id)
        return self._one(request, joined)

    def _enter(self, request: Request, template: str) -> Visitor:
        return self._door.enter(request, query(request, (AS,)), path_values(template, request.path)["dao_id"])

    def _enter_for(self, request: Request) -> tuple[Visitor, str]:
        return self._enter(request, MEMBER), check_identity(path_values(MEMBER, request.path)["user_id"])

    def _one(self, request: Request, found: MemberInfo) -> Answer:
        return Answer(body=encode(MemberReply(request.id, found.dao_id, _member(found))))


def _member(found: MemberInfo) -> MemberBody:
    return msgspec.convert(found, MemberBody, from_attributes=True)


def _invitation(found: InvitationInfo) -> InvitationBody:
    return msgspec.convert(found, InvitationBody, from_attributes=True)
