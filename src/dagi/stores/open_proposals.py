"""What is open in every DAO, in memory: asked for with every question, and read again only where something changed."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec
from sqlalchemy import select

from dagi.errors import StoreError
from dagi.governance.proposal import Counted
from dagi.ports.clock import Clock
from dagi.stores.ballots import in_state, read_counted
from dagi.stores.database import Database
from dagi.stores.governance_tables import proposal
from dagi.stores.tables import dao

POLL_S: Final = 0.25
# More than anybody is told of at once.
KEPT: Final = 50


class _Known(msgspec.Struct, frozen=True):
    version: int
    unfinished: tuple[Counted, ...]


class OpenProposals:
    """Implements the port OpenProposals. A map that cannot be read again for a while tells what was open before, until its deadline."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: Mapping[str, _Known] = {}

    def open(self, dao_id: str) -> tuple[Counted, ...]:
        """See the port."""
        known = self._known.get(dao_id)
        if known is None or not known.unfinished:
            return ()
        now = self._clock.now()
        active = [one for one in known.unfinished if one.proposal.state(now) == "active"]
        return tuple(one if one.state == "active" else msgspec.structs.replace(one, state="active") for one in active)

    async def refresh(self) -> None:
        """Read what has changed since the last time.

        Raises:
            StoreError: the database cannot be read.
        """
        now, fresh = self._clock.now(), dict[str, _Known]()
        async with self._database.read() as connection:
            for dao_id, version in (await connection.execute(select(dao.c.id, dao.c.proposals_version))).all():
                known = self._known.get(dao_id)
                if known is None or known.version != version:
                    unfinished = in_state(["pending", "active"], now)
                    query = select(proposal).where(proposal.c.dao_id == dao_id, unfinished).order_by(proposal.c.closes_at).limit(KEPT)
                    known = _Known(version, await read_counted(connection, query, now))
                fresh[dao_id] = known
        self._known = fresh

    async def follow(self) -> None:
        """Refresh for ever. The directory tells of a database that cannot be read."""
        while True:
            await self._clock.sleep(POLL_S)
            with suppress(StoreError):
                await self.refresh()
