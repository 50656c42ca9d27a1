"""What was begun to link accounts. Every secret is kept as a digest and counts once, whatever process it is told to."""

from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.link_codes import LIFETIME, WRONG_TRIES, digest
from dagi.errors import Gone, Missing, RateLimited
from dagi.ports.clock import Clock
from dagi.ports.identities import Pending, PendingKind
from dagi.stores.database import Database
from dagi.stores.link_tables import pending_link, used_proof, wrong_code

# What an account may have begun within a lifetime.
MOST_BEGUN: Final = 10
# How long it is remembered that something is over.
_REMEMBERED: Final = timedelta(days=1)
_COLUMNS: Final = [column for column in pending_link.c if column.name not in {"digest", "used_at"}]


class SqlPendingLinks:
    """Implements the port PendingLinks."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def keep(self, secret: str, pending: Pending) -> None:
        """See the port."""
        now = self._clock.now()
        async with self._database.write() as connection:
            for key, past in over(now):
                await connection.execute(delete(key.table).where(past))
            theirs = pending_link.c.account == pending.account
            recent = select(func.min(pending_link.c.created_at), func.count()).where(theirs, pending_link.c.created_at > now - LIFETIME)
            first, count = (await connection.execute(recent)).one()
            if count >= MOST_BEGUN:
                wait_s = max(1.0, (first + LIFETIME - now).total_seconds())
                raise RateLimited("Too much was begun for this account. Try again in some minutes.", limit="links", retry_after_s=wait_s)
            if pending.kind == "code":
                # The one that counts is the one shown last.
                before = theirs & (pending_link.c.kind == "code") & pending_link.c.used_at.is_(None)
                await connection.execute(update(pending_link).where(before).values(used_at=now))
            values = {name: getattr(pending, name) for name in Pending.__struct_fields__}
            await connection.execute(insert(pending_link).values(digest=digest(secret), **values))

    async def take(self, kind: PendingKind, secret: str, told_by: str) -> Pending:
        """See the port."""
        now = self._clock.now()
        if not told_by:
            # Anybody may come with a browser, and what nobody gave must not make others wait for the writer.
            async with self._database.read() as connection:
                if await connection.scalar(select(pending_link.c.kind).where(pending_link.c.digest == digest(secret))) != kind:
                    raise _unknown()
        async with self._database.write() as connection:
            found = await _taken(connection, kind, secret, told_by, now)
        # Outside of the transaction, which would forget the wrong try with the error.
        if isinstance(found, Pending):
            return found
        raise found

    async def once(self, digest: bytes, until: datetime) -> None:
        """See the port."""
        async with self._database.write() as connection:
            await connection.execute(delete(used_proof).where(used_proof.c.until < self._clock.now()))
            try:
                await connection.execute(insert(used_proof).values(digest=digest, until=until))
            except IntegrityError as error:
                raise Gone("This was used already. Begin again.") from error


async def _taken(
    connection: AsyncConnection, kind: PendingKind, secret: str, told_by: str, now: datetime
) -> Pending | Missing | Gone | RateLimited:
    wrong = wrong_code.c.account == told_by
    if told_by:
        recent = select(func.min(wrong_code.c.at), func.count()).where(wrong, wrong_code.c.at > now - LIFETIME)
        first, count = (await connection.execute(recent)).one()
        if count >= WRONG_TRIES:
            wait_s = max(1.0, (first + LIFETIME - now).total_seconds())
            return RateLimited("Too many wrong codes. Try again in some minutes.", limit="codes", retry_after_s=wait_s)
    row = (await connection.execute(select(pending_link).where(pending_link.c.digest == digest(secret)))).one_or_none()
    if row is None or row.kind != kind or not _may_tell(kind, row.account, row.other, row.shown_to, told_by):
        if told_by:
            await connection.execute(insert(wrong_code).values(id=token_hex(16), account=told_by, at=now))
        return _unknown()
    if row.expires_at <= now:
        return Gone("This is past its ten minutes. Begin again.")
    # Whoever else tells it at the same time finds it used.
    unused = (pending_link.c.digest == row.digest) & pending_link.c.used_at.is_(None)
    if not (await connection.execute(update(pending_link).where(unused).values(used_at=now))).rowcount:
        return Gone("This was used already, or a later one took its place. Begin again.")
    if told_by:
        await connection.execute(delete(wrong_code).where(wrong))
    return Pending(**{column.name: getattr(row, column.name) for column in _COLUMNS})


def _unknown() -> Missing:
    return Missing("There is no such code, or it is not for this account. Check it, or begin again.")


def _may_tell(kind: str, account: str, other: str, shown_to: str, told_by: str) -> bool:
    match kind:
        case "code":
            return not other or other == told_by
        case "siwe":
            return account == told_by
        case "confirm":
            return shown_to == told_by
        case _:
            return not told_by


def over(now: datetime) -> tuple[tuple[Column[Any], ColumnElement[bool]], ...]:
    """What may be forgotten of what was begun: of each table its key, and which of its rows."""
    return (
        (pending_link.c.digest, pending_link.c.expires_at < now - _REMEMBERED),
        (wrong_code.c.id, wrong_code.c.at < now - LIFETIME),
        (used_proof.c.digest, used_proof.c.until < now),
    )
