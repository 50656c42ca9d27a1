"""`/daos`, `/daos/{dao_id}` and its roles."""

from datetime import datetime
from typing import Final

import msgspec

from dagi.access.entitlements import ADMIN
from dagi.ports.administration import Administration, DaoInfo, RoleInfo
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Request, path_values
from dagi.services.rbac.door import Door, Visitor
from dagi.services.rbac.endpoints import AS, BY_QUERY, DAO, Done, Place
from dagi.services.reading import query, read

DAOS: Final = "/daos"
ROLES: Final = DAO + "/roles"
ROLE: Final = ROLES + "/{role}"


class NewDao(msgspec.Struct, forbid_unknown_fields=True):
    """A DAO to found."""

    id: str
    name: str
    open: bool = False


class DaoChange(msgspec.Struct, forbid_unknown_fields=True):
    """What to change of a DAO; suspending and resuming is the operator's."""

    name: str | None = None
    open: bool | None = None
    suspended: bool | None = None


class DaoBody(msgspec.Struct):
    """A DAO with its numbers."""

    id: str
    name: str
    open: bool
    suspended: bool
    version: int
    members: int
    documents: int
    created_at: datetime


class DaosReply(msgspec.Struct):
    """DAOs, by their ids."""

    request_id: str
    daos: list[DaoBody]


class DaoReply(msgspec.Struct):
    """One DAO."""

    request_id: str
    dao: DaoBody


class RoleEntitlements(msgspec.Struct, forbid_unknown_fields=True):
    """All that a role grants from now on."""

    entitlements: list[str]


class RoleBody(msgspec.Struct):
    """A role, what it grants, and how many persons and usable keys have it."""

    name: str
    entitlements: list[str]
    members: int
    keys: int


class RolesReply(msgspec.Struct):
    """The DAO's roles, strongest first, and every entitlement there is."""

    request_id: str
    dao_id: str
    roles: list[RoleBody]
    entitlements: list[str]


class RoleReply(msgspec.Struct):
    """One role."""

    request_id: str
    role: RoleBody


class DaosFace:
    """DAOs and their roles."""

    def __init__(self, door: Door, administration: Administration) -> None:
        self._door = door
        self._administration = administration

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (
            Place("GET", DAOS).endpoint(self.list, "The DAOs a caller can see", gives=DaosReply),
            Place("POST", DAOS).endpoint(self.found, "Found a DAO (operators)", takes=NewDao, gives=DaoReply),
            Place("GET", DAO).endpoint(self.show, "One DAO", gives=DaoReply),
            Place("PATCH", DAO).endpoint(self.change, "Change a DAO", takes=DaoChange, gives=DaoReply),
            Place("DELETE", DAO).endpoint(self.remove, "Remove a DAO (operators)"),
            Place("GET", "/roles").endpoint(self.roles, "The roles of a DAO, and what each may do", gives=RolesReply, also=(BY_QUERY,)),
            Place("PUT", ROLE).endpoint(self.put_role, "Define a role, or define it anew", takes=RoleEntitlements, gives=RoleReply),
            Place("DELETE", ROLE).endpoint(self.remove_role, "Remove a role"),
        )

    async def list(self, request: Request) -> Answer:
        """GET /daos: all of them on the developer's own machine, the key's own elsewhere."""
        values = query(request, (AS,))
        caller = self._door.caller(request)
        if caller.key is None and AS not in values:
            visible = [_dao(found) for found in await self._administration.daos(self._door.own(caller)).all()]
        else:
            visitor = self._door.enter(request, values)
            visitor.require("member.read")
            visible = [_dao(await self._administration.daos(visitor.actor).show(visitor.dao_id))]
        return Answer(body=encode(DaosReply(request.id, visible)))

    async def found(self, request: Request) -> Answer:
        """POST /daos."""
        values = query(request, (AS,))
        wanted = read(NewDao, request)
        own = self._door.own(self._door.caller(request))
        actor = self._door.enter(request, values, wanted.id).actor if AS in values else own
        made = await self._administration.daos(actor).create(wanted.id, wanted.name, is_open=wanted.open)
        return Answer(body=encode(DaoReply(request.id, _dao(made))))

    async def show(self, request: Request) -> Answer:
        """GET /daos/{dao_id}."""
        visitor = self._enter(request, DAO)
        visitor.require("member.read")
        return Answer(body=encode(DaoReply(request.id, _dao(await self._administration.daos(visitor.actor).show(visitor.dao_id)))))

    async def change(self, request: Request) -> Answer:
        """PATCH /daos/{dao_id}."""
        visitor = self._enter(request, DAO)
        wanted = read(DaoChange, request)
        changed = await self._administration.daos(visitor.actor).update(
            visitor.dao_id, name=wanted.name, is_open=wanted.open, suspended=wanted.suspended
        )
        return Answer(body=encode(DaoReply(request.id, _dao(changed))))

    async def remove(self, request: Request) -> Answer:
        """DELETE /daos/{dao_id}."""
        visitor = self._enter(request, DAO)
        await self._administration.daos(visitor.actor).remove(visitor.dao_id)
        return Answer(body=encode(Done(request.id)))

    async def roles(self, request: Request) -> Answer:
        """GET /roles."""
        values = query(request, ("dao_id", AS))
        visitor = self._door.enter(request, values, values.get("dao_id"))
        visitor.require("member.read")
        roles = [_role(found) for found in await self._administration.roles(visitor.actor).all(visitor.dao_id)]
        return Answer(body=encode(RolesReply(request.id, visitor.dao_id, roles, sorted(ADMIN))))

    async def put_role(self, request: Request) -> Answer:
        """PUT /daos/{dao_id}/roles/{role}."""
        visitor = self._enter(request, ROLE)
        wanted = read(RoleEntitlements, request).entitlements
        role = path_values(ROLE, request.path)["role"]
        made = await self._administration.roles(visitor.actor).put(visitor.dao_id, role, wanted)
        return Answer(body=encode(RoleReply(request.id, _role(made))))

    async def remove_role(self, request: Request) -> Answer:
        """DELETE /daos/{dao_id}/roles/{role}."""
        visitor = self._enter(request, ROLE)
        await self._administration.roles(visitor.actor).remove(visitor.dao_id, path_values(ROLE, request.path)["role"])
        return Answer(body=encode(Done(request.id)))

    def _enter(self, request: Request, template: str) -> Visitor:
        return self._door.enter(request, query(request, (AS,)), path_values(template, request.path)["dao_id"])


def _dao(found: DaoInfo) -> DaoBody:
    return msgspec.convert(found, DaoBody, from_attributes=True)


def _role(found: RoleInfo) -> RoleBody:
    return msgspec.convert(found, RoleBody, from_attributes=True)
