"""The database: one writer engine that begins IMMEDIATE, separate readers that cannot write."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import URL, Connection, event, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from dagi.errors import StoreError

T = TypeVar("T")

FILE_NAME = "dagi.sqlite"
BUSY_TIMEOUT_MS = 5000
READERS = 4


class _Cursor(Protocol):
    def execute(self, sql: str) -> object: ...
    def close(self) -> None: ...


class _RawConnection(Protocol):
    isolation_level: str | None

    def cursor(self) -> _Cursor: ...


class Database:
    """Connections to one SQLite file.

    Writers take the lock when they begin, so two of them wait for each other instead of failing half-way; readers see a consistent
    snapshot and never block a writer (WAL).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = _engine(path, readonly=False)
        self._reader = _engine(path, readonly=True)
        self._left: set[asyncio.Task[None]] = set()

    @classmethod
    def in_directory(cls, data_dir: Path) -> "Database":
        """The database of a data directory."""
        return cls(data_dir / FILE_NAME)

    @asynccontextmanager
    async def write(self, dao: str | None = None) -> AsyncGenerator[AsyncConnection]:
        """One transaction that may write; committed when the context ends well.

        Args:
            dao: whoever works within one DAO names it, and a database that can sees to it that nothing else is touched.

        Raises:
            StoreError: the file cannot be opened, is not a database, or is locked for longer than five seconds.
        """
        del dao  # SQLite has no rights of rows
        with _explained(self.path):
            async with self._connected(self._writer) as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def read(self, dao: str | None = None) -> AsyncGenerator[AsyncConnection]:
        """One consistent snapshot to read from; a write through it fails.

        Args:
            dao: as for `write`.

        Raises:
            StoreError: the file cannot be opened or is not a database.
        """
        del dao
        with _explained(self.path):
            async with self._connected(self._reader) as connection:
                yield connection

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
        # Cancelled while it opens a connection or gives one back, the driver would leave it open, with its thread.
        connection = await self._finished(engine.connect().start(), _give_back)
        try:
            yield connection
        finally:
            await self._finished(connection.close())

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

    async def ping(self) -> None:
        """Make sure that it answers.

        Raises:
            StoreError: it does not.
        """
        async with self.read() as connection:
            await connection.execute(text("SELECT 1 FROM dao LIMIT 1"))

    async def truncate_journal(self) -> None:
        """Move everything into the database file and empty the journal beside it, as far as readers let it: there, too, lies old text."""
        await asyncio.to_thread(_checkpoint, self.path)

    async def close(self) -> None:
        """Give all connections back."""
        await asyncio.gather(*self._left)
        await self._writer.dispose()
        await self._reader.dispose()


async def _then(task: "asyncio.Future[T]", undo: Callable[[T], Coroutine[None, None, None]] | None) -> None:
    await asyncio.wait([task])
    if undo is not None and not task.cancelled() and task.exception() is None:
        await undo(task.result())


async def _give_back(connection: AsyncConnection) -> None:
    await connection.close()


class _explained:  # noqa: N801 - reads as a clause: with _explained(path)
    """Turns the driver's errors into one sentence an operator can act on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PoolTimeout) or (isinstance(error, DatabaseError) and not _is_callers(error)):
            why = str(error.orig) if isinstance(error, DatabaseError) and error.orig is not None else "all connections are busy"
            raise StoreError(f"The database {self._path.name} cannot be used: {why}. {_advice(why)}") from error


def _checkpoint(path: Path) -> None:
    with _explained(path), closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _advice(why: str) -> str:
    """What to do, by what SQLite says."""
    if "locked" in why:
        return "Another program holds it, a backup perhaps: try again when it has ended, or find out which (`dagi doctor`)."
    if "full" in why:
        return "Free some space on the disk of the data directory and try again."
    return "Check that the data directory exists, is writable and has space, and that the file is not damaged (`dagi doctor`)."


def _is_callers(error: DatabaseError) -> bool:
    # A constraint or a statement that is wrong is the repository's business, not the file's.
    return type(error).__name__ in {"IntegrityError", "ProgrammingError", "DataError"}


def _engine(path: Path, *, readonly: bool) -> AsyncEngine:
    engine = create_async_engine(
        # Not a text: a path may hold what means something else in a URL.
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=READERS if readonly else 1,
        max_overflow=0,
        pool_timeout=10,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: _RawConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: it would begin them DEFERRED.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            # What is committed is on the disk. Writes come in batches, so this costs little.
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "recursive_triggers=ON",
            # What is removed is overwritten: text that somebody had erased must not lie on in the file.
            "secure_delete=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        if readonly:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    return engine
