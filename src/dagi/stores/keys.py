"""API keys: made, found, revoked. What is stored cannot be turned back into a key."""

import secrets
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.keys import PREFIX, digest
from dagi.access.limits import NO_QUOTA, Quota
from dagi.access.names import check_name
from dagi.errors import Conflict, Invalid, Missing
from dagi.ports.clock import Clock
from dagi.stores.database import Database
from dagi.stores.members import touch
from dagi.stores.tables import api_key, dao, role_entitlement


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is shown once."""

    id: str
    key: str
    dao_id: str
    role: str
    expires_at: datetime | None = None
    previous_until: datetime | None = None


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be listed."""

    id: str
    dao_id: str
    role: str
    label: str
    act_as: bool
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    rpm: int | None
    tokens_per_day: int | None
    money_per_month: int | None
    previous_until: datetime | None

    @property
    def quota(self) -> Quota:
        """The key's own limits."""
        return Quota(rpm=self.rpm, tokens_per_day=self.tokens_per_day, money_per_month=self.money_per_month)


_SECRETS = ("digest", "previous_digest")


class Keys:
    """The repository of keys."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

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
            Invalid: the DAO has no such role, or the label has not the form of a name.
        """
        shown = check_name(label, "label") if label else ""
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        async with self._database.write() as connection:
            if await connection.scalar(select(dao.c.id).where(dao.c.id == dao_id)) is None:
                raise Missing(f"There is no DAO {dao_id!r}. `dagi dao list` shows those that exist.", dao_id=dao_id)
            roles = (await connection.scalars(select(role_entitlement.c.role).where(role_entitlement.c.dao_id == dao_id).distinct())).all()
            if role not in roles:
                raise Invalid(f"The DAO {dao_id} has no role {role!r}.", field="role", allowed=sorted(roles))
            await connection.execute(
                insert(api_key).values(
                    id=key_id,
                    dao_id=dao_id,
                    role=role,
                    digest=digest(secret),
                    label=shown,
                    act_as=act_as,
                    expires_at=expires_at,
                    created_at=self._clock.now(),
                    **msgspec.structs.asdict(quota),
                )
            )
            await touch(connection, dao_id)
        return NewKey(id=key_id, key=f"{PREFIX}_{key_id}_{secret}", dao_id=dao_id, role=role, expires_at=expires_at)

    async def rotate(self, key_id: str, *, overlap: timedelta, expires_at: datetime | None = None) -> NewKey:
        """Give a key a new secret. Id, role, limits and what was spent stay; the secret before it counts until the overlap is over.

        A secret of a rotation before that ends at once: two count at most.

        Raises:
            Missing: no such key.
            Conflict: the key has ended.
        """
        secret, now = secrets.token_hex(32), self._clock.now()
        async with self._database.write() as connection:
            key = await self._one(connection, key_id)
            if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
                raise Conflict(f"The key {key_id} has ended; a new secret would not open anything. Make a new key.", key=key_id)
            ending = key.expires_at if expires_at is None else expires_at
            previous_until = now + overlap if overlap else None
            old = api_key.c.digest if overlap else None
            values = {"previous_digest": old, "previous_until": previous_until, "digest": digest(secret), "expires_at": ending}
            await connection.execute(update(api_key).where(api_key.c.id == key_id).values(**values))
            await touch(connection, key.dao_id)
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
        async with self._database.write() as connection:
            key = await self._one(connection, key_id)
            if changes:
                await connection.execute(update(api_key).where(api_key.c.id == key_id).values(**changes))
                await touch(connection, key.dao_id)
            return await self._one(connection, key_id)

    async def show(self, key_id: str) -> KeyInfo:
        """One key.

        Raises:
            Missing: no such key.
        """
        async with self._database.read() as connection:
            return await self._one(connection, key_id)

    async def _one(self, connection: AsyncConnection, key_id: str) -> KeyInfo:
        columns = [column for column in api_key.c if column.name not in _SECRETS]
        row = (await connection.execute(select(*columns).where(api_key.c.id == key_id))).mappings().one_or_none()
        if row is None:
            raise Missing(f"There is no key {key_id!r}. `dagi key list` shows those that exist.", key=key_id)
        return KeyInfo(**row)

    async def all(self, dao_id: str | None = None) -> tuple[KeyInfo, ...]:
        """All keys, or those of one DAO, oldest first."""
        columns = [column for column in api_key.c if column.name not in _SECRETS]
        query = select(*columns).order_by(api_key.c.created_at, api_key.c.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query if dao_id is None else query.where(api_key.c.dao_id == dao_id))).mappings().all()
        return tuple(KeyInfo(**row) for row in rows)

    async def revoke(self, key_id: str) -> None:
        """End a key for good.

        Raises:
            Missing: no such key.
        """
        async with self._database.write() as connection:
            key = await self._one(connection, key_id)
            await connection.execute(
                update(api_key).where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None)).values(revoked_at=self._clock.now())
            )
            await touch(connection, key.dao_id)

    async def usable(self) -> int:
        """How many keys can be used now."""
        now = self._clock.now()
        return sum(1 for key in await self.all() if key.revoked_at is None and (key.expires_at is None or key.expires_at > now))
