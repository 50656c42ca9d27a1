"""Bring a database to the schema this version of the stack needs, or back to an earlier one."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, exists, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.errors import Conflict, StoreError
from dagi.stores.database import Database
from dagi.stores.postgres import OTHERS
from dagi.stores.rowsecurity import protect, unprotected
from dagi.stores.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0009"
BASE = "base"


async def revision(database: Database) -> str | None:
    """The schema's revision; None for an empty database.

    Raises:
        StoreError: the database cannot be read.
    """
    async with database.read() as connection:
        return await connection.run_sync(_revision)


async def upgrade(database: Database) -> str:
    """Run the migrations that are missing, in one transaction, and return the revision reached.

    Of several processes that start at once, one migrates and the others wait for it.

    Raises:
        StoreError: the database belongs to a newer version of the stack, or cannot be written.
    """
    if database.path is not None:
        database.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # One that is up to date is only read: whoever just looks does not wait for a backup to end.
    if database.is_there and await _is_current(database):
        return HEAD
    async with database.work() as connection:
        await connection.run_sync(_upgrade)
    if database.path is not None:
        database.path.chmod(0o600)
    return HEAD


async def downgrade(database: Database, to: str) -> str | None:
    """Take migrations back, in one transaction, and return the revision reached; None for an empty database.

    What only the later schema could hold is gone.

    Args:
        to: a revision such as `0002`, or `base`, which removes everything.

    Raises:
        Conflict: another process of ours works on the database.
        StoreError: there is no such revision before the present one, or the database cannot be written.
    """
    async with database.work() as connection:
        await require_alone(connection)
        await connection.run_sync(_downgrade, to)
        return await connection.run_sync(_revision)


async def require_alone(connection: AsyncConnection) -> None:
    """Make sure that no other process of ours is connected to a server's database; a file's directory is locked by whoever runs on it.

    Raises:
        Conflict: one is.
    """
    if connection.dialect.name == "postgresql" and await connection.scalar(OTHERS):
        raise Conflict("A stack or a command of ours is connected to this database. Stop it first.")


async def _is_current(database: Database) -> bool:
    async with database.read() as connection:
        if await connection.run_sync(_revision) != HEAD:
            return False
        return connection.dialect.name != "postgresql" or not await connection.run_sync(unprotected)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))


def _upgrade(connection: Connection) -> None:
    # Again, now that nobody else writes: somebody may just have done it.
    if _revision(connection) != HEAD:
        _run(connection, "head")
    if connection.dialect.name == "postgresql":
        protect(connection, unprotected(connection))


def rebuild(connection: Connection, *, replace: bool) -> bool:
    """Leave empty tables of this version's schema, within the transaction; False where there are rows and `replace` is not said."""
    if _revision(connection) is not None:
        if not replace and any(connection.scalar(select(exists().select_from(metadata.tables[name]))) for name in _known(connection)):
            return False
        _run(connection, BASE, down=True)
    _upgrade(connection)
    return True


def _known(connection: Connection) -> Iterable[str]:
    return metadata.tables.keys() & set(inspect(connection).get_table_names())


def _downgrade(connection: Connection, to: str) -> None:
    at = _revision(connection)
    if to != BASE and (at is None or to >= at):
        raise StoreError(f"The database is at schema {at or 'none'}; it can only go back to an earlier one than that.")
    if at is not None:
        _run(connection, to, down=True)


def _run(connection: Connection, to: str, *, down: bool = False) -> None:
    # Alembic takes a third of a second to import, and an up-to-date database does not need it.
    from alembic import command  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    try:
        (command.downgrade if down else command.upgrade)(_config(connection), to)
    except CommandError as error:
        newer = "The database was written by a newer version of DAGI Stack. Start that one, or restore a backup made before the upgrade."
        is_ours = (_revision(connection) or HEAD) <= HEAD
        raise StoreError(f"There is no schema {to!r}." if down and is_ours else newer) from error


def _config(connection: Connection) -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
