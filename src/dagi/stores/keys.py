"""API keys: made, found, revoked. What is stored cannot be turned back into a key."""

import secrets
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.actor import Actor
from dagi.access.administration import everything
from dagi.access.decide import entitlements
from dagi.access.keys import PREFIX, check_end, digest
from dagi.access.limits import NO_QUOTA, Quota
from dagi.access.names import check_name
from dagi.errors import Conflict, Invalid, Missing
from dagi.ports.administration import KeyInfo, NewKey
from dagi.ports.clock import Clock
from dagi.stores.changes import STACK, Change, Changes
from dagi.stores.database import Database
from dagi.stores.tables import api_key

_SECRETS = ("digest", "previous_digest")


class Keys:
    """Implements the port KeyAdmin."""

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._database = database
        self._clock = clock
        self._by = by
        self._changes = Changes(database, clock)

    async def create(
        self,
        dao_id: str,
        role: str,
        *,
        label: str = "",
        act_as: bool = False,
        expires_at: datetime | None = None,
        quota: Quota = NO_QUOTA,
    ) -> NewKey:
        """Make a key of a DAO with a role of that DAO, and limits of its own if it shall have any.

        Raises:
            Missing: no such DAO.
            Invalid: the DAO has no such role, the label has not the form of a name, or the key would be over already.
        """
        shown = check_name(label, "label") if label else ""
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        async with self._changes.of(dao_id, self._by, "key.manage") as change:
            roles = await change.roles()
            if role not in roles:
                raise Invalid(f"The DAO {dao_id} has no role {role!r}.", field="role", allowed=sorted(roles))
            check_end(expires_at, change.now)
            await _require_held(change, role, act_as=act_as)
            await change.connection.execute(
                insert(api_key).values(
                    id=key_id,
                    dao_id=dao_id,
                    role=role,
                    digest=digest(secret),
                    label=shown,
                    act_as=act_as,
                    expires_at=expires_at,
                    created_at=change.now,
                    **msgspec.structs.asdict(quota),
                )
            )
            await change.record("key.made", f"key:{key_id}", role=role, act_as=act_as, expires_at=expires_at)
        return NewKey(id=key_id, key=f"{PREFIX}_{key_id}_{secret}", dao_id=dao_id, role=role, expires_at=expires_at)

    async def rotate(self, key_id: str, *, overlap: timedelta, expires_at: datetime | None = None) -> NewKey:
        """Give a key a new secret. Id, role, limits and what was spent stay; the secret before it counts until the overlap is over.

        A secret of a rotation before that ends at once: two count at most.

        Raises:
            Missing: no such key.
            Conflict: the key has ended.
            Invalid: its new end would be over already.
        """
        secret, now = secrets.token_hex(32), self._clock.now()
        async with self._changes.of((await self.show(key_id)).dao_id, self._by, "key.manage") as change:
            key = await self._held(change, key_id)
            if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
                raise Conflict(f"The key {key_id} has ended; a new secret would not open anything. Make a new key.", key=key_id)
            check_end(expires_at, now)
            ending = key.expires_at if expires_at is None else expires_at
            previous_until = now + overlap if overlap else None
            old = api_key.c.digest if overlap else None
            values = {"previous_digest": old, "previous_until": previous_until, "digest": digest(secret), "expires_at": ending}
            await change.connection.execute(update(api_key).where(api_key.c.id == key_id).values(**values))
            await change.record("key.rotated", f"key:{key_id}", expires_at=ending, previous_until=previous_until)
        return NewKey(
            id=key_id,
            key=f"{PREFIX}_{key_id}_{secret}",
            dao_id=key.dao_id,
            role=key.role,
            expires_at=ending,
            previous_until=previous_until,
        )

    async def limit(self, key_id: str, changes: dict[str, int | None]) -> KeyInfo:
        """Change the key's own limits: `rpm`, `tokens_per_day`, `money_per_month`.

        Raises:
            Missing: no such key.
        """
        if not changes:
            return await self.show(key_id)
        async with self._changes.of((await self.show(key_id)).dao_id, self._by, "key.manage") as change:
            await self._held(change, key_id)
            await change.connection.execute(update(api_key).where(api_key.c.id == key_id).values(**changes))
            await change.record("key.limited", f"key:{key_id}", **changes)
            return await _one(change.connection, key_id)

    async def show(self, key_id: str) -> KeyInfo:
        """One key.

        Raises:
            Missing: no such key.
        """
        async with self._database.read() as connection:
            return await _one(connection, key_id)

    async def _held(self, change: Change, key_id: str) -> KeyInfo:
        """The key as it is now, where the actor could have made it: whoever rules a key can do all that it can."""
        key = await _one(change.connection, key_id)
        await _require_held(change, key.role, act_as=key.act_as)
        return key

    async def all(self, dao_id: str | None = None) -> tuple[KeyInfo, ...]:
        """All keys, or those of one DAO, oldest first."""
        columns = [column for column in api_key.c if column.name not in _SECRETS]
        query = select(*columns).order_by(api_key.c.created_at, api_key.c.id)
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query if dao_id is None else query.where(api_key.c.dao_id == dao_id))).mappings().all()
        return tuple(KeyInfo(**row) for row in rows)

    async def revoke(self, key_id: str) -> None:
        """End a key for good.

        Raises:
            Missing: no such key.
        """
        async with self._changes.of((await self.show(key_id)).dao_id, self._by, "key.manage") as change:
            key = await self._held(change, key_id)
            if key.revoked_at is None:
                await change.connection.execute(update(api_key).where(api_key.c.id == key_id).values(revoked_at=change.now))
                await change.record("key.revoked", f"key:{key_id}")

    async def usable(self) -> int:
        """How many keys can be used now."""
        now = self._clock.now()
        return sum(1 for key in await self.all() if key.revoked_at is None and (key.expires_at is None or key.expires_at > now))


async def _one(connection: AsyncConnection, key_id: str) -> KeyInfo:
    columns = [column for column in api_key.c if column.name not in _SECRETS]
    row = (await connection.execute(select(*columns).where(api_key.c.id == key_id))).mappings().one_or_none()
    if row is None:
        raise Missing(f"There is no key {key_id!r}. `dagi key list` shows those that exist.", key=key_id)
    return KeyInfo(**row)


async def _require_held(change: Change, role: str, *, act_as: bool) -> None:
    roles = await change.roles()
    # A key that may speak for anybody can do whatever anybody can.
    change.require_held(everything(roles) if act_as else entitlements((role,), roles))
