"""A change of rights: permitted by the truth of the moment, alone at its DAO, written into the audit, and noticed by every process.

All of it is one transaction, so a change is either done, on record and visible, or not at all.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from secrets import token_hex
from typing import Final

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.actor import Actor
from dagi.access.administration import is_admin, rarest, require_held, through_key
from dagi.access.decide import decide, entitlements
from dagi.errors import Conflict, Denied
from dagi.message import Grant, Sender
from dagi.ports.audit import action_of
from dagi.ports.clock import Clock
from dagi.stores.audit import Entry, append
from dagi.stores.database import Database
from dagi.stores.standings import no_dao, read_roles, read_standing
from dagi.stores.tables import dao, membership

# Those who work on the data themselves, where nothing else is said: commands and the first start.
STACK: Final = Actor.system("stack")


class Record(msgspec.Struct, frozen=True):
    """What is done, to whom or what, and the details."""

    action: str
    subject: str
    details: Mapping[str, object]


class Change:
    """One change under way.

    Attributes:
        grant: what the actor may do in the DAO; None for an unbounded actor.
    """

    def __init__(self, connection: AsyncConnection, dao_id: str, actor: Actor, now: datetime, grant: Grant | None) -> None:
        self.connection = connection
        self.dao_id = dao_id
        self.actor = actor
        self.now = now
        self.grant = grant

    async def record(self, action: str, subject: str = "", **details: object) -> None:
        """Write into the DAO's audit what is done; only what the change does in the end stays there."""
        await self.record_in(self.dao_id, action, subject, **details)

    async def record_in(self, dao_id: str, action: str, subject: str = "", **details: object) -> None:
        """The same in the chain of another DAO that the change concerns."""
        entry = Entry(
            action=action,
            actor=self.actor.id,
            key_id=self.actor.key_id,
            subject=subject,
            details=details,
            decision_id="" if self.grant is None else self.grant.decision_id,
        )
        await append(self.connection, dao_id, [entry], self.now)

    async def record_all(self, records: Iterable["Record"]) -> None:
        """Write many records into the DAO's audit at once."""
        decision_id = "" if self.grant is None else self.grant.decision_id
        entries = [
            Entry(
                action=one.action,
                actor=self.actor.id,
                key_id=self.actor.key_id,
                subject=one.subject,
                details=one.details,
                decision_id=decision_id,
            )
            for one in records
        ]
        await append(self.connection, self.dao_id, entries, self.now)

    async def touch(self, dao_id: str) -> None:
        """Let running processes notice a change of another DAO's rights, which waits for other changes of it."""
        await touch(self.connection, dao_id)

    async def roles(self) -> Mapping[str, frozenset[str]]:
        """The roles the DAO defines, with what they grant."""
        return await read_roles(self.connection, self.dao_id)

    def require_held(self, wanted: Iterable[str]) -> None:
        """Let the actor give, take or change such rights only where it holds them itself.

        Raises:
            Denied: it does not.
        """
        if self.grant is not None:
            require_held(self.grant, wanted)

    async def require_held_roles(self, roles: Iterable[str]) -> None:
        """The same for all that these roles grant."""
        if self.grant is not None:
            require_held(self.grant, entitlements(tuple(roles), await self.roles()))

    @asynccontextmanager
    async def keeping_an_admin(self) -> AsyncGenerator[None]:
        """What is done within must not leave a DAO without an admin that had one.

        Raises:
            Conflict: it would.
        """
        had = await self._has_admin()
        yield
        if had and not await self._has_admin():
            raise Conflict(
                f"{self.dao_id} would be left without an admin whose membership is in force and has no end. Make somebody else one first.",
                dao_id=self.dao_id,
                reason="last_admin",
            )

    async def _has_admin(self) -> bool:
        roles = await self.roles()
        theirs = (membership.c.dao_id == self.dao_id) & membership.c.suspended.is_(False) & membership.c.expires_at.is_(None)
        candidates = select(membership.c.person_id).where(theirs, membership.c.role.in_(rarest(roles)))
        query = select(membership.c.person_id, membership.c.role).where(theirs, membership.c.person_id.in_(candidates))
        held: dict[str, list[str]] = {}
        for person_id, role in await self.connection.execute(query):
            held.setdefault(person_id, []).append(role)
        return any(is_admin(each, roles) for each in held.values())


class Changes:
    """Makes changes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @asynccontextmanager
    async def of(self, dao_id: str, actor: Actor, needs: str | None = None, *, counter: str = "version") -> AsyncGenerator[Change]:
        """One change of a DAO's rights; committed when the context ends well, with the DAO's version bumped.

        Args:
            dao_id: empty for what belongs to no DAO.
            needs: the entitlement the actor must have in it; None where the caller of this decides otherwise who may.
            counter: the column of the DAO's that counts such changes, where they are none of rights.

        Raises:
            Missing: no such DAO, said to those who may know.
            Denied: the actor may not. It is on record, though nothing else of the change is.
        """
        try:
            async with self._database.write(dao_id or None) as connection:
                exists = not dao_id or await touch(connection, dao_id, counter)
                # The moment in which its turn has come, which may be seconds after it was asked for.
                now = self._clock.now()
                grant = await grant_of(connection, dao_id, actor, now)
                if grant is not None and needs is not None:
                    grant.require(needs)
                if not exists:
                    raise no_dao(dao_id)
                yield Change(connection, dao_id, actor, now, grant)
        except Denied as denied:
            # A change of persons belongs to no DAO, but whoever was denied something was denied it in one.
            await self._record(dao_id or ("" if denied.whose is None else denied.whose.dao_id), actor, denied)
            raise

    async def _record(self, dao_id: str, actor: Actor, denied: Denied) -> None:
        entry = denial(denied, actor.id, actor.key_id)
        async with self._database.write() as connection:
            known = dao_id and await connection.scalar(select(dao.c.id).where(dao.c.id == dao_id))
            await append(connection, dao_id if known else "", [entry], self._clock.now())
        # It is on record; nobody else needs to see to it.
        denied.audited = True


def denial(denied: Denied, actor: str, key_id: str) -> Entry:
    """The record of a denial."""
    facts = denied.facts
    return Entry(
        action=action_of(str(facts.get("required_entitlement") or ""), str(facts.get("reason") or "")),
        actor=actor,
        key_id=key_id,
        outcome="denied",
        decision_id=str(facts.get("decision_id") or ""),
        details={"reason": facts.get("reason")},
    )


async def touch(connection: AsyncConnection, dao_id: str, counter: str = "version") -> bool:
    """Say that something about the DAO's rights has changed; whether there is such a DAO. Other changes of it wait for this one's end."""
    done = await connection.execute(update(dao).where(dao.c.id == dao_id).values({counter: dao.c[counter] + 1}))
    return done.rowcount > 0


async def grant_of(connection: AsyncConnection, dao_id: str, actor: Actor, now: datetime) -> Grant | None:
    """What the actor may do, read from the database itself: what is in memory may be a moment old."""
    if actor.unbounded:
        return None
    decision_id = token_hex(8)
    sender = Sender(dao_id=dao_id, user_id=actor.id)
    grant = decide(sender, await read_standing(connection, dao_id, actor.id), now, decision_id)
    own = f"key:{actor.key_id}"
    if not actor.key_id or actor.id == own:
        return grant
    lent = decide(Sender(dao_id=dao_id, user_id=own), await read_standing(connection, dao_id, own), now, decision_id)
    return through_key(grant, lent)
