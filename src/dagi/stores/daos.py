"""The repository of DAOs."""

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from dagi.access.actor import Actor
from dagi.access.administration import require_held
from dagi.access.entitlements import DEFAULT_ROLES
from dagi.access.names import check_dao, check_name
from dagi.errors import Conflict, Denied, Invalid
from dagi.message import Sender
from dagi.ports.administration import DaoInfo
from dagi.ports.clock import Clock
from dagi.stores.changes import STACK, Change, Changes
from dagi.stores.database import Database
from dagi.stores.standings import no_dao, read_roles
from dagi.stores.tables import dao, document, membership, role_entitlement


class Daos:
    """Implements the port DaoAdmin."""

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._database = database
        self._clock = clock
        self._by = by
        self._changes = Changes(database, clock)

    async def create(self, dao_id: str, name: str, *, is_open: bool = False) -> DaoInfo:
        """See the port.

        Raises:
            Invalid: the id or the name has not the form it needs.
            Conflict: the DAO exists.
        """
        check_dao(dao_id)
        self._require_operator(dao_id)
        now = self._clock.now()
        # Versions begin at the time of founding: a DAO removed and founded again must not look unchanged.
        version = int(now.timestamp() * 1000)
        versions = dict.fromkeys(("version", "facts_version", "proposals_version"), version)
        row = {"id": dao_id, "name": check_name(name), "open": is_open, "created_at": now, **versions}
        grants = [
            {"dao_id": dao_id, "role": role, "entitlement": entitlement}
            for role, entitlements in DEFAULT_ROLES.items()
            for entitlement in sorted(entitlements)
        ]
        async with self._changes.of("", self._by) as change:
            try:
                await change.connection.execute(insert(dao).values(**row))
            except IntegrityError as error:
                raise Conflict(f"The DAO {dao_id} exists already.", dao_id=dao_id) from error
            await change.connection.execute(insert(role_entitlement), grants)
            await change.record_in(dao_id, "dao.founded", dao_id, name=row["name"], open=is_open)
        return await self.show(dao_id)

    async def all(self) -> tuple[DaoInfo, ...]:
        """All DAOs by id."""
        return await self._select(None)

    async def show(self, dao_id: str) -> DaoInfo:
        """One DAO.

        Raises:
            Missing: there is none of that id.
        """
        found = await self._select(dao_id)
        if not found:
            raise no_dao(dao_id)
        return found[0]

    async def update(self, dao_id: str, *, name: str | None = None, is_open: bool | None = None, suspended: bool | None = None) -> DaoInfo:
        """See the port.

        Raises:
            Missing: no such DAO.
            Invalid: nothing to change, or a name of the wrong form.
        """
        values: dict[str, object] = {}
        if name is not None:
            values["name"] = check_name(name)
        if is_open is not None:
            values["open"] = is_open
        if suspended is not None:
            # Nobody of a suspended DAO could undo it.
            self._require_operator(dao_id)
            values["suspended"] = suspended
        if not values:
            raise Invalid("There is nothing to change: name what should.", field="name")
        async with self._changes.of(dao_id, self._by, "config.update") as change:
            if is_open:
                await self._require_guests_rights(change)
            await change.connection.execute(update(dao).where(dao.c.id == dao_id).values(**values))
            await change.record("dao.updated", dao_id, **values)
        return await self.show(dao_id)

    async def remove(self, dao_id: str) -> None:
        """See the port. Its exchanges stay until their retention ends, its audit for good.

        Raises:
            Missing: no such DAO.
        """
        self._require_operator(dao_id)
        async with self._changes.of(dao_id, self._by) as change:
            await change.record("dao.removed", dao_id)
            await change.connection.execute(delete(dao).where(dao.c.id == dao_id))

    def _require_operator(self, dao_id: str) -> None:
        if not self._by.unbounded:
            raise Denied(
                "Founding, suspending, resuming and removing a DAO is the operator's: `dagi dao` on the machine.",
                user_role=None,
                required_entitlement=None,
                reason="operators_only",
                decision_id="",
            ).by(Sender(dao_id=dao_id, user_id=self._by.id), self._by.key_id)

    async def _require_guests_rights(self, change: Change) -> None:
        """To open a DAO is to give every stranger a guest's rights."""
        if change.grant is not None:
            roles = await read_roles(change.connection, change.dao_id)
            require_held(change.grant, roles.get("guest", frozenset()))

    async def _select(self, dao_id: str | None) -> tuple[DaoInfo, ...]:
        members = select(func.count(membership.c.person_id.distinct())).where(membership.c.dao_id == dao.c.id).scalar_subquery()
        documents = select(func.count()).select_from(document).where(document.c.dao_id == dao.c.id).scalar_subquery()
        query = select(
            dao.c.id,
            dao.c.name,
            dao.c.open,
            dao.c.suspended,
            dao.c.version,
            dao.c.created_at,
            members.label("members"),
            documents.label("documents"),
        ).order_by(dao.c.id)
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query if dao_id is None else query.where(dao.c.id == dao_id))).mappings().all()
        return tuple(DaoInfo(**row) for row in rows)
