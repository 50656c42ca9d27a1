"""A close look at a database file that may be damaged, locked or growing: what nothing on the request path has the time for."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

# How many steps of SQLite's machine go by between two looks at the clock.
_STEPS: Final = 20_000
_SHOWN: Final = 3


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        damage: what SQLite says is broken, a few lines of it.
        whole: all of it was looked through within the time.
        locked: another program kept others from writing all the time.
        wal_bytes: what waits beside the file to be taken over into it.
    """

    damage: tuple[str, ...] = ()
    whole: bool = True
    locked: bool = False
    wal_bytes: int = 0


def examine(path: Path, *, check_s: float, lock_s: float) -> Examined:
    """Look the whole file through for damage, and see whether it could be written. Changes nothing; takes at most both times together.

    Raises:
        OSError: the file cannot be opened; the text says why.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=lock_s, isolation_level=None)) as connection:
            locked = _locked(connection)
            damage, whole = _looked_through(connection, time.monotonic() + check_s)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT:
            return Examined(damage=(str(error),))
        raise OSError(str(error)) from error
    wal = path.with_name(f"{path.name}-wal")
    return Examined(damage=damage, whole=whole, locked=locked, wal_bytes=wal.stat().st_size if wal.exists() else 0)


def _locked(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise
        return True
    return False


def _looked_through(connection: sqlite3.Connection, deadline: float) -> tuple[tuple[str, ...], bool]:
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        found = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({_SHOWN})")]
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT}:
            return (), False
        raise
    return (() if found == ["ok"] else tuple(found)), True
