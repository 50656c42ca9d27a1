"""`dagi db`: the database."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from dagi.assemble.installation import Installation
from dagi.cli.options import AsJson, Config, Profile, Yes, installation, looked_at
from dagi.cli.output import as_json, say, table
from dagi.errors import ConfigError, Conflict, Missing, StoreError
from dagi.stores import backups
from dagi.stores.copying import TableCopied
from dagi.stores.database import FILE_NAME, Database
from dagi.stores.inspection import Checked
from dagi.stores.inspection import check as run_check
from dagi.stores.upgrade import BASE
from dagi.stores.upgrade import downgrade as run_downgrade
from dagi.stores.upgrade import upgrade as run_upgrade

T = TypeVar("T")
# Nothing that is over before this needs to tell how far it is.
TELL_S = 2.0

app = typer.Typer(help="The database: schema, backups, from SQLite to PostgreSQL.", no_args_is_help=True)

Replace = Annotated[bool, typer.Option("--replace", help="Also where the database is not empty: what is in it is lost.")]


@app.callback()
def group() -> None:
    """The database."""


@app.command(epilog="Example: dagi db upgrade --profile prod")
def upgrade(profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Bring the database to the schema this version needs. `dagi serve` does it by itself."""
    schema = _run(installation(profile, config), run_upgrade)
    if json:
        as_json({"schema": schema})
    else:
        say(f"The database is at schema {schema}.")


@app.command(epilog="Example: dagi db downgrade 0003 --profile prod")
def downgrade(
    to: Annotated[str, typer.Argument(help=f"The schema to go back to, such as 0003; {BASE} removes every table.")],
    profile: Profile = None,
    config: Config = None,
    yes: Yes = False,
) -> None:
    """Take the schema back to what an earlier version needs. What only the later one could hold is lost: make a backup first."""
    of = installation(profile, config)
    if not yes:
        typer.confirm(f"Take the schema back to {to}? What only the later schema could hold is lost.", abort=True)
    with _stopped(of):
        at = _run(of, lambda database: run_downgrade(database, to))
    say(f"The database is at schema {at}." if at else "The database has no tables any more.")


@app.command(epilog="Example: dagi db backup dagi-2026-11-23.sqlite --profile prod")
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; a file of SQLite, of either kind of database.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also where the file is there already.")] = False,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Back the database up into one file, also while the stack runs. It holds everything: keep it as safe as the database."""
    made = _run(looked_at(profile, config), lambda database: backups.back_up(database, file, _Teller(), overwrite=overwrite))
    if json:
        as_json(made)
    else:
        say(f"{made.file}: schema {made.schema}, {made.bytes:,} bytes, {sum(made.rows.values()):,} rows. Looked through: it is whole.")


@app.command(epilog="Example: dagi db restore dagi-2026-11-23.sqlite --profile prod")
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `dagi db backup` made.")],
    replace: Replace = False,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Put a backup in the place of the database, while no stack runs. What was revoked or erased after it was made is there again."""
    of = installation(profile, config)
    with _stopped(of):
        found = _run(of, lambda database: backups.restore(database, file, of.data_dir, _Teller(), replace=replace))
    if json:
        as_json(found)
    else:
        say(f"The database is as it was in {file}: {sum(found.rows.values()):,} rows.")


@app.command(epilog="Example: dagi db copy --from .dagi/dagi.sqlite --profile prod")
def copy(
    source: Annotated[Path | None, typer.Option("--from", help="The file of SQLite; that of the data directory where left out.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Copy a database of SQLite into the empty one of PostgreSQL that `database.url` names. The file stays as it is."""
    of = installation(profile, config)
    file = of.data_dir / FILE_NAME if source is None else source
    if not file.exists():
        raise Missing(f"There is no {file} to copy. Name it: --from FILE", file=str(file))
    with _stopped(of):
        copied = _run(of, lambda database: _copied(of, file, database))
    if json:
        as_json(copied)
        return
    rows = [(one.table, one.rows, one.digest[:16], one.mended or "") for one in copied]
    table(("table", "rows", "digest, equal on both sides", "texts mended"), rows, empty="")
    say("Everything is there. The stack works on PostgreSQL from its next start.")


async def _copied(of: Installation, file: Path, database: Database) -> tuple[TableCopied, ...]:
    if database.path is not None:
        raise of.loaded.origins.error([("database.url", "names no PostgreSQL database to copy into; write postgresql://user@host/name")])
    return await backups.move(file, database, of.data_dir, _Teller())


@app.command(epilog="Example: dagi db check --profile prod")
def check(
    file: Annotated[Path | None, typer.Argument(help="A backup to look at instead of the database.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Look the database, or a backup, through for damage. Exit status 0: none was found; 1: some was."""
    if file is not None:
        found = asyncio.run(backups.look_at(file))
        as_json(found) if json else say(f"{file} is whole: schema {found.schema}, {sum(found.rows.values()):,} rows.")
        return
    checked = _run(looked_at(profile, config), _checked)
    if json:
        as_json(checked)
    else:
        table(("table", "rows"), list(checked.rows.items()), empty="It has no tables yet; the first start makes them.")
        for problem in checked.problems:
            say(f"problem: {problem}")
        if not checked.problems:
            say(f"No damage was found in {checked.database}, schema {checked.schema}.")
    if checked.problems:
        raise typer.Exit(1)


async def _checked(database: Database) -> Checked:
    if not database.is_there:
        raise Missing("There is no database yet; the first start of the stack makes it.")
    return await run_check(database)


def _run(of: Installation, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        database = of.database()
        try:
            return await work(database)
        except OSError as error:
            raise StoreError(f"The database {database.shown} cannot be used: {error}.") from error
        finally:
            await database.close()

    return asyncio.run(run())


@contextmanager
def _stopped(of: Installation) -> Generator[None]:
    """While no stack runs on the data directory, and none can start."""
    try:
        held = of.lock()
    except ConfigError as error:
        raise Conflict("A stack runs on this data directory. Stop it first.") from error
    with held:
        yield


class _Teller:
    """Tells on standard error how far it is, every two seconds."""

    def __init__(self) -> None:
        self._tell_at = time.monotonic() + TELL_S

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_S
            sys.stderr.write(f"{what}: {done:,} of {total:,}\n")
            sys.stderr.flush()
