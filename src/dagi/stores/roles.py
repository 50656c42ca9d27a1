"""The repository of a DAO's roles."""

from collections.abc import Sequence

from sqlalchemy import Column, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.actor import Actor
from dagi.access.entitlements import ADMIN, is_entitlement
from dagi.access.names import check_role
from dagi.errors import Conflict, Invalid, Missing
from dagi.ports.administration import RoleInfo
from dagi.ports.clock import Clock
from dagi.stores.changes import STACK, Change, Changes
from dagi.stores.database import Database
from dagi.stores.standings import no_dao, read_roles
from dagi.stores.tables import api_key, dao, invitation, membership, role_entitlement

_MOST_ROLES = 64
_MOST_ENTITLEMENTS = 256
_LONGEST = 200


class RoleAdmin:
    """Implements the port Roles."""

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._database = database
        self._by = by
        self._changes = Changes(database, clock)

    async def all(self, dao_id: str) -> tuple[RoleInfo, ...]:
        """See the port.

        Raises:
            Missing: no such DAO.
        """
        members = select(membership.c.role, func.count(membership.c.person_id.distinct())).where(membership.c.dao_id == dao_id)
        keys = select(api_key.c.role, func.count()).where(api_key.c.dao_id == dao_id, api_key.c.revoked_at.is_(None))
        async with self._database.read(dao_id) as connection:
            if await connection.scalar(select(dao.c.id).where(dao.c.id == dao_id)) is None:
                raise no_dao(dao_id)
            roles = await read_roles(connection, dao_id)
            having = {role: count for role, count in await connection.execute(members.group_by(membership.c.role))}  # noqa: C416 - names it
            opening = {role: count for role, count in await connection.execute(keys.group_by(api_key.c.role))}  # noqa: C416 - the same
        return tuple(
            RoleInfo(name=role, entitlements=tuple(sorted(granted)), members=having.get(role, 0), keys=opening.get(role, 0))
            for role, granted in roles.items()
        )

    async def put(self, dao_id: str, role: str, entitlements: Sequence[str]) -> RoleInfo:
        """See the port.

        Raises:
            Invalid: the role's name has not the form, or something is no entitlement.
            Conflict: nobody would be left who holds all there is in the DAO.
        """
        check_role(role)
        wanted = sorted(dict.fromkeys(entitlements))
        odd = [name for name in wanted if not is_entitlement(name) or len(name) > _LONGEST]
        if odd or not wanted or len(wanted) > _MOST_ENTITLEMENTS:
            what = f"{odd[0][:80]!r} is not an entitlement." if odd else f"A role has 1 to {_MOST_ENTITLEMENTS} entitlements."
            raise Invalid(what, field="entitlements", allowed=[*sorted(ADMIN), "workflow.run:<name>"])
        async with self._changes.of(dao_id, self._by, "config.update") as change, change.keeping_an_admin():
            defined = await change.roles()
            if role not in defined and len(defined) >= _MOST_ROLES:
                raise Conflict(f"The DAO has {_MOST_ROLES} roles already, and there is no room for more.", dao_id=dao_id)
            before = defined.get(role, frozenset())
            change.require_held(before | set(wanted))
            await _forget(change.connection, dao_id, role)
            await change.connection.execute(
                insert(role_entitlement), [{"dao_id": dao_id, "role": role, "entitlement": name} for name in wanted]
            )
            added, removed = sorted(set(wanted) - before), sorted(before - set(wanted))
            await change.record("role.changed" if before else "role.added", role, added=added, removed=removed)
        return next(one for one in await self.all(dao_id) if one.name == role)

    async def remove(self, dao_id: str, role: str) -> None:
        """See the port.

        Raises:
            Missing: the DAO has no such role.
            Conflict: somebody, a key or an invitation has it.
        """
        async with self._changes.of(dao_id, self._by, "config.update") as change, change.keeping_an_admin():
            defined = await change.roles()
            if role not in defined:
                raise Missing(f"The DAO {dao_id} has no role {role[:64]!r}.", role=role[:64], known=sorted(defined))
            change.require_held(defined[role])
            await _require_unused(change, role)
            await _forget(change.connection, dao_id, role)
            await change.record("role.removed", role, removed=sorted(defined[role]))


async def _require_unused(change: Change, role: str) -> None:
    users: tuple[tuple[str, Column[str], Column[str]], ...] = (
        ("members", membership.c.dao_id, membership.c.role),
        ("keys", api_key.c.dao_id, api_key.c.role),
        ("invitations", invitation.c.dao_id, invitation.c.role),
    )
    for what, dao_id, named in users:
        query = select(func.count()).where(dao_id == change.dao_id, named == role)
        if what == "keys":
            query = query.where(api_key.c.revoked_at.is_(None))
        elif what == "invitations":
            query = query.where(invitation.c.revoked_at.is_(None), invitation.c.expires_at > change.now, invitation.c.uses_left > 0)
        count = await change.connection.scalar(query) or 0
        if count:
            raise Conflict(f"The role {role} is in use: {count} {what} have it. Give them another one first.", role=role, **{what: count})


async def _forget(connection: AsyncConnection, dao_id: str, role: str) -> None:
    await connection.execute(delete(role_entitlement).where(role_entitlement.c.dao_id == dao_id, role_entitlement.c.role == role))
