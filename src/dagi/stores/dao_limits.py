"""The limits DAOs have of their own, kept with them; running processes notice a change as they notice one of rights."""

from collections.abc import Mapping

from sqlalchemy import select, update

from dagi.access.actor import Actor
from dagi.access.limits import Quota
from dagi.ports.clock import Clock
from dagi.stores.changes import STACK, Changes
from dagi.stores.database import Database
from dagi.stores.standings import no_dao, read_quota
from dagi.stores.tables import api_key, dao

_COLUMNS = (dao.c.rpm, dao.c.tokens_per_day, dao.c.money_per_month)


class DaoLimits:
    """The repository of DAOs' limits."""

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._database = database
        self._changes = Changes(database, clock)
        self._by = by

    async def show(self, dao_id: str) -> Quota:
        """The DAO's own limits.

        Raises:
            Missing: no such DAO.
        """
        async with self._database.read(dao_id) as connection:
            row = (await connection.execute(select(*_COLUMNS).where(dao.c.id == dao_id))).mappings().one_or_none()
        if row is None:
            raise no_dao(dao_id)
        return read_quota(row)

    async def all(self) -> dict[str, Quota]:
        """Every DAO's own limits."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(dao.c.id, *_COLUMNS))).mappings().all()
        return {row["id"]: read_quota(row) for row in rows}

    async def change(self, dao_id: str, changes: Mapping[str, int | None]) -> Quota:
        """Change `rpm`, `tokens_per_day`, `money_per_month`; what is not named stays.

        Raises:
            Missing: no such DAO.
        """
        if changes:
            async with self._changes.of(dao_id, self._by, "config.update") as change:
                await change.connection.execute(update(dao).where(dao.c.id == dao_id).values(**changes))
                await change.record("dao.limited", dao_id, **changes)
        return await self.show(dao_id)

    async def any_money(self) -> bool:
        """Whether any DAO or usable key has a limit on money."""
        held = select(dao.c.id).where(dao.c.money_per_month >= 0).limit(1)
        keys = select(api_key.c.id).where(api_key.c.money_per_month >= 0, api_key.c.revoked_at.is_(None)).limit(1)
        async with self._database.read() as connection:
            return await connection.scalar(held) is not None or await connection.scalar(keys) is not None
