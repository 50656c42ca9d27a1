"""The repository of invitations."""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from dagi.access.actor import Actor
from dagi.access.administration import lacking
from dagi.access.decide import decide, entitlements
from dagi.access.invitations import MOST_USES, PREFIX, is_its_secret, split_code, why_over
from dagi.access.keys import digest
from dagi.access.names import check_name
from dagi.errors import Conflict, Gone, Invalid, Missing
from dagi.message import Sender
from dagi.ports.administration import InvitationInfo, MemberInfo, NewInvitation
from dagi.ports.clock import Clock
from dagi.stores.changes import STACK, Change, Changes
from dagi.stores.database import Database
from dagi.stores.people import Terms, check_account, check_roles, give_roles, held_by, know_person, read_people, take_roles
from dagi.stores.standings import read_standing
from dagi.stores.tables import invitation

_SHOWN = [column for column in invitation.c if column.name != "digest"]
_MOST_KEPT = 1_000


class InvitationAdmin:
    """Implements the port Invitations."""

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._database = database
        self._clock = clock
        self._by = by
        self._changes = Changes(database, clock)

    async def create(
        self, dao_id: str, role: str, *, uses: int, expires_at: datetime, label: str = "", member_until: datetime | None = None
    ) -> NewInvitation:
        """See the port.

        Raises:
            Missing: no such DAO.
            Invalid: the DAO has no such role, or a number, a time or the label is not what it has to be.
        """
        if not 1 <= uses <= MOST_USES:
            raise Invalid(f"An invitation is for 1 to {MOST_USES} people.", field="uses")
        if expires_at <= self._clock.now() or (member_until is not None and member_until <= self._clock.now()):
            raise Invalid("An invitation, and a membership it makes, ends in the future.", field="expires_at")
        invitation_id, secret = secrets.token_hex(6), secrets.token_hex(16)
        async with self._changes.of(dao_id, self._by, "member.manage") as change:
            await check_roles(change, [role])
            await change.connection.execute(
                insert(invitation).values(
                    id=invitation_id,
                    dao_id=dao_id,
                    role=role,
                    digest=digest(secret),
                    label=check_name(label, "label") if label else "",
                    uses_left=uses,
                    made_by=self._by.id,
                    expires_at=expires_at,
                    member_until=member_until,
                    created_at=change.now,
                )
            )
            await change.record("invitation.made", invitation_id, role=role, uses=uses, expires_at=expires_at)
        code = f"{PREFIX}_{invitation_id}_{secret}"
        return NewInvitation(id=invitation_id, code=code, dao_id=dao_id, role=role, uses=uses, expires_at=expires_at)

    async def all(self, dao_id: str) -> tuple[InvitationInfo, ...]:
        """See the port."""
        newest = invitation.c.created_at.desc()
        query = select(*_SHOWN).where(invitation.c.dao_id == dao_id).order_by(newest, invitation.c.id).limit(_MOST_KEPT)
        async with self._database.read(dao_id) as connection:
            return tuple(InvitationInfo(**row) for row in (await connection.execute(query)).mappings())

    async def revoke(self, dao_id: str, invitation_id: str) -> None:
        """See the port.

        Raises:
            Missing: the DAO has no such invitation.
        """
        async with self._changes.of(dao_id, self._by, "member.manage") as change:
            own = (invitation.c.dao_id == dao_id) & (invitation.c.id == invitation_id)
            found = (await change.connection.execute(select(invitation.c.revoked_at).where(own))).one_or_none()
            if found is None:
                raise Missing(f"The DAO {dao_id} has no invitation {invitation_id[:40]!r}.", invitation=invitation_id[:40])
            if found.revoked_at is None:
                await change.connection.execute(update(invitation).where(own).values(revoked_at=change.now))
                await change.record("invitation.withdrawn", invitation_id)

    async def accept(self, code: str, user_id: str, dao_id: str | None = None) -> MemberInfo:
        """See the port.

        Raises:
            Conflict: the person has the role already, or its membership rests.
        """
        check_account(user_id)
        parts = split_code(code)
        async with self._database.read() as connection:
            query = select(invitation.c.dao_id, invitation.c.digest).where(invitation.c.id == (parts[0] if parts else ""))
            found = (await connection.execute(query)).one_or_none()
        if parts is None or found is None or not is_its_secret(found.digest, parts[1]) or dao_id not in {None, found.dao_id}:
            raise Missing("There is no such invitation. Check the code, or ask for a new one.")
        async with self._changes.of(found.dao_id, self._by) as change:
            await _accept(change, parts[0], user_id)
            person_id = await know_person(change, user_id)
            return (await read_people(change.connection, found.dao_id, person_id))[0]


async def _accept(change: Change, invitation_id: str, user_id: str) -> None:
    # Read again: the DAO's row is held now, so nobody else uses it up meanwhile.
    row = (await change.connection.execute(select(invitation).where(invitation.c.id == invitation_id))).one()
    over = why_over(uses_left=row.uses_left, expires_at=row.expires_at, revoked=row.revoked_at is not None, now=change.now)
    over = over or await _maker_lost_right(change, row)
    if over is not None:
        raise Gone(f"The invitation {over}. Ask for a new one.", invitation=invitation_id)
    person_id = await know_person(change, user_id)
    held = await held_by(change.connection, change.dao_id, person_id)
    if any(one.suspended for one in held):
        raise Conflict("Your membership is suspended; an invitation does not change that. Ask one of the DAO's admins.", user_id=user_id)
    same = [one for one in held if one.role == row.role]
    if any(one.expires_at is None or one.expires_at > change.now for one in same):
        raise Conflict(f"You have the role {row.role} in this DAO already.", user_id=user_id)
    # A role that has ended is given anew.
    await take_roles(change, person_id, [row.role])
    await give_roles(change, person_id, [row.role], Terms(source="invitation", expires_at=row.member_until))
    await change.connection.execute(update(invitation).where(invitation.c.id == invitation_id).values(uses_left=row.uses_left - 1))
    await change.record("member.invited", user_id, invitation=invitation_id, roles=[row.role], by=row.made_by)


async def _maker_lost_right(change: Change, row: Row[Any]) -> str | None:
    """Nobody grants what they do not hold; what counts is the moment in which it is granted."""
    roles = await change.roles()
    if row.role not in roles:
        return "is for a role that is no more"
    maker = str(row.made_by)
    if maker.startswith(("cli:", "system:", "dev:")):
        return None
    standing = await read_standing(change.connection, change.dao_id, maker)
    grant = decide(Sender(dao_id=change.dao_id, user_id=maker), standing, change.now, "")
    wanted = {"member.manage", *entitlements((row.role,), roles)}
    return "is void, because whoever made it may not invite any more" if lacking(grant.entitlements, wanted) else None
