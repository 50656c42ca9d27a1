"""Calls of developer tools on record: gathered for a moment, and written into the audit in one transaction."""

import asyncio
from types import TracebackType
from typing import Final, Self

from sqlalchemy import select

from dagi.errors import Overloaded, StoreError
from dagi.ports.calls import Called
from dagi.ports.clock import Clock
from dagi.ports.observer import Observer
from dagi.stores.audit import Entry, append
from dagi.stores.database import Database
from dagi.stores.tables import dao
from dagi.stores.trouble import Trouble

FLUSH_S: Final = 0.01
RETRY_S: Final = 1.0
PLACES: Final = 10_000
# How long a caller waits for its call to be on record.
PATIENCE_S: Final = 10.0
_Waiter = asyncio.Future[None]


class CallStore:
    """Implements the port CallLog. Use as a context: entering starts the writer, leaving writes what is left.

    Attributes:
        trouble: why nothing can be written just now.
    """

    def __init__(self, database: Database, clock: Clock, observer: Observer, *, patience_s: float = PATIENCE_S) -> None:
        self._database = database
        self._clock = clock
        self._observer = observer
        self._patience_s = patience_s
        self._waiting: list[Called] = []
        self._waiters: list[_Waiter] = []
        self._arrived = asyncio.Event()
        self._stopping = False
        self._writing = False
        self._writer: asyncio.Task[None] | None = None
        self.trouble = Trouble(observer, "calls_unwritten", "calls_written_again")

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_until_stopped(), name="call-writer")
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._stopping = True
        self._arrived.set()
        if self._writer is not None:
            await self._writer

    def admit(self) -> None:
        """See the port CallLog."""
        if len(self._waiting) >= PLACES:
            raise _overloaded()

    def called(self, call: Called) -> None:
        """See the port CallLog."""
        self._waiting.append(call)
        self._arrived.set()

    async def saved(self) -> None:
        """See the port CallLog."""
        if not self._waiting and not self._writing:
            return
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._patience_s):
                await waiter
        except TimeoutError:
            raise _overloaded() from None

    async def _write_until_stopped(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._stopping:
                await asyncio.sleep(FLUSH_S)
            self._arrived.clear()
            calls, self._waiting = self._waiting, []
            waiters, self._waiters = self._waiters, []
            self._writing = True
            try:
                await self._write(calls)
            except StoreError as error:
                self.trouble.again(str(error), waiting=len(calls))
                if self._stopping:
                    self._observer.note("calls_lost", level="error", count=len(calls))
                    return
                self._waiting = calls + self._waiting
                self._waiters = waiters + self._waiters
                self._arrived.set()
                await asyncio.sleep(RETRY_S)
            else:
                self.trouble.over()
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)
            finally:
                self._writing = False
            # Whoever began to wait while the last ones were written waits for nothing more than they did.
            if self._waiters and not self._waiting:
                self._arrived.set()
            if self._stopping and not self._waiting:
                return

    async def _write(self, calls: list[Called]) -> None:
        if not calls:
            return
        now = self._clock.now()
        async with self._database.write() as connection:
            known = set((await connection.scalars(select(dao.c.id).where(dao.c.id.in_({one.dao_id for one in calls})))).all())
            chains: dict[str, list[Entry]] = {}
            for call in calls:
                chains.setdefault(call.dao_id if call.dao_id in known else "", []).append(entry_of(call))
            # In one order in every process: two that hold each other's next chain would wait for ever.
            for chain in sorted(chains):
                await append(connection, chain, chains[chain], now)


def entry_of(call: Called) -> Entry:
    """The record of a call."""
    details = {"arguments_sha256": call.digest, "outcome": call.outcome, "ms": call.ms, "request_id": call.request_id}
    return Entry(
        action=call.action,
        actor=call.user_id,
        key_id=call.key_id,
        subject=call.workspace,
        decision_id=call.decision_id,
        details=details,
    )


def _overloaded() -> Overloaded:
    return Overloaded("The stack cannot record more just now. Try again shortly.", retry_after_s=1)
