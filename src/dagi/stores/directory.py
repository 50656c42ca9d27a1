"""Who belongs where and which keys exist, in memory: what the request path asks. The database behind it is the truth.

Each DAO has a version that every change of its rights bumps; the map polls the versions and reads again what has changed. When it
cannot poll for longer than `STALE_S`, it answers nothing at all: a decision that cannot be made is a denial.
"""

import asyncio
from collections.abc import Mapping

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.decide import DaoStanding, Membership, Standing
from dagi.access.keys import KeyRecord
from dagi.access.limits import NO_QUOTA, Quota
from dagi.errors import AccessUnavailable
from dagi.ports.clock import Clock
from dagi.ports.observer import Observer
from dagi.stores.database import Database
from dagi.stores.standings import of_key, read_dao, read_keys, read_members
from dagi.stores.tables import dao

POLL_S = 0.25
STALE_S = 5.0
_NOBODY = Standing()


class _Dao(msgspec.Struct, frozen=True):
    standing: DaoStanding
    members: Mapping[str, Membership]
    keys: Mapping[str, KeyRecord]


class Directory:
    """Implements the ports Members, KeyRing and Quotas.

    Args:
        operators: accounts that are admins of every DAO, whatever the database says. Only the keyless development caller is one.
    """

    def __init__(self, database: Database, clock: Clock, observer: Observer, operators: frozenset[str] = frozenset()) -> None:
        self._database = database
        self._clock = clock
        self._observer = observer
        self._operators = operators
        self._daos: dict[str, _Dao] = {}
        self._keys: dict[str, KeyRecord] = {}
        self._fresh_until = float("-inf")
        self._down = False

    def standing(self, dao_id: str, user_id: str) -> Standing:
        """See the port Members. A key's own identity `key:<id>` has the key's role."""
        self._check_fresh()
        known = self._daos.get(dao_id)
        if known is None:
            return _NOBODY
        if user_id in self._operators:
            return Standing(known.standing, Membership(roles=("admin",)))
        if user_id.startswith("key:"):
            record = known.keys.get(user_id[4:])
            return Standing(known.standing, None if record is None else of_key(record))
        return Standing(known.standing, known.members.get(user_id))

    def find(self, key_id: str) -> KeyRecord | None:
        """See the port KeyRing."""
        self._check_fresh()
        return self._keys.get(key_id)

    def of_key(self, key_id: str) -> Quota:
        """See the port Quotas."""
        known = self._keys.get(key_id)
        return NO_QUOTA if known is None else known.quota

    def of_dao(self, dao_id: str) -> Quota:
        """See the port Quotas."""
        known = self._daos.get(dao_id)
        return NO_QUOTA if known is None else known.standing.quota

    def name(self, dao_id: str) -> str:
        """A DAO's name, or its id where it is unknown."""
        known = self._daos.get(dao_id)
        return known.standing.name if known else dao_id

    @property
    def fresh(self) -> bool:
        """Whether the map may be trusted."""
        return self._clock.monotonic() <= self._fresh_until

    def _check_fresh(self) -> None:
        if not self.fresh:
            raise AccessUnavailable("Memberships cannot be read just now, so nothing can be allowed. Try again shortly.", retry_after_s=5)

    async def refresh(self) -> None:
        """Read what has changed since the last time.

        Raises:
            StoreError: the database cannot be read.
        """
        # What is read is as old as the beginning of the reading.
        began = self._clock.monotonic()
        async with self._database.read() as connection:
            rows = (await connection.execute(select(dao.c.id, dao.c.version))).all()
            versions: dict[str, int] = {dao_id: version for dao_id, version in rows}  # noqa: C416 - names what the row holds
            changed = [dao_id for dao_id, version in versions.items() if not self._has(dao_id, version)]
            loaded = {dao_id: found for dao_id in changed if (found := await _load(connection, dao_id)) is not None}
        gone = self._daos.keys() - versions.keys()
        if loaded or gone:
            kept = {dao_id: known for dao_id, known in self._daos.items() if dao_id not in gone}
            self._daos = {**kept, **loaded}
            self._keys = {key_id: record for known in self._daos.values() for key_id, record in known.keys.items()}
        self._fresh_until = began + STALE_S

    def _has(self, dao_id: str, version: int) -> bool:
        known = self._daos.get(dao_id)
        return known is not None and known.standing.version == version

    async def follow(self) -> None:
        """Refresh for ever. A database that cannot be read is tried again; the map grows stale meanwhile."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes in the moment the refresh ends.
                async with asyncio.timeout(STALE_S):
                    await self.refresh()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the watch
                if not self._down:
                    self._down = True
                    self._observer.note("access_unreadable", level="error", why=str(error))
            else:
                if self._down:
                    self._down = False
                    self._observer.note("access_readable_again")


async def _load(connection: AsyncConnection, dao_id: str) -> _Dao | None:
    standing = await read_dao(connection, dao_id)
    if standing is None:
        return None
    return _Dao(standing, await read_members(connection, dao_id), await read_keys(connection, dao_id))
