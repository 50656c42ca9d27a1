"""Denials on record: gathered for a moment, equal ones as one, and written into the audit in one transaction."""

import asyncio
from types import TracebackType
from typing import Final, Self

from sqlalchemy import select

from dagi.errors import Overloaded, StoreError
from dagi.ports.audit import Denial, action_of
from dagi.ports.clock import Clock
from dagi.ports.observer import Observer
from dagi.stores.audit import Entry, append
from dagi.stores.database import Database
from dagi.stores.tables import dao
from dagi.stores.trouble import Trouble

FLUSH_S: Final = 0.05
RETRY_S: Final = 1.0
# Different denials that wait at once. Whoever is denied the same a thousand times in a moment makes one record that says so.
PLACES: Final = 10_000
_Alike = tuple[str, str, str, str, str]


class DenialStore:
    """Implements the port Denials. Use as a context: entering starts the writer, leaving writes what is left.

    Attributes:
        trouble: why nothing can be written just now.
    """

    def __init__(self, database: Database, clock: Clock, observer: Observer) -> None:
        self._database = database
        self._clock = clock
        self._observer = observer
        self._waiting: dict[_Alike, tuple[Denial, int]] = {}
        self._arrived = asyncio.Event()
        self._stopping = False
        self._writer: asyncio.Task[None] | None = None
        self.trouble = Trouble(observer, "denials_unwritten", "denials_written_again")

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_until_stopped(), name="denial-writer")
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._stopping = True
        self._arrived.set()
        if self._writer is not None:
            await self._writer

    def denied(self, denial: Denial) -> None:
        """See the port Denials."""
        alike = (denial.dao_id, denial.user_id, denial.key_id, denial.entitlement, denial.reason)
        first, times = self._waiting.get(alike, (denial, 0))
        if not times and len(self._waiting) >= PLACES:
            raise Overloaded("The stack cannot record more just now. Try again shortly.", retry_after_s=1)
        self._waiting[alike] = (first, times + 1)
        self._arrived.set()

    async def _write_until_stopped(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._stopping:
                await asyncio.sleep(FLUSH_S)
            self._arrived.clear()
            waiting, self._waiting = self._waiting, {}
            try:
                await self._write(list(waiting.values()))
            except StoreError as error:
                self.trouble.again(str(error), waiting=len(waiting))
                if self._stopping:
                    self._observer.note("denials_lost", level="error", count=len(waiting))
                    return
                self._keep(waiting)
                await asyncio.sleep(RETRY_S)
            except Exception as error:  # noqa: BLE001 - the writer must outlive whatever one denial holds
                self._observer.note("denials_unstorable", level="error", count=len(waiting), why=type(error).__name__)
            else:
                self.trouble.over()
            if self._stopping and not self._waiting:
                return

    def _keep(self, unwritten: dict[_Alike, tuple[Denial, int]]) -> None:
        """Put back what was not written, with what has come meanwhile."""
        for alike, (_, times) in self._waiting.items():
            first, before = unwritten.get(alike, (self._waiting[alike][0], 0))
            unwritten[alike] = (first, before + times)
        self._waiting = unwritten
        self._arrived.set()

    async def _write(self, denials: list[tuple[Denial, int]]) -> None:
        if not denials:
            return
        now = self._clock.now()
        async with self._database.write() as connection:
            known = set((await connection.scalars(select(dao.c.id).where(dao.c.id.in_({one.dao_id for one, _ in denials})))).all())
            chains: dict[str, list[Entry]] = {}
            for denial, times in denials:
                chains.setdefault(denial.dao_id if denial.dao_id in known else "", []).append(_entry(denial, times))
            # In one order in every process: two that hold each other's next chain would wait for ever.
            for chain in sorted(chains):
                await append(connection, chain, chains[chain], now)


def _entry(denial: Denial, times: int) -> Entry:
    details: dict[str, object] = {"reason": denial.reason, "request_id": denial.request_id}
    if times > 1:
        details["times"] = times
    return Entry(
        action=action_of(denial.entitlement, denial.reason),
        actor=denial.user_id,
        key_id=denial.key_id,
        subject=denial.dao_id,
        outcome="denied",
        decision_id=denial.decision_id,
        details=details,
    )
