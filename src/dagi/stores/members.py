"""The repository of DAOs, people and memberships. Every change bumps the DAO's version, by which other processes notice it."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.entitlements import DEFAULT_ROLES
from dagi.access.names import check_dao, check_identity, check_name
from dagi.errors import Conflict, Invalid, Missing
from dagi.ports.clock import Clock
from dagi.stores.database import Database
from dagi.stores.tables import dao, document, identity, membership, person, role_entitlement


class DaoInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A DAO with its numbers."""

    id: str
    name: str
    open: bool
    suspended: bool
    version: int
    members: int
    documents: int
    created_at: datetime


class MemberInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A person's membership: all accounts and all roles."""

    dao_id: str
    person_id: str
    name: str
    identities: tuple[str, ...]
    roles: tuple[str, ...]
    suspended: bool
    expires_at: datetime | None


async def touch(connection: AsyncConnection, dao_id: str) -> None:
    """Say that something about the DAO's rights has changed."""
    await connection.execute(update(dao).where(dao.c.id == dao_id).values(version=dao.c.version + 1))


class Daos:
    """DAOs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, dao_id: str, name: str, *, is_open: bool = False) -> DaoInfo:
        """Found a DAO with the four default roles.

        Raises:
            Invalid: the id or the name has not the form it needs.
            Conflict: the DAO exists.
        """
        check_dao(dao_id)
        now = self._clock.now()
        # Versions begin at the time of founding: a DAO removed and founded again must not look unchanged.
        version = int(now.timestamp() * 1000)
        row = {"id": dao_id, "name": check_name(name), "open": is_open, "version": version, "facts_version": version, "created_at": now}
        grants = [
            {"dao_id": dao_id, "role": role, "entitlement": entitlement}
            for role, entitlements in DEFAULT_ROLES.items()
            for entitlement in sorted(entitlements)
        ]
        async with self._database.write() as connection:
            try:
                await connection.execute(insert(dao).values(**row))
            except IntegrityError as error:
                raise Conflict(f"The DAO {dao_id} exists already.", dao_id=dao_id) from error
            await connection.execute(insert(role_entitlement), grants)
        return await self.show(dao_id)

    async def all(self) -> tuple[DaoInfo, ...]:
        """All DAOs by id."""
        return await self._select(None)

    async def show(self, dao_id: str) -> DaoInfo:
        """One DAO.

        Raises:
            Missing: there is none of that id.
        """
        found = await self._select(dao_id)
        if not found:
            raise Missing(f"There is no DAO {dao_id!r}. `dagi dao list` shows those that exist.", dao_id=dao_id)
        return found[0]

    async def update(self, dao_id: str, *, name: str | None = None, is_open: bool | None = None, suspended: bool | None = None) -> DaoInfo:
        """Change what is not None.

        Raises:
            Missing: no such DAO.
            Invalid: nothing to change, or a name of the wrong form.
        """
        values: dict[str, object] = {}
        if name is not None:
            values["name"] = check_name(name)
        if is_open is not None:
            values["open"] = is_open
        if suspended is not None:
            values["suspended"] = suspended
        if not values:
            raise Invalid("There is nothing to change: name what should.", field="name")
        async with self._database.write() as connection:
            await connection.execute(update(dao).where(dao.c.id == dao_id).values(**values))
            await touch(connection, dao_id)
        return await self.show(dao_id)

    async def remove(self, dao_id: str) -> None:
        """Remove a DAO with its memberships, keys and documents. Its exchanges stay until their retention ends.

        Raises:
            Missing: no such DAO.
        """
        await self.show(dao_id)
        async with self._database.write() as connection:
            await connection.execute(delete(dao).where(dao.c.id == dao_id))

    async def _select(self, dao_id: str | None) -> tuple[DaoInfo, ...]:
        members = select(func.count(membership.c.person_id.distinct())).where(membership.c.dao_id == dao.c.id).scalar_subquery()
        documents = select(func.count()).select_from(document).where(document.c.dao_id == dao.c.id).scalar_subquery()
        query = select(
            dao.c.id,
            dao.c.name,
            dao.c.open,
            dao.c.suspended,
            dao.c.version,
            dao.c.created_at,
            members.label("members"),
            documents.label("documents"),
        ).order_by(dao.c.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query if dao_id is None else query.where(dao.c.id == dao_id))).mappings().all()
        return tuple(DaoInfo(**row) for row in rows)


class MemberAdmin:
    """Memberships of people, named by any of their accounts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self, dao_id: str, user_id: str, roles: Sequence[str], *, name: str = "", expires_at: datetime | None = None
    ) -> MemberInfo:
        """Take a person into a DAO; the account is made known when it is new.

        Raises:
            Invalid: the account has not the right form, or the DAO lacks one of the roles.
            Missing: no such DAO.
            Conflict: the person is a member already.
        """
        check_identity(user_id)
        async with self._database.write() as connection:
            await _check_roles(connection, dao_id, roles)
            person_id = await self._person(connection, user_id, name)
            if await _roles_of(connection, dao_id, person_id):
                raise Conflict(f"{user_id} is a member of {dao_id} already; `dagi member update` changes roles.", user_id=user_id)
            row = {"dao_id": dao_id, "person_id": person_id, "expires_at": expires_at, "created_at": self._clock.now()}
            await _insert(connection, roles, row)
            await touch(connection, dao_id)
        return await self.show(dao_id, user_id)

    async def update(
        self,
        dao_id: str,
        user_id: str,
        *,
        roles: Sequence[str] | None = None,
        suspended: bool | None = None,
        expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> MemberInfo:
        """Change what is given; roles replace the ones the person has, and `expires_at=None` lets the membership last for ever.

        Raises:
            Missing: not a member.
            Invalid: the DAO lacks one of the roles.
        """
        of_user = select(identity.c.person_id).where(identity.c.id == user_id).scalar_subquery()
        theirs = (membership.c.dao_id == dao_id) & (membership.c.person_id == of_user)
        async with self._database.write() as connection:
            was = (await connection.execute(select(membership).where(theirs))).all()
            if not was:
                raise _no_member(dao_id, user_id)
            wanted = [held.role for held in was] if roles is None else roles
            await _check_roles(connection, dao_id, wanted)
            await connection.execute(delete(membership).where(theirs))
            row = {
                "dao_id": dao_id,
                "person_id": was[0].person_id,
                "suspended": was[0].suspended if suspended is None else suspended,
                "expires_at": was[0].expires_at if expires_at is msgspec.UNSET else expires_at,
                "created_at": min(held.created_at for held in was),
            }
            await _insert(connection, wanted, row)
            await touch(connection, dao_id)
        return await self.show(dao_id, user_id)

    async def remove(self, dao_id: str, user_id: str) -> None:
        """End a membership.

        Raises:
            Missing: not a member.
        """
        was = await self.show(dao_id, user_id)
        async with self._database.write() as connection:
            await connection.execute(
                delete(membership).where(membership.c.dao_id == dao_id, membership.c.person_id == was.person_id),
            )
            await touch(connection, dao_id)

    async def show(self, dao_id: str, user_id: str) -> MemberInfo:
        """One member.

        Raises:
            Missing: not a member, or no such DAO.
        """
        async with self._database.read() as connection:
            person_id = await connection.scalar(select(identity.c.person_id).where(identity.c.id == user_id))
        found = [] if person_id is None else await self._select(dao_id, person_id)
        if not found:
            raise _no_member(dao_id, user_id)
        return found[0]

    async def all(self, dao_id: str) -> tuple[MemberInfo, ...]:
        """All members of a DAO.

        Raises:
            Missing: no such DAO.
        """
        async with self._database.read() as connection:
            await _check_dao_exists(connection, dao_id)
        return tuple(await self._select(dao_id, None))

    async def _person(self, connection: AsyncConnection, user_id: str, name: str) -> str:
        known = await connection.scalar(select(identity.c.person_id).where(identity.c.id == user_id))
        if known is not None:
            return str(known)
        person_id, now = str(uuid.uuid4()), self._clock.now()
        shown = check_name(name) if name else ""
        await connection.execute(insert(person).values(id=person_id, name=shown, created_at=now))
        await connection.execute(insert(identity).values(id=user_id, person_id=person_id, created_at=now))
        return person_id

    async def _select(self, dao_id: str, person_id: str | None) -> list[MemberInfo]:
        rows_query = (
            select(membership.c.person_id, membership.c.role, membership.c.suspended, membership.c.expires_at, person.c.name)
            .join(person, person.c.id == membership.c.person_id)
            .where(membership.c.dao_id == dao_id)
            .order_by(person.c.created_at, person.c.id, membership.c.role)
        )
        accounts_query = (
            select(identity.c.person_id, identity.c.id)
            .where(identity.c.person_id.in_(select(membership.c.person_id).where(membership.c.dao_id == dao_id)))
            .order_by(identity.c.id)
        )
        if person_id is not None:
            rows_query = rows_query.where(membership.c.person_id == person_id)
            accounts_query = accounts_query.where(identity.c.person_id == person_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(rows_query)).all()
            accounts = (await connection.execute(accounts_query)).all()
        by_person: dict[str, list[str]] = {}
        for owner, account in accounts:
            by_person.setdefault(owner, []).append(account)
        members: dict[str, MemberInfo] = {}
        for owner, role, suspended, expires_at, name in rows:
            known = members.get(owner)
            members[owner] = MemberInfo(
                dao_id=dao_id,
                person_id=owner,
                name=name,
                identities=tuple(by_person.get(owner, ())),
                roles=(*(known.roles if known else ()), role),
                suspended=suspended,
                expires_at=expires_at,
            )
        return list(members.values())


def _no_member(dao_id: str, user_id: str) -> Missing:
    return Missing(f"{user_id} is not a member of {dao_id}. `dagi member list` shows the members.", user_id=user_id)


async def _insert(connection: AsyncConnection, roles: Sequence[str], row: Mapping[str, object]) -> None:
    await connection.execute(insert(membership), [{**row, "role": role} for role in dict.fromkeys(roles)])


async def _roles_of(connection: AsyncConnection, dao_id: str, person_id: str) -> Sequence[str]:
    query = select(membership.c.role).where(membership.c.dao_id == dao_id, membership.c.person_id == person_id)
    return (await connection.scalars(query)).all()


async def _check_dao_exists(connection: AsyncConnection, dao_id: str) -> None:
    if await connection.scalar(select(dao.c.id).where(dao.c.id == dao_id)) is None:
        raise Missing(f"There is no DAO {dao_id!r}. `dagi dao list` shows those that exist.", dao_id=dao_id)


async def _check_roles(connection: AsyncConnection, dao_id: str, roles: Sequence[str]) -> None:
    await _check_dao_exists(connection, dao_id)
    known = (await connection.scalars(select(role_entitlement.c.role).where(role_entitlement.c.dao_id == dao_id).distinct())).all()
    unknown = [role for role in roles if role not in known]
    if unknown or not roles:
        what = f"has no role {unknown[0]!r}" if unknown else "needs at least one role for a member"
        raise Invalid(f"The DAO {dao_id} {what}.", field="role", allowed=sorted(known))
