"""What the database knows of a DAO, of somebody in it and of its keys, as decisions need it."""

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.decide import DaoStanding, Membership, Standing
from dagi.access.entitlements import DEFAULT_ROLES
from dagi.access.keys import KeyRecord
from dagi.access.limits import NO_QUOTA, Quota
from dagi.errors import Missing
from dagi.stores.tables import api_key, dao, identity, membership, role_entitlement

_MEMBERS = select(identity.c.id, identity.c.trusted_from, membership.c.role, membership.c.suspended, membership.c.expires_at).join(
    identity, identity.c.person_id == membership.c.person_id
)


def no_dao(dao_id: str) -> Missing:
    """The error that says so to an operator."""
    return Missing(f"There is no DAO {dao_id!r}. `dagi dao list` shows those that exist.", dao_id=dao_id)


async def check_dao_exists(connection: AsyncConnection, dao_id: str) -> None:
    """Make sure of a DAO that is looked at.

    Raises:
        Missing: there is none of that id.
    """
    if await connection.scalar(select(dao.c.id).where(dao.c.id == dao_id)) is None:
        raise no_dao(dao_id)


async def read_dao(connection: AsyncConnection, dao_id: str) -> DaoStanding | None:
    """A DAO with its roles; None where there is none."""
    row = (await connection.execute(select(dao).where(dao.c.id == dao_id))).mappings().one_or_none()
    if row is None:
        return None
    return DaoStanding(
        name=row["name"],
        open=row["open"],
        suspended=row["suspended"],
        version=row["version"],
        roles=await read_roles(connection, dao_id),
        quota=read_quota(row),
    )


async def read_standing(connection: AsyncConnection, dao_id: str, user_id: str) -> Standing:
    """What is known of one person, or of one key, in a DAO."""
    found = await read_dao(connection, dao_id)
    if found is None:
        return Standing()
    if user_id.startswith("key:"):
        key = (await read_keys(connection, dao_id, user_id[4:])).get(user_id[4:])
        return Standing(found, None if key is None else of_key(key))
    query = _MEMBERS.where(membership.c.dao_id == dao_id, identity.c.id == user_id)
    return Standing(found, _gathered(await connection.execute(query)).get(user_id))


def of_key(record: KeyRecord) -> Membership:
    """A key is a member of its DAO, with its own role."""
    return Membership(roles=(record.role,), suspended=record.revoked, expires_at=record.expires_at)


async def read_roles(connection: AsyncConnection, dao_id: str) -> Mapping[str, frozenset[str]]:
    """The DAO's roles, strongest first."""
    query = select(role_entitlement.c.role, role_entitlement.c.entitlement).where(role_entitlement.c.dao_id == dao_id)
    granted: dict[str, set[str]] = {}
    for role, entitlement in await connection.execute(query):
        granted.setdefault(role, set()).add(entitlement)
    roles = {role: frozenset(granted[role]) for role in sorted(granted, key=lambda role: (-len(granted[role]), role))}
    # Most DAOs keep the default roles; they share one table.
    return DEFAULT_ROLES if roles == DEFAULT_ROLES else roles


async def read_members(connection: AsyncConnection, dao_id: str) -> Mapping[str, Membership]:
    """All accounts that belong to members of a DAO."""
    return _gathered(await connection.execute(_MEMBERS.where(membership.c.dao_id == dao_id)))


async def read_keys(connection: AsyncConnection, dao_id: str, key_id: str | None = None) -> Mapping[str, KeyRecord]:
    """The DAO's keys, or one of them."""
    query = select(api_key).where(api_key.c.dao_id == dao_id)
    rows = (await connection.execute(query if key_id is None else query.where(api_key.c.id == key_id))).mappings()
    return {row["id"]: _key(row) for row in rows}


def read_quota(row: Mapping[Any, Any]) -> Quota:
    """The limits a DAO's or a key's row holds; whoever has none shares one value."""
    quota = Quota(rpm=row["rpm"], tokens_per_day=row["tokens_per_day"], money_per_month=row["money_per_month"])
    return quota if quota.says_anything else NO_QUOTA


# When the account is trusted, the role's name, whether it rests, when it ends.
_Role = tuple[datetime | None, str, bool, datetime | None]


def _gathered(rows: Iterable[Any]) -> dict[str, Membership]:
    """Memberships by account, of rows of `_MEMBERS`. Most people have one role, and thousands of them share a handful of memberships."""
    members: dict[str, Membership] = {}
    shared: dict[_Role, Membership] = {}
    several: dict[str, list[_Role]] = {}
    for user_id, *held in rows:
        role: _Role = tuple(held)
        known = members.get(user_id)
        if known is not None:
            several.setdefault(user_id, [_only_role(known)]).append(role)
            continue
        entry = shared.get(role)
        if entry is None:
            entry = shared[role] = _membership([role])
        # The same people belong to many DAOs: one text for each of them, wherever they are members.
        members[sys.intern(user_id)] = entry
    for user_id, roles in several.items():
        members[user_id] = _membership(roles)
    return members


def _only_role(membership: Membership) -> "_Role":
    return (membership.trusted_from, membership.roles[0], membership.suspended, membership.expires_at)


def _membership(roles: "list[_Role]") -> Membership:
    ends = [end for *_, end in roles]
    last = None if None in ends else max(end for end in ends if end is not None)
    return Membership(
        roles=tuple(sorted(name for _, name, _, _ in roles)),
        suspended=any(suspended for _, _, suspended, _ in roles),
        expires_at=last,
        ending=tuple(sorted((name, end) for _, name, _, end in roles if end is not None and end != last)),
        trusted_from=roles[0][0],
    )


def _key(row: RowMapping) -> KeyRecord:
    return KeyRecord(
        id=row["id"],
        dao_id=row["dao_id"],
        role=row["role"],
        digest=row["digest"],
        act_as=row["act_as"],
        expires_at=row["expires_at"],
        revoked=row["revoked_at"] is not None,
        previous_digest=row["previous_digest"],
        previous_until=row["previous_until"],
        quota=read_quota(row),
    )
