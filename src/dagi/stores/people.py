"""People, their accounts, and the rows of their memberships: what members, invitations and other sources of membership share."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.names import check_identity, check_name
from dagi.errors import Conflict, Invalid
from dagi.ports.administration import MemberInfo, MembershipSource
from dagi.stores.changes import Change
from dagi.stores.tables import identity, membership, person

# Identities that are proved by themselves and belong to no person.
_NOBODYS = ("key:", "dev:", "cli:", "system:")


def check_account(user_id: str) -> str:
    """A person's account on some platform.

    Raises:
        Invalid: it has not the form, or no person can have it.
    """
    check_identity(user_id)
    if user_id.startswith(_NOBODYS):
        raise Invalid("That is no person's account. A person is named tg:…, dc:… and the like.", field="user_id")
    return user_id


async def person_of(connection: AsyncConnection, user_id: str) -> str | None:
    """The person an account belongs to."""
    return await connection.scalar(select(identity.c.person_id).where(identity.c.id == user_id))


async def know_person(change: Change, user_id: str, name: str = "") -> str:
    """The person an account belongs to, who becomes known with it where it is new.

    Raises:
        Invalid: the account or the name has not the form.
    """
    known = await person_of(change.connection, check_account(user_id))
    if known is not None:
        return known
    person_id = str(uuid.uuid4())
    await change.connection.execute(insert(person).values(id=person_id, name=check_name(name) if name else "", created_at=change.now))
    try:
        await change.connection.execute(insert(identity).values(id=user_id, person_id=person_id, created_at=change.now))
    except IntegrityError as error:
        raise Conflict(f"{user_id} became known in this very moment. Try again.", user_id=user_id) from error
    return person_id


async def held_by(connection: AsyncConnection, dao_id: str, person_id: str) -> Sequence[Row[Any]]:
    """The person's rows of membership in the DAO, one a role."""
    query = select(membership).where(membership.c.dao_id == dao_id, membership.c.person_id == person_id).order_by(membership.c.role)
    return (await connection.execute(query)).all()


async def check_roles(change: Change, roles: Sequence[str]) -> None:
    """Make sure that the DAO has them.

    Raises:
        Invalid: it lacks one, or there is none.
        Denied: the actor would give what it does not hold.
    """
    defined = await change.roles()
    unknown = [role for role in roles if role not in defined]
    if unknown or not roles:
        what = f"has no role {unknown[0]!r}" if unknown else "needs at least one role for a member"
        raise Invalid(f"The DAO {change.dao_id} {what}.", field="role", allowed=sorted(defined))
    await change.require_held_roles(roles)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a role is held. `since`: from now on, where left out."""

    source: MembershipSource
    expires_at: datetime | None = None
    suspended: bool = False
    since: datetime | None = None


async def give_roles(change: Change, person_id: str, roles: Iterable[str], terms: Terms) -> None:
    """Write rows of membership, which are not there yet."""
    row = {
        "dao_id": change.dao_id,
        "person_id": person_id,
        "source": terms.source,
        "expires_at": terms.expires_at,
        "suspended": terms.suspended,
        "created_at": terms.since or change.now,
    }
    await change.connection.execute(insert(membership), [{**row, "role": role} for role in dict.fromkeys(roles)])


async def take_roles(change: Change, person_id: str, roles: Iterable[str] | None = None) -> None:
    """Remove rows of membership: these roles, or all."""
    theirs = (membership.c.dao_id == change.dao_id) & (membership.c.person_id == person_id)
    if roles is not None:
        theirs &= membership.c.role.in_(list(roles))
    await change.connection.execute(delete(membership).where(theirs))


async def read_people(connection: AsyncConnection, dao_id: str, person_id: str | None = None) -> list[MemberInfo]:
    """The members of a DAO, or one of them, in the order in which they became known."""
    rows_query = (
        select(
            membership.c.person_id,
            membership.c.role,
            membership.c.source,
            membership.c.suspended,
            membership.c.expires_at,
            person.c.name,
        )
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
    accounts: dict[str, list[str]] = {}
    for owner, account in await connection.execute(accounts_query):
        accounts.setdefault(owner, []).append(account)
    held: dict[str, list[Any]] = {}
    for row in await connection.execute(rows_query):
        held.setdefault(row.person_id, []).append(row)
    return [_member(dao_id, owner, tuple(accounts.get(owner, ())), rows) for owner, rows in held.items()]


def _member(dao_id: str, person_id: str, accounts: tuple[str, ...], rows: Sequence[Any]) -> MemberInfo:
    ends = [row.expires_at for row in rows]
    return MemberInfo(
        dao_id=dao_id,
        person_id=person_id,
        name=rows[0].name,
        identities=accounts,
        roles=tuple(row.role for row in rows),
        sources=tuple(row.source for row in rows),
        suspended=any(row.suspended for row in rows),
        expires_at=None if None in ends else max(ends),
    )
