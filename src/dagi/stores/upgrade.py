"""Bring a database to the schema this version of the stack needs."""

from pathlib import Path

from sqlalchemy import Connection, text

from dagi.errors import StoreError
from dagi.stores.database import Database

HEAD = "0006"


async def revision(database: Database) -> str | None:
    """The schema's revision; None for an empty database.

    Raises:
        StoreError: the database cannot be read.
    """
    async with database.read() as connection:
        known = await connection.scalar(text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"))
        if known is None:
            return None
        return await connection.scalar(text("SELECT version_num FROM alembic_version"))


async def upgrade(database: Database) -> str:
    """Run the migrations that are missing, in one transaction, and return the revision reached.

    Raises:
        StoreError: the database belongs to a newer version of the stack, or cannot be written.
    """
    database.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # One that is up to date is only read: whoever just looks does not wait for a backup to end.
    if database.path.exists() and await revision(database) == HEAD:
        return HEAD
    async with database.write() as connection:
        await connection.run_sync(_run)
    database.path.chmod(0o600)
    return HEAD


def _run(connection: Connection) -> None:
    # Alembic takes a third of a second to import, and an up-to-date database does not need it.
    exists = connection.scalar(text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"))
    if exists and connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD:
        return
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            "The database was written by a newer version of DAGI Stack. Start that version, or restore a backup made before the upgrade."
        ) from error
