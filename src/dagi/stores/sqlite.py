"""SQLite: one file, one writer engine that begins IMMEDIATE, separate readers that cannot write."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_only

from dagi.errors import StoreError
from dagi.stores.backend import Kind

BUSY_TIMEOUT_MS: Final = 5000
READERS: Final = 4
_SWITCH_MS: Final = 20
# The part of an error's number that says which it is; the rest says more of it.
_PRIMARY: Final = 0xFF


class _Cursor(Protocol):
    def execute(self, sql: str) -> object: ...
    def close(self) -> None: ...


class _RawConnection(Protocol):
    isolation_level: str | None

    def cursor(self) -> _Cursor: ...


class Sqlite:
    """Implements Backend.

    Writers take the lock when they begin, so two of them wait for each other instead of failing half-way; readers see a consistent
    snapshot and never block a writer (WAL). Rows of different DAOs lie in one file, which knows no row-level security.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shown = path.name
        self.writer = _engine(path, readonly=False)
        self.reader = _engine(path, readonly=True)
        # A file has one writer, whatever it does, and bounds no statement.
        self.patient_reader, self.patient_writer = self.reader, self.writer

    async def read(self, connection: AsyncConnection, dao: str | None) -> None:
        """See Backend: the snapshot begins with the first statement."""

    async def write(self, connection: AsyncConnection, dao: str | None, kind: Kind) -> str:
        """See Backend: the engine has begun IMMEDIATE."""
        del connection, dao, kind
        return ""

    async def is_committed(self, mark: str) -> bool | None:
        """See Backend: a commit that fails is none."""
        del mark
        return False

    async def tidy(self) -> None:
        """See Backend: move everything into the file and empty the journal beside it, as far as readers let it."""
        await asyncio.to_thread(self._checkpoint)

    def explained(self, error: BaseException, *, connecting: bool) -> StoreError | None:
        """See Backend."""
        del connecting
        if isinstance(error, PoolTimeout) or (isinstance(error, DatabaseError) and not _is_callers(error)):
            why = str(error.orig) if isinstance(error, DatabaseError) and error.orig is not None else "all connections are busy"
            return self._trouble(why)
        return None

    def _checkpoint(self) -> None:
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._trouble(str(error)) from error

    async def close(self) -> None:
        """See Backend."""
        await self.writer.dispose()
        await self.reader.dispose()

    def _trouble(self, why: str) -> StoreError:
        return StoreError(f"The database {self.shown} cannot be used: {why}. {_advice(why)}")


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


def _to_wal(cursor: _Cursor) -> None:
    """Have the file's journal be a WAL.

    Of several that switch a new file at once one may be told that it is locked without having waited (SQLite waits for no lock where two
    could wait for each other); a moment later the switch is done. Where another program holds the file it has waited, each time.
    """
    time = asyncio.get_running_loop().time
    end = time() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY or time() >= end:
                raise
            await_only(asyncio.sleep(_SWITCH_MS / 1000))
        else:
            return


def _engine(path: Path, *, readonly: bool) -> AsyncEngine:
    engine = create_async_engine(
        # Not a text: a path may hold what means something else in a URL.
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=READERS if readonly else 1,
        max_overflow=0,
        pool_timeout=10,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        # Errors reach the log, and what a statement was given may be what somebody said.
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: _RawConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: it would begin them DEFERRED.
        connection.isolation_level = None
        cursor = connection.cursor()
        _to_wal(cursor)
        for pragma in (
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
