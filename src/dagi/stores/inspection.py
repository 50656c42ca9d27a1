"""Whether a database is what it should be: its schema, its references, its index, who is kept from whose rows."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import text

from dagi.stores.copying import count_rows
from dagi.stores.database import Database
from dagi.stores.examination import examine
from dagi.stores.rowsecurity import is_bound, unprotected
from dagi.stores.upgrade import HEAD, revision

LOOK_S: Final = 3_600.0
_LOCK_S: Final = 1.0
_SHOWN: Final = 5
_UNFINDABLE: Final = text("SELECT count(*) FROM fact LEFT JOIN fact_fts ON fact_fts.fact_id = fact.id WHERE fact_fts.fact_id IS NULL")


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        schema: None where there are no tables yet.
        problems: one sentence each; what to do stands in it.
        rows: how many each table has; empty where the schema is another version's.
    """

    database: str
    schema: str | None
    problems: tuple[str, ...]
    rows: dict[str, int]


async def check(database: Database) -> Checked:
    """Look at everything; takes its time with a large file.

    Raises:
        StoreError: the database cannot be used at all.
        OSError: the file cannot be opened.
    """
    problems: list[str] = []
    if database.path is not None:
        problems += await asyncio.to_thread(_file_problems, database.path)
    schema = await revision(database)
    rows: dict[str, int] = {}
    if schema is not None and schema != HEAD:
        problems.append(f"Its schema is {schema}, this version needs {HEAD}: dagi db upgrade.")
    elif schema is not None:
        async with database.snapshot() as connection:
            rows = await count_rows(connection)
            if connection.dialect.name == "postgresql":
                if off := await connection.run_sync(unprotected):
                    problems.append(f"Row-level security is off for {', '.join(off)}: dagi db upgrade.")
                if not await connection.run_sync(is_bound):
                    problems.append("The role is a superuser or bypasses row-level security: give the stack a role of its own.")
                if lost := await connection.scalar(_UNFINDABLE):
                    problems.append(f"{lost} passages cannot be found by words: add their documents again.")
    return Checked(database=database.shown, schema=schema, problems=tuple(problems), rows=rows)


def _file_problems(path: Path) -> list[str]:
    found = examine(path, check_s=LOOK_S, lock_s=_LOCK_S)
    problems = [f"It is damaged: {line}. Restore a backup: dagi db restore FILE --replace." for line in found.damage]
    if not found.whole:
        problems.append("Not all of it could be looked through, because it is in use or very large. Try again when the stack rests.")
    if found.damage:
        return problems
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        broken = connection.execute("PRAGMA foreign_key_check").fetchmany(_SHOWN)
    return problems + [f"A row of {table} refers to one of {other} that is not there." for table, _, other, _ in broken]
