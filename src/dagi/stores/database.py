"""The database: one way to read and to write, whether it is a file of SQLite or a PostgreSQL server."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction

from dagi.stores.backend import Backend, Kind
from dagi.stores.postgres import Address, Postgres
from dagi.stores.sqlite import Sqlite

T = TypeVar("T")

FILE_NAME = "dagi.sqlite"
# How long closing waits for connections that somebody has.
CLOSE_S: Final = 5.0
_LOOK_S: Final = 0.005


class Database:
    """Connections to one database.

    Two writers wait for each other instead of failing half-way; readers see a consistent snapshot and never block a writer.

    Args:
        place: a file of SQLite, or the address of a PostgreSQL database.

    Attributes:
        path: the file; None on PostgreSQL.
    """

    def __init__(self, place: Path | Address) -> None:
        self.place = place
        self.path = place if isinstance(place, Path) else None
        self._backend: Backend = Sqlite(place) if isinstance(place, Path) else Postgres(place)
        self._left: set[asyncio.Task[None]] = set()
        self._lent = 0

    @classmethod
    def in_directory(cls, data_dir: Path) -> "Database":
        """The database of a data directory."""
        return cls(data_dir / FILE_NAME)

    @property
    def is_there(self) -> bool:
        """Whether there is anything to connect to: the file, or a server, of which only asking it tells more."""
        try:
            return self.path is None or self.path.exists()
        except OSError:
            # In a directory that may not be looked into; whoever opens it is told.
            return False

    @property
    def shown(self) -> str:
        """How sentences name it: no path, no host, no password."""
        return self._backend.shown

    @asynccontextmanager
    async def write(self, dao: str | None = None) -> AsyncGenerator[AsyncConnection]:
        """One transaction that may write, alone; committed when the context ends well.

        Args:
            dao: the DAO it works within; on PostgreSQL rows of others are then out of its reach.

        Raises:
            StoreError: the database cannot be used, or others write for longer than five seconds.
        """
        async with self._writing(self._backend.writer, dao, "alone") as connection:
            yield connection

    @asynccontextmanager
    async def add(self, dao: str | None = None) -> AsyncGenerator[AsyncConnection]:
        """As `write`, for what only adds rows or counts up, and needs no other one of its kind to wait for it.

        Whoever holds `write` is over, or has not begun: what it has removed or forbidden is known here.

        Raises:
            StoreError: as `write`.
        """
        async with self._writing(self._backend.writer, dao, "adding") as connection:
            yield connection

    @asynccontextmanager
    async def work(self) -> AsyncGenerator[AsyncConnection]:
        """As `write`, for work that may take long, such as migrations: it waits for others as long as they need.

        Raises:
            StoreError: the database cannot be used.
        """
        async with self._writing(self._backend.patient_writer, None, "alone") as connection:
            yield connection

    @asynccontextmanager
    async def read(self, dao: str | None = None) -> AsyncGenerator[AsyncConnection]:
        """One consistent snapshot to read from; a write through it fails.

        Args:
            dao: the DAO it works within; on PostgreSQL rows of others are then out of its sight.

        Raises:
            StoreError: the database cannot be used.
        """
        async with self._reading(self._backend.reader, dao) as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[AsyncConnection]:
        """As `read`, for work that may take long, such as a backup.

        Raises:
            StoreError: the database cannot be used.
        """
        async with self._reading(self._backend.patient_reader, None) as connection:
            yield connection

    @asynccontextmanager
    async def _reading(self, engine: AsyncEngine, dao: str | None) -> AsyncGenerator[AsyncConnection]:
        async with self._connected(engine) as connection:
            with self._explained():
                await self._backend.read(connection, dao)
                yield connection

    @asynccontextmanager
    async def _writing(self, engine: AsyncEngine, dao: str | None, kind: Kind) -> AsyncGenerator[AsyncConnection]:
        async with self._connected(engine) as connection:
            with self._explained():
                async with connection.begin() as transaction:
                    mark = await self._backend.write(connection, dao, kind)
                    yield connection
                    await self._commit(transaction, mark)

    async def _commit(self, transaction: AsyncTransaction, mark: str) -> None:
        try:
            await transaction.commit()
        except DBAPIError as error:
            # Where only the answer got lost, whoever tried again would do it twice.
            if not (error.connection_invalidated and await self._backend.is_committed(mark)):
                raise

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
        # Cancelled while it opens a connection or gives one back, the driver would leave it open, with its thread.
        with self._explained(connecting=True):
            connection = await self._finished(self._lend(engine), self._take_back)
        try:
            yield connection
        finally:
            await self._finished(self._take_back(connection))

    async def _lend(self, engine: AsyncEngine) -> AsyncConnection:
        # Counted from the first moment on: whoever is told to stop now gets the connection all the same, and gives it back.
        self._lent += 1
        connection: AsyncConnection | None = None
        try:
            connection = await engine.connect().start()
            return connection
        finally:
            if connection is None:
                self._lent -= 1

    async def _take_back(self, connection: AsyncConnection) -> None:
        try:
            await connection.close()
        finally:
            self._lent -= 1

    async def _finished(self, work: Coroutine[None, None, T], undo: Callable[[T], Coroutine[None, None, None]] | None = None) -> T:
        """Do the work to its end, also where the caller is cancelled; then `undo` it."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            rest = asyncio.create_task(_then(task, undo))
            self._left.add(rest)
            rest.add_done_callback(self._left.discard)
            raise

    def _explained(self, *, connecting: bool = False) -> "_explained":
        return _explained(self._backend, connecting=connecting)

    async def ping(self) -> None:
        """Make sure that it answers.

        Raises:
            StoreError: it does not.
        """
        async with self.read() as connection:
            await connection.execute(text("SELECT 1 FROM dao LIMIT 1"))

    async def truncate_journal(self) -> None:
        """Take removed text off the disk, as far as we can: a file's journal is emptied into it, a server's tables are vacuumed.

        Raises:
            StoreError: the database cannot be used.
        """
        with self._explained(connecting=True):
            await self._backend.tidy()

    async def close(self) -> None:
        """Give all connections back. Whoever was told to stop and has one still gives it back first."""
        tries = int(CLOSE_S / _LOOK_S)
        while (self._left or self._lent) and tries:
            tries -= 1
            await asyncio.sleep(_LOOK_S)
        await self._backend.close()


async def _then(task: "asyncio.Future[T]", undo: Callable[[T], Coroutine[None, None, None]] | None) -> None:
    await asyncio.wait([task])
    if undo is not None and not task.cancelled() and task.exception() is None:
        await undo(task.result())


class _explained:  # noqa: N801 - reads as a clause: with _explained(backend)
    """Turns the driver's errors into one sentence an operator can act on."""

    def __init__(self, backend: Backend, *, connecting: bool) -> None:
        self._backend = backend
        self._connecting = connecting

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is not None and (found := self._backend.explained(error, connecting=self._connecting)) is not None:
            raise found from error
