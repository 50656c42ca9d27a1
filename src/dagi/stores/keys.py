"""API keys: made, found, revoked. What is stored cannot be turned back into a key."""

import secrets
from datetime import datetime

import msgspec
from sqlalchemy import insert, select, update

from dagi.access.keys import PREFIX, digest
from dagi.access.names import check_name
from dagi.errors import Invalid, Missing
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


class Keys:
    """The repository of keys."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, dao_id: str, role: str, *, label: str = "", act_as: bool = False, expires_at: datetime | None = None) -> NewKey:
        """Make a key of a DAO with a role of that DAO.

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
                )
            )
            await touch(connection, dao_id)
        return NewKey(id=key_id, key=f"{PREFIX}_{key_id}_{secret}", dao_id=dao_id, role=role)

    async def all(self, dao_id: str | None = None) -> tuple[KeyInfo, ...]:
        """All keys, or those of one DAO, oldest first."""
        columns = [column for column in api_key.c if column.name != "digest"]
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
            of_dao = await connection.scalar(select(api_key.c.dao_id).where(api_key.c.id == key_id))
            if of_dao is None:
                raise Missing(f"There is no key {key_id!r}. `dagi key list` shows those that exist.", key=key_id)
            await connection.execute(
                update(api_key).where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None)).values(revoked_at=self._clock.now())
            )
            await touch(connection, of_dao)

    async def usable(self) -> int:
        """How many keys can be used now."""
        now = self._clock.now()
        return sum(1 for key in await self.all() if key.revoked_at is None and (key.expires_at is None or key.expires_at > now))
