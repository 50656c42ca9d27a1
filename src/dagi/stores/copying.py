"""All rows of one database into an empty one of either kind: in one snapshot, in one transaction, counted and compared at the end."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Select, String, Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.errors import Conflict, StoreError
from dagi.stores.batches import Batch
from dagi.stores.database import Database
from dagi.stores.tables import fact, metadata
from dagi.stores.words import index

BATCH: Final = 500
_NUL: Final = "\x00"
_REPLACEMENT: Final = "\ufffd"
_MODULUS: Final = 2**256

Row = dict[str, Any]
# Which table, how many of its rows are copied, how many there are.
Progress = Callable[[str, int, int], None]


class TableCopied(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one table.

    Attributes:
        digest: SHA-256 over its rows in hexadecimal, whatever their order; the same on both sides.
        mended: texts in which a NUL, which PostgreSQL cannot hold, became U+FFFD.
    """

    table: str
    rows: int
    digest: str
    mended: int


class _Sum:
    """A digest over rows that does not depend on their order, which databases see differently."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, values: Iterable[object]) -> None:
        self.rows += 1
        self._sum += int.from_bytes(hashlib.sha256(msgspec.json.encode(list(values))).digest())

    @property
    def hex(self) -> str:
        return f"{self._sum % _MODULUS:064x}"


async def count_rows(connection: AsyncConnection) -> dict[str, int]:
    """How many rows each table has."""
    return {table.name: await connection.scalar(select(func.count()).select_from(table)) or 0 for table in metadata.sorted_tables}


async def is_empty(connection: AsyncConnection) -> bool:
    """Whether no table has a row."""
    for table in metadata.sorted_tables:
        if await connection.scalar(select(func.count()).select_from(select(table.primary_key.columns[0]).limit(1).subquery())):
            return False
    return True


async def copy(source: Database, target: Database, progress: Progress) -> tuple[TableCopied, ...]:
    """Copy everything; both have this version's schema.

    Raises:
        Conflict: the target is not empty.
        StoreError: a row cannot be stored there, one side cannot be used, or what arrived is not what was sent.
    """
    async with source.snapshot() as reading, target.work() as writing:
        return await copy_rows(reading, writing, progress)


async def copy_rows(reading: AsyncConnection, writing: AsyncConnection, progress: Progress) -> tuple[TableCopied, ...]:
    """The same, within transactions that have begun."""
    if not await is_empty(writing):
        raise Conflict("The database to copy into is not empty. Make a new one: nothing was changed.")
    # Tables that others refer to come first.
    copied = [await _copy_table(table, reading, writing, progress) for table in metadata.sorted_tables]
    await _set_counters(writing)
    for told in copied:
        table = metadata.tables[told.table]
        arrived = _Sum()
        async for batch in _batches(writing, table):
            for row in batch:
                arrived.add(row.values())
        if (arrived.rows, arrived.hex) != (told.rows, told.digest):
            raise StoreError(f"What arrived of the table {table.name} is not what was sent. Nothing was kept.")
    return tuple(copied)


async def _copy_table(table: Table, reading: AsyncConnection, writing: AsyncConnection, progress: Progress) -> TableCopied:
    total = await reading.scalar(select(func.count()).select_from(table)) or 0
    inserting = Batch(table, [column.name for column in table.columns])
    is_postgres = writing.dialect.name == "postgresql"
    sent, mended = _Sum(), 0
    progress(table.name, 0, total)
    async for batch in _batches(reading, table):
        if is_postgres:
            mended += sum(_mended(table, row) for row in batch)
        for row in batch:
            sent.add(row.values())
        await inserting.insert(writing, batch)
        if is_postgres and table is fact:
            await _index(writing, batch)
        progress(table.name, sent.rows, total)
    return TableCopied(table=table.name, rows=sent.rows, digest=sent.hex, mended=mended)


async def _batches(connection: AsyncConnection, table: Table) -> AsyncGenerator[list[Row]]:
    async with connection.stream(_ordered(table).execution_options(yield_per=BATCH)) as result:
        async for rows in result.mappings().partitions(BATCH):
            yield [dict(row) for row in rows]


def _ordered(table: Table) -> Select[Any]:
    return select(table).order_by(*table.primary_key.columns)


async def _index(writing: AsyncConnection, batch: Sequence[Mapping[str, Any]]) -> None:
    by_dao: dict[str, list[tuple[int, str, str]]] = {}
    for row in batch:
        by_dao.setdefault(row["dao_id"], []).append((row["id"], row["title"], row["text"]))
    for dao_id, passages in by_dao.items():
        await index(writing, dao_id, passages)


def _mended(table: Table, row: Row) -> int:
    """Make a row of SQLite one that PostgreSQL takes; how many of its texts had to be changed."""
    changed = 0
    for column in table.columns:
        value = row[column.name]
        if not isinstance(value, str):
            continue
        if _NUL in value:
            row[column.name] = value = value.replace(_NUL, _REPLACEMENT)
            changed += 1
        most = column.type.length if isinstance(column.type, String) else None
        if most is not None and len(value) > most:
            key = ", ".join(str(row[part.name]) for part in table.primary_key.columns)[:100]
            raise StoreError(f"{table.name}.{column.name} of {key} has {len(value)} characters, PostgreSQL takes {most}. Shorten it.")
    return changed


async def _set_counters(writing: AsyncConnection) -> None:
    """Let ids that the database gives go on behind those that came along."""
    if writing.dialect.name != "postgresql":
        return  # SQLite takes the highest one and goes on
    for table in metadata.sorted_tables:
        counted = table.autoincrement_column
        if counted is None or counted.foreign_keys:
            continue
        names = {"table": table.name, "column": counted.name}
        sequence = await writing.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), names)
        highest = await writing.scalar(select(func.max(counted)))
        if sequence is not None and highest is not None:
            await writing.execute(text("SELECT setval(CAST(:sequence AS regclass), :highest)"), {"sequence": sequence, "highest": highest})
