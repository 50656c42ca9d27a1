"""The repository of memberships."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, select

from dagi.access.actor import Actor
from dagi.errors import Conflict, Missing
from dagi.ports.administration import MemberInfo
from dagi.ports.clock import Clock
from dagi.stores.changes import STACK, Change, Changes
from dagi.stores.database import Database
from dagi.stores.people import Terms, check_account, check_roles, give_roles, held_by, know_person, person_of, read_people, take_roles
from dagi.stores.standings import no_dao
from dagi.stores.tables import dao


class MemberAdmin:
    """Implements the port Members."""

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._database = database
        self._by = by
        self._changes = Changes(database, clock)

    async def create(
        self, dao_id: str, user_id: str, roles: Sequence[str], *, name: str = "", expires_at: datetime | None = None
    ) -> MemberInfo:
        """See the port.

        Raises:
            Invalid: the account has not the right form, or the DAO lacks one of the roles.
            Missing: no such DAO.
            Conflict: the person is a member already.
        """
        check_account(user_id)
        async with self._changes.of(dao_id, self._by, "member.manage") as change:
            await check_roles(change, roles)
            person_id = await know_person(change, user_id, name)
            if await held_by(change.connection, dao_id, person_id):
                raise Conflict(f"{user_id} is a member of {dao_id} already; `dagi member update` changes roles.", user_id=user_id)
            await give_roles(change, person_id, roles, Terms(source="manual", expires_at=expires_at))
            await change.record("member.added", user_id, roles=list(roles), expires_at=expires_at)
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
        """See the port. Roles that stay keep where they come from.

        Raises:
            Missing: not a member.
            Invalid: the DAO lacks one of the roles.
            Conflict: the DAO would be left without an admin.
        """
        async with self._changes.of(dao_id, self._by, "member.manage") as change, change.keeping_an_admin():
            was = await _held(change, user_id)
            had = [held.role for held in was]
            wanted = list(dict.fromkeys(had if roles is None else roles))
            await check_roles(change, wanted)
            # Whoever changes a membership could take all of it.
            await change.require_held_roles(had)
            await take_roles(change, was[0].person_id)
            ends = [held.expires_at for held in was]
            # Until when the person is a member at all: what holds for a role that is new.
            last = None if None in ends else max(ends)
            for role in wanted:
                before = next((held for held in was if held.role == role), None)
                await give_roles(
                    change,
                    was[0].person_id,
                    [role],
                    Terms(
                        source="manual" if before is None else before.source,
                        suspended=any(held.suspended for held in was) if suspended is None else suspended,
                        expires_at=expires_at if expires_at is not msgspec.UNSET else last if before is None else before.expires_at,
                        since=min(held.created_at for held in was),
                    ),
                )
            told: dict[str, object] = {} if roles is None else {"roles_before": had, "roles": wanted}
            if suspended is not None:
                told["suspended"] = suspended
            if expires_at is not msgspec.UNSET:
                told["expires_at"] = expires_at
            await change.record("member.updated", user_id, **told)
        return await self.show(dao_id, user_id)

    async def remove(self, dao_id: str, user_id: str) -> None:
        """See the port.

        Raises:
            Missing: not a member.
            Conflict: the DAO would be left without an admin.
        """
        async with self._changes.of(dao_id, self._by) as change, change.keeping_an_admin():
            if change.grant is not None and not await self._is_own(change, user_id):
                change.grant.require("member.manage")
            was = await _held(change, user_id)
            await change.require_held_roles([held.role for held in was])
            await take_roles(change, was[0].person_id)
            await change.record("member.removed", user_id, roles=[held.role for held in was])

    async def _is_own(self, change: Change, user_id: str) -> bool:
        theirs = await person_of(change.connection, user_id)
        return theirs is not None and theirs == await person_of(change.connection, self._by.id)

    async def show(self, dao_id: str, user_id: str) -> MemberInfo:
        """One member.

        Raises:
            Missing: not a member, or no such DAO.
        """
        async with self._database.read(dao_id) as connection:
            person_id = await person_of(connection, user_id)
            found = [] if person_id is None else await read_people(connection, dao_id, person_id)
        if not found:
            raise _no_member(dao_id, user_id)
        return found[0]

    async def all(self, dao_id: str) -> tuple[MemberInfo, ...]:
        """All members of a DAO.

        Raises:
            Missing: no such DAO.
        """
        async with self._database.read(dao_id) as connection:
            if await connection.scalar(select(dao.c.id).where(dao.c.id == dao_id)) is None:
                raise no_dao(dao_id)
            return tuple(await read_people(connection, dao_id))


async def _held(change: Change, user_id: str) -> Sequence[Row[Any]]:
    person_id = await person_of(change.connection, user_id)
    was = [] if person_id is None else await held_by(change.connection, change.dao_id, person_id)
    if not was:
        raise _no_member(change.dao_id, user_id)
    return was


def _no_member(dao_id: str, user_id: str) -> Missing:
    return Missing(f"{user_id} is not a member of {dao_id}. `dagi member list` shows the members.", user_id=user_id)
