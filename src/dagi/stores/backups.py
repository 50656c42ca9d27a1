"""Backups: one file of SQLite, whatever kind of database it is made of, and so one that goes back into either kind.

Of a file it is made by SQLite's own backup in one snapshot, of a server by copying every row in one. It is consistent while the stack
runs, needs no other program, can be looked into with `sqlite3`, and is checked before it counts as made.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import msgspec

from dagi.errors import Conflict, Invalid, StoreError
from dagi.stores.copying import Progress, TableCopied, copy, copy_rows, is_empty
from dagi.stores.database import Database
from dagi.stores.tables import metadata
from dagi.stores.upgrade import HEAD, rebuild, require_alone, revision, upgrade

_MAGIC: Final = b"SQLite format 3\0"
_PAGES: Final = 4_096
_SHOWN: Final = 3
_OURS: Final = frozenset({"alembic_version", "dao", "membership", "exchange"})


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made, or looked at.

    Attributes:
        rows: how many each table has.
    """

    file: str
    schema: str
    bytes: int
    rows: dict[str, int]


async def back_up(database: Database, file: Path, progress: Progress, *, overwrite: bool = False) -> Backup:
    """Write a backup, mode 0600; the file is there whole or not at all.

    Raises:
        Conflict: the file is there already.
        StoreError: the database cannot be read, or the file cannot be written.
    """
    if await asyncio.to_thread(file.exists) and not overwrite:
        raise Conflict(f"{file} is there already. Name another file, or add --overwrite.")
    schema = await revision(database) if database.is_there else None
    if schema is None:
        raise StoreError("There is nothing to back up: the database has no tables yet.")
    if database.path is None and schema != HEAD:
        # Rows are copied by what this version knows of them; of another one's some would be missing.
        raise StoreError(
            f"The database {database.shown} is at schema {schema}, and this version can back up {HEAD} alone. "
            "Use the version of DAGI Stack that runs on it, before an upgrade, or the server's own tools."
        )
    async with _drafting(file.parent) as draft:
        if database.path is None:
            made = Database(draft)
            try:
                await upgrade(made)
                await copy(database, made, progress)
            finally:
                await made.close()
        else:
            await asyncio.to_thread(_pages_copied, database.path, draft, progress)
        await asyncio.to_thread(_put_alone, draft)
        found = await look_at(draft)
        await asyncio.to_thread(draft.replace, file)
    return msgspec.structs.replace(found, file=str(file))


async def look_at(file: Path) -> Backup:
    """Make sure that a file is a backup of ours and whole; it is only read.

    Raises:
        Invalid: it is not there, is something else, is damaged, or was made by a newer version.
    """
    return await asyncio.to_thread(_examined, file)


async def restore(database: Database, file: Path, room: Path, progress: Progress, *, replace: bool = False) -> Backup:
    """Put a backup in the place of the database, with this version's schema; all of it or nothing.

    Whoever calls it has made sure that no stack runs on the database.

    Args:
        room: a directory with space for another copy of it.

    Raises:
        Invalid: the file is no whole backup of ours.
        Conflict: the database is not empty, and is not to be replaced.
        StoreError: the database cannot be written.
    """
    found = await look_at(file)
    async with _up_to_date(file, room, progress) as source:
        if database.path is not None:
            await _into_file(source, database, database.path, progress, replace=replace)
        else:
            await _into_server(source, database, progress, replace=replace)
    return found


async def move(file: Path, database: Database, room: Path, progress: Progress) -> tuple[TableCopied, ...]:
    """Copy a database of SQLite, also one that is in use, into a server's that is empty.

    Raises:
        Invalid: the file is no whole database of ours.
        Conflict: the server's database is not empty.
        StoreError: one of them cannot be used, or a row cannot be stored there.
    """
    await look_at(file)
    async with _up_to_date(file, room, progress) as source:
        return await _into_server(source, database, progress, replace=False)


async def _into_file(source: Database, database: Database, path: Path, progress: Progress, *, replace: bool) -> None:
    await source.close()
    draft = source.path or path
    await asyncio.to_thread(_put_alone, draft)
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True, mode=0o700)
    if database.is_there and not await _is_usable(database, replace=replace):
        await database.close()
        await asyncio.to_thread(_set_aside, path)
    if not database.is_there:
        await asyncio.to_thread(path.touch, mode=0o600)
    # One transaction of SQLite's own: whoever looks meanwhile sees the old database or the new one.
    await asyncio.to_thread(_pages_copied, draft, path, progress)


async def _is_usable(database: Database, *, replace: bool) -> bool:
    """Whether what is there can be written over; False where it is damaged, and nobody wants it any more."""
    try:
        if await revision(database) is None:
            return True
        async with database.read() as connection:
            if not replace and not await is_empty(connection):
                raise _not_empty(database)
    except StoreError:
        if not replace:
            raise
        return False
    return True


async def _into_server(source: Database, database: Database, progress: Progress, *, replace: bool) -> tuple[TableCopied, ...]:
    async with source.snapshot() as reading, database.work() as writing:
        await require_alone(writing)
        # Tables are made in the same transaction, so a copy that fails leaves what was there.
        if not await writing.run_sync(rebuild, replace=replace):
            raise _not_empty(database)
        return await copy_rows(reading, writing, progress)


def _not_empty(database: Database) -> Conflict:
    return Conflict(f"The database {database.shown} is not empty, so nothing was changed. A restore with --replace would.")


@asynccontextmanager
async def _drafting(directory: Path) -> AsyncGenerator[Path]:
    """A file to work on, which nobody else can look into, and which is gone afterwards unless it was moved."""
    try:
        room = Path(await asyncio.to_thread(mkdtemp, prefix=".dagi-", dir=directory))
    except OSError as error:
        raise StoreError(f"{directory} cannot be written: {error.strerror}. Name another place.") from error
    try:
        draft = room / "draft.sqlite"
        draft.touch(mode=0o600)
        yield draft
    finally:
        await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)


@asynccontextmanager
async def _up_to_date(file: Path, room: Path, progress: Progress) -> AsyncGenerator[Database]:
    """A copy of a database with this version's schema."""
    async with _drafting(room) as draft:
        await asyncio.to_thread(_pages_copied, file, draft, progress)
        database = Database(draft)
        try:
            await upgrade(database)
            yield database
        finally:
            await database.close()


def _pages_copied(source: Path, target: Path, progress: Progress) -> None:
    """Write one file's content over another's, within one snapshot of the source and one transaction of the target.

    Raises:
        StoreError: one of them cannot be used.
    """

    def told(_status: int, remaining: int, total: int) -> None:
        progress("pages", total - remaining, total)

    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as reading,
            closing(sqlite3.connect(target, isolation_level=None)) as writing,
        ):
            # Held open, so that what others write meanwhile does not make it begin anew.
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reading.backup(writing, pages=_PAGES, progress=told)
    except sqlite3.Error as error:
        why = f"The copy could not be made: {error}."
        raise StoreError(f"{why} See whether there is space, and who holds the database (`dagi doctor`).") from error


def _put_alone(file: Path) -> None:
    """Leave nothing beside the file that belongs to it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    _remove_beside(file)


def _remove_beside(file: Path) -> None:
    for beside in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            file.with_name(file.name + beside).unlink()


def _set_aside(file: Path) -> None:
    file.rename(file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%d%H%M%S}"))
    _remove_beside(file)


def _examined(file: Path) -> Backup:
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            if opened.read(len(_MAGIC)) != _MAGIC:
                raise Invalid(f"{file} is no backup of DAGI Stack: it is no file of SQLite.", field="file")
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            damage = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_SHOWN})")]
            if damage != ["ok"]:
                raise Invalid(f"{file} is damaged: {'; '.join(damage)}. Take another backup.", field="file")
            tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= _OURS:
                raise Invalid(f"{file} is no backup of DAGI Stack: it has other tables.", field="file")
            (schema,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("none",)
            known = sorted(tables & metadata.tables.keys())
            rows = {name: int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for name in known}  # noqa: S608 - ours
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.", field="file") from error
    except sqlite3.Error as error:
        raise Invalid(f"{file} is damaged: {error}. Take another backup.", field="file") from error
    if not (str(schema).isdigit() and schema <= HEAD):
        raise Invalid(f"{file} was made by a newer version of DAGI Stack (schema {schema}, this one knows {HEAD}).", field="file")
    return Backup(file=str(file), schema=str(schema), bytes=size, rows=rows)
