"""Persons and their accounts: linked, unlinked, transferred. Each change is one transaction over every DAO it concerns."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.actor import Actor
from dagi.access.administration import lacking, require_held
from dagi.access.decide import entitlements
from dagi.access.linking import (
    Account,
    HeldRole,
    Known,
    administered,
    check_not_suspended,
    check_unlink,
    elsewhere,
    held_back,
    united,
)
from dagi.errors import Conflict, Denied, Missing
from dagi.ports.clock import Clock
from dagi.ports.identities import IdentityInfo, PersonInfo, ProvedBy, Speaker
from dagi.stores.ballots import join_votes
from dagi.stores.changes import Change, Changes, grant_of
from dagi.stores.database import Database
from dagi.stores.people import know_person, person_of
from dagi.stores.standings import read_roles
from dagi.stores.tables import dao, identity, membership, person
from dagi.stores.token_holders import join_holders

HOLD: Final = timedelta(hours=24)
_TRIES: Final = 5


class PersonRepository:
    """Implements the ports Persons and IdentityAdmin's parts of it.

    Args:
        hold: how long an account that was linked gives nothing administrative.
        trusted_keys: keys whose word about their users counts in every DAO.
    """

    def __init__(self, database: Database, clock: Clock, *, hold: timedelta = HOLD, trusted_keys: frozenset[str] = frozenset()) -> None:
        self._database = database
        self._clock = clock
        self._changes = Changes(database, clock)
        self._hold = hold
        self._trusted_keys = trusted_keys

    async def show(self, account: str) -> PersonInfo:
        """See the port."""
        async with self._database.read() as connection:
            return await _info(connection, await person_of(connection, account))

    async def check_word(self, speaker: Speaker) -> None:
        """See the port."""
        async with self._database.read() as connection:
            await self._check_word(connection, speaker)

    async def would_link(self, account: str, other: str) -> tuple[PersonInfo, tuple[str, ...]]:
        """See the port."""
        now = self._clock.now()
        async with self._database.read() as connection:
            one, second = _ordered(await _known(connection, account, now), await _known(connection, other, now))
            held = held_back(one, second, now)
            infos = [info for which in (one, second) for info in (await _info(connection, which.id)).identities]
        roles: dict[str, tuple[str, ...]] = {}
        for row in united(one.roles, second.roles, now):
            roles[row.dao_id] = (*roles.get(row.dao_id, ()), row.role)
        return PersonInfo(identities=tuple(infos), roles=roles), held

    async def link(self, account: str, other: str, proved_by: ProvedBy, speaker: Speaker) -> PersonInfo:
        """See the port."""
        async with self._changing(speaker.actor, (account, other)) as change:
            await self._check_word(change.connection, speaker)
            return await self._link(change, account, other, proved_by)

    async def join(self, actor: Actor, account: str, other: str, *, trusted: bool) -> PersonInfo:
        """Make two accounts one person's on an operator's word; see `IdentityAdmin.link`."""
        async with self._changing(actor, (account, other)) as change:
            return await self._link(change, account, other, "operator", by_operator=True, trusted=trusted)

    async def _link(
        self, change: Change, account: str, other: str, proved_by: ProvedBy, *, by_operator: bool = False, trusted: bool = False
    ) -> PersonInfo:
        one, second = _ordered(await _known(change.connection, account, change.now), await _known(change.connection, other, change.now))
        held = held_back(one, second, change.now, by_operator=by_operator)
        held = () if trusted else held
        if not one.id:
            # Two accounts of somebody new: known from now on, with rights nowhere, so that a wallet can open a door before there is one.
            await know_person(change, one.accounts[0].id)
            one = await _known(change.connection, one.accounts[0].id, change.now)
        added = tuple(each.id for each in second.accounts)
        if second.id:
            await _join(change, one, second)
            proved = update(identity).where(identity.c.id.in_({account, other} & set(added)))
            await change.connection.execute(proved.values(proved_by=proved_by))
        else:
            row = {"id": added[0], "person_id": one.id, "created_at": change.now, "proved_by": proved_by}
            await change.connection.execute(insert(identity).values(**row))
        if held:
            until = change.now + self._hold
            await change.connection.execute(update(identity).where(identity.c.id.in_(held)).values(trusted_from=until))
        details = {"with": [each.id for each in one.accounts], "added": list(added), "held": list(held), "proved_by": proved_by}
        await _tell(change, "identity.linked", other, _daos(one, second), **details)
        return await _info(change.connection, one.id)

    async def unlink(self, account: str, speaker: Speaker) -> PersonInfo:
        """See the port."""
        async with self._changing(speaker.actor, (speaker.account,)) as change:
            await self._check_word(change.connection, speaker)
            theirs = await _known(change.connection, speaker.account, change.now)
            if not theirs.id or account not in {one.id for one in theirs.accounts}:
                raise Missing(f"{account} is not one of your accounts.", user_id=account)
            check_not_suspended(theirs)
            mine = next(one for one in theirs.accounts if one.id == speaker.account)
            if account != speaker.account and not mine.trusted(change.now):
                raise Denied(
                    f"{speaker.account} was linked a moment ago and cannot take other accounts away before "
                    f"{mine.trusted_from:%Y-%m-%d %H:%M} UTC. Unlink from another account.",
                    reason="recently_linked",
                ).by(speaker.sender)
            return await _unlink(change, theirs, account)

    async def take(self, actor: Actor, account: str, dao_id: str = "") -> PersonInfo:
        """Take an account away from its person, as somebody who manages it; see `IdentityAdmin.unlink`."""
        async with self._changing(actor, (account,)) as change:
            theirs = await _managed(change, account, dao_id)
            return await _unlink(change, theirs, account)

    async def transfer(self, actor: Actor, account: str, to: str, dao_id: str = "") -> PersonInfo:
        """See `IdentityAdmin.transfer`."""
        async with self._changing(actor, (account, to)) as change:
            source = await _managed(change, account, dao_id)
            target = await _managed(change, to, dao_id)
            if source.id == target.id:
                raise Conflict(f"{account} and {to} are one person's already.", reason="linked")
            check_unlink(source, account, change.now)
            values = {"person_id": target.id, "proved_by": "operator", "trusted_from": change.now + self._hold}
            await change.connection.execute(update(identity).where(identity.c.id == account).values(**values))
            accounts = {"from": [one.id for one in source.accounts if one.id != account], "to": [one.id for one in target.accounts]}
            await _tell(change, "identity.transferred", account, _daos(source, target), **accounts)
            return await _info(change.connection, target.id)

    @asynccontextmanager
    async def _changing(self, actor: Actor, accounts: Sequence[str]) -> AsyncGenerator[Change]:
        """A change of the persons behind the accounts, with every DAO they are in held, and all of these keeping an admin."""
        for _ in range(_TRIES):
            try:
                async with self._changes.of("", actor) as change, AsyncExitStack() as stack:
                    daos = await _daos_of(change.connection, accounts)
                    for dao_id in daos:
                        await change.touch(dao_id)
                    people = select(person.c.id).where(person.c.id.in_(await _people_of(change.connection, accounts)))
                    await change.connection.execute(people.order_by(person.c.id).with_for_update())
                    if await _daos_of(change.connection, accounts) != daos:
                        raise _Moved
                    for dao_id in daos:
                        within = Change(change.connection, dao_id, actor, change.now, None)
                        await stack.enter_async_context(within.keeping_an_admin())
                    yield change
                    return
            except _Moved:
                continue
        raise Conflict("The memberships of these accounts are just being changed. Try again.", reason="changed_meanwhile")

    async def _check_word(self, connection: AsyncConnection, speaker: Speaker) -> None:
        if not speaker.vouched or speaker.key_id in self._trusted_keys:
            return
        if (await connection.scalar(select(func.count()).select_from(dao)) or 0) > 1:
            raise Denied(
                f"The key {speaker.key_id} says who people are in {speaker.dao_id} alone, and linked accounts count in every DAO. "
                "The operator can trust it: identities.trusted_keys.",
                reason="key_not_trusted",
            ).by(speaker.sender)
        now = self._clock.now()
        theirs = await _known(connection, speaker.account, now)
        key = await grant_of(connection, speaker.dao_id, Actor(id=f"key:{speaker.key_id}", key_id=speaker.key_id), now)
        if key is not None and lacking(key.entitlements, {entitlement for _, entitlement in theirs.administers}):
            raise Denied(
                f"{speaker.account} administers what the key {speaker.key_id} may not, so the key's word does not link or unlink its "
                "accounts. A key with the role of an admin can, and one the operator trusts: identities.trusted_keys.",
                reason="key_not_trusted",
            ).by(speaker.sender)


class _Moved(Exception):
    """Somebody joined or left a DAO while its row was waited for."""


class ManagedIdentities:
    """Implements the port IdentityAdmin."""

    def __init__(self, persons: PersonRepository, database: Database, clock: Clock, by: Actor) -> None:
        self._persons = persons
        self._database = database
        self._clock = clock
        self._by = by

    async def show(self, dao_id: str, account: str) -> PersonInfo:
        """See the port."""
        async with self._database.read() as connection:
            grant = await grant_of(connection, dao_id, self._by, self._clock.now())
            if grant is not None:
                grant.require("member.manage")
            found = await _info(connection, await person_of(connection, account))
        if dao_id and dao_id not in found.roles:
            raise Missing(f"{account} is not a member of {dao_id}. `dagi member list` shows the members.", user_id=account)
        return PersonInfo(identities=found.identities, roles={name: roles for name, roles in found.roles.items() if dao_id in {"", name}})

    async def unlink(self, account: str, dao_id: str = "") -> PersonInfo:
        """See the port."""
        return await self._persons.take(self._by, account, dao_id)

    async def transfer(self, account: str, to: str, dao_id: str = "") -> PersonInfo:
        """See the port."""
        return await self._persons.transfer(self._by, account, to, dao_id)

    async def link(self, account: str, other: str, *, trusted: bool = False) -> PersonInfo:
        """See the port."""
        return await self._persons.join(self._by, account, other, trusted=trusted)


def _ordered(one: Known, other: Known) -> tuple[Known, Known]:
    """The person somebody knows goes first, so that the account nobody knows is the one that is linked to it."""
    return (other, one) if other.id and not one.id else (one, other)


def _daos(*people: Known) -> list[str]:
    return sorted({held.dao_id for one in people for held in one.roles})


async def _people_of(connection: AsyncConnection, accounts: Sequence[str]) -> list[str]:
    return list(await connection.scalars(select(identity.c.person_id).where(identity.c.id.in_(accounts)).distinct()))


async def _daos_of(connection: AsyncConnection, accounts: Sequence[str]) -> list[str]:
    people = await _people_of(connection, accounts)
    query = select(membership.c.dao_id).where(membership.c.person_id.in_(people)).distinct().order_by(membership.c.dao_id)
    return list(await connection.scalars(query))


async def _known(connection: AsyncConnection, account: str, now: datetime) -> Known:
    person_id = await person_of(connection, account)
    if person_id is None:
        return Known(accounts=(Account(account),))
    theirs = select(identity.c.id, identity.c.trusted_from).where(identity.c.person_id == person_id).order_by(identity.c.id)
    accounts = tuple(Account(row.id, row.trusted_from) for row in await connection.execute(theirs))
    columns = [membership.c[name] for name in HeldRole.__struct_fields__]
    rows = await connection.execute(select(*columns).where(membership.c.person_id == person_id))
    roles = tuple(HeldRole(**row) for row in rows.mappings())
    defined: Mapping[str, Mapping[str, frozenset[str]]] = {
        dao_id: await read_roles(connection, dao_id) for dao_id in {held.dao_id for held in roles}
    }
    return Known(id=person_id, accounts=accounts, roles=roles, administers=administered(roles, defined, now))


async def _info(connection: AsyncConnection, person_id: str | None) -> PersonInfo:
    if not person_id:
        return PersonInfo()
    columns = (identity.c.id, identity.c.proved_by, identity.c.created_at, identity.c.trusted_from)
    theirs = select(*columns).where(identity.c.person_id == person_id).order_by(identity.c.created_at, identity.c.id)
    accounts = tuple(IdentityInfo(**row) for row in (await connection.execute(theirs)).mappings())
    roles: dict[str, tuple[str, ...]] = {}
    held = select(membership.c.dao_id, membership.c.role).where(membership.c.person_id == person_id)
    for dao_id, role in await connection.execute(held.order_by(membership.c.dao_id, membership.c.role)):
        roles[dao_id] = (*roles.get(dao_id, ()), role)
    return PersonInfo(identities=accounts, roles=roles)


async def _join(change: Change, one: Known, other: Known) -> None:
    """Move everything of the other person to the first."""
    await change.connection.execute(delete(membership).where(membership.c.person_id.in_([one.id, other.id])))
    rows = [{**msgspec.structs.asdict(held), "person_id": one.id} for held in united(one.roles, other.roles, change.now)]
    if rows:
        await change.connection.execute(insert(membership), rows)
    await change.connection.execute(update(identity).where(identity.c.person_id == other.id).values(person_id=one.id))
    await join_votes(change.connection, other.id, one.id, change.now)
    await join_holders(change.connection, other.id, one.id)
    name = await change.connection.scalar(select(person.c.name).where(person.c.id == other.id))
    await change.connection.execute(update(person).where(person.c.id == one.id, person.c.name == "").values(name=name or ""))
    await change.connection.execute(delete(person).where(person.c.id == other.id))


async def _unlink(change: Change, theirs: Known, account: str) -> PersonInfo:
    check_unlink(theirs, account, change.now)
    await change.connection.execute(delete(identity).where(identity.c.id == account))
    await _tell(change, "identity.unlinked", account, _daos(theirs), of=[one.id for one in theirs.accounts if one.id != account])
    return await _info(change.connection, theirs.id)


async def _managed(change: Change, account: str, dao_id: str) -> Known:
    """The person behind the account, if the actor manages it wherever it is a member; whoever may not ask learns nothing."""
    if dao_id and (grant := await grant_of(change.connection, dao_id, change.actor, change.now)) is not None:
        grant.require("member.manage")
    known = await _known(change.connection, account, change.now)
    daos = _daos(known)
    if not known.id or (dao_id and dao_id not in daos):
        raise Missing(f"{account} is not known there. `dagi identity list` shows a person's accounts.", user_id=account)
    if change.actor.unbounded:
        return known
    for each in sorted(daos, key=lambda one: one != dao_id):
        grant = await grant_of(change.connection, each, change.actor, change.now)
        if grant is None or not grant.allows("member.manage"):
            raise elsewhere()
        theirs = tuple(held.role for held in known.roles if held.dao_id == each)
        require_held(grant, entitlements(theirs, await read_roles(change.connection, each)))
    return known


async def _tell(change: Change, action: str, subject: str, daos: Sequence[str], **details: object) -> None:
    """Into the audit of every DAO it concerns; into the one of none where it concerns none."""
    for dao_id in daos or [""]:
        await change.record_in(dao_id, action, subject, **details)
