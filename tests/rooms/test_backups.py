"""Backups of both kinds of database, back into either; from SQLite to PostgreSQL."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import delete, select, text, update

from dagi.errors import Conflict, Invalid, StoreError
from dagi.ports.documents import Document, Passage
from dagi.ports.vectors import Vector
from dagi.stores.audit import SqlAudit
from dagi.stores.backups import back_up, look_at, move, restore
from dagi.stores.batches import Batch
from dagi.stores.copying import count_rows
from dagi.stores.daos import Daos
from dagi.stores.database import FILE_NAME, Database
from dagi.stores.documents import SqlDocuments
from dagi.stores.erasure import Erasure
from dagi.stores.inspection import check
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.stores.passages import SqlPassages
from dagi.stores.postgres import Address
from dagi.stores.tables import dao, exchange, fact, metadata
from dagi.stores.upgrade import HEAD, downgrade, upgrade
from dagi.stores.vectors import SqlVectors
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
# More than one batch of a copy.
ROWS = 700
NOW = datetime(2026, 11, 22, 12, 30, 15, 123456, tzinfo=UTC)


def silent(_what: str, _done: int, _total: int) -> None:
    pass


async def fill(database: Database) -> None:
    """Something in most tables, of every type."""
    clock = FakeClock()
    for dao_id in ("green", "blue"):
        await Daos(database, clock).create(dao_id, f"Зелена {dao_id}")
        await MemberAdmin(database, clock).create(dao_id, f"tg:{dao_id}", ["member", "admin"], expires_at=None)
        document = Document(name="a.md", digest=dao_id, size_bytes=3, passages=(Passage("Сад", "яблука"), Passage("Sea", f"fish {dao_id}")))
        await SqlDocuments(database, lambda: NOW).put(dao_id, document)
    (first, *_) = await SqlVectors(database).unindexed("green", 1)
    await SqlVectors(database).save([Vector(id=first.id, document_id=first.document_id, data=bytes(range(256)))])
    await Keys(database, clock).create("green", "member", expires_at=NOW)
    await Erasure(database, clock).erase("tg:gone")
    row = {"dao_id": "green", "user_id": "tg:1", "source": "api", "mode": "chat", "outcome": "ok", "answer": "", "charged_tokens": 2**40}
    rows = [
        {**row, "request_id": f"r{number}", "prompt": f"питання {number}", "duration_ms": number / 7, "at": NOW} for number in range(ROWS)
    ]
    async with database.write() as connection:
        await Batch(exchange, list(rows[0])).insert(connection, rows)


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def content(database: Database) -> dict[str, list[tuple[object, ...]]]:
    async with database.read() as connection:
        return {table.name: sorted(map(tuple, await connection.execute(select(table))), key=repr) for table in metadata.sorted_tables}


@pytest.fixture
async def filled(database: Database) -> Database:
    await fill(database)
    return database


@pytest.fixture(params=["to sqlite", "to postgres"])
async def other(request: pytest.FixtureRequest, tmp_path: Path, postgres):
    """Another database without any tables, of each kind."""
    if request.param == "to sqlite":
        found = Database(tmp_path / "other" / FILE_NAME)
        yield found
        await found.close()
        return
    name = postgres.database()
    found = Database(Address(url=postgres.url(name)))
    yield found
    await found.close()
    postgres.drop(name)


async def test_a_backup_of_either_kind_restores_into_either_kind_with_all_that_was_in_it(
    filled: Database, other: Database, tmp_path: Path
) -> None:
    file = tmp_path / "backup.sqlite"
    made = await back_up(filled, file, silent)
    assert (made.schema, made.rows["exchange"], made.file) == (HEAD, ROWS, str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert [name for name in names(tmp_path) if name.startswith((".dagi-", "backup.sqlite-"))] == []
    was = await content(filled)
    await restore(other, file, tmp_path, silent)
    assert await content(other) == was
    # It goes on as the one before would have.
    assert [fact.text for fact in await SqlPassages(other).matching("green", "яблуко", 5)] == ["яблука"]
    assert (await SqlAudit(other).verify()).findings == ()
    await MemberAdmin(other, FakeClock()).create("green", "tg:new", ["member"])
    assert (await check(other)).problems == ()


async def test_an_id_given_after_a_copy_goes_on_behind_those_that_came_along(filled: Database, other: Database, tmp_path: Path) -> None:
    await back_up(filled, tmp_path / "b.sqlite", silent)
    await restore(other, tmp_path / "b.sqlite", tmp_path, silent)
    await SqlDocuments(other, lambda: NOW).put("blue", Document(name="b", digest="b", size_bytes=1, passages=(Passage("New", "newest"),)))
    async with other.read() as connection:
        ids = (await connection.scalars(select(fact.c.id).order_by(fact.c.id))).all()
    assert len(ids) == 5
    assert [found.text for found in await SqlPassages(other).matching("blue", "newest", 5)] == ["newest"]


async def test_a_backup_holds_one_moment_while_others_write(filled: Database, tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def write_on() -> None:
        number = 0
        while not stop.is_set():
            async with filled.write() as connection:
                number += 1
                for name in ("green", "blue"):
                    await connection.execute(update(dao).where(dao.c.id == name).values(facts_version=10_000 + number))

    writing = asyncio.create_task(write_on())
    for number in range(3):
        file = tmp_path / f"{number}.sqlite"
        await back_up(filled, file, silent)
        with closing(sqlite3.connect(file)) as connection:
            assert len({version for (version,) in connection.execute("SELECT facts_version FROM dao")}) == 1
    stop.set()
    await writing


async def test_no_file_is_written_over_unless_it_is_said(filled: Database, tmp_path: Path) -> None:
    file = tmp_path / "backup.sqlite"
    file.write_text("precious")
    with pytest.raises(Conflict, match="there already"):
        await back_up(filled, file, silent)
    assert file.read_text() == "precious"
    await back_up(filled, file, silent, overwrite=True)
    assert (await look_at(file)).schema == HEAD


async def test_what_cannot_be_written_leaves_nothing_behind(filled: Database, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        await back_up(filled, tmp_path / "nowhere" / "b.sqlite", silent)


async def test_a_database_that_is_not_empty_is_replaced_only_where_it_is_said(filled: Database, tmp_path: Path) -> None:
    file = tmp_path / "backup.sqlite"
    await back_up(filled, file, silent)
    was = await content(filled)
    await MemberAdmin(filled, FakeClock()).create("green", "tg:later", ["member"])
    changed = await content(filled)
    await filled.close()
    with pytest.raises(Conflict, match="--replace"):
        await restore(filled, file, tmp_path, silent)
    assert await content(filled) == changed
    await filled.close()
    await restore(filled, file, tmp_path, silent, replace=True)
    assert await content(filled) == was


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def scribble(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(8192)
        opened.write(b"\xff" * 40_000)


def forget(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE membership")


def renumber(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file: file.unlink(), "cannot be read"),
        (lambda file: file.write_bytes(b"PK\3\4 an archive perhaps"), "no file of SQLite"),
        (cut, "damaged"),
        (scribble, "damaged"),
        (forget, "other tables"),
        (renumber, "newer version"),
    ],
)
async def test_what_is_no_whole_backup_of_ours_changes_nothing(
    sqlite_file: Path, tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    database, file = Database(sqlite_file), tmp_path / "backup.sqlite"
    await back_up(database, file, silent)
    spoil(file)
    was = await content(database)
    with pytest.raises(Invalid, match=told):
        await restore(database, file, tmp_path, silent, replace=True)
    assert await content(database) == was
    await database.close()


async def test_a_backup_of_an_earlier_schema_is_brought_up_to_date(filled: Database, other: Database, tmp_path: Path) -> None:
    old = Database(tmp_path / "old.sqlite")
    await upgrade(old)
    await Daos(old, FakeClock()).create("old", "Old")
    await downgrade(old, "0003")
    made = await back_up(old, tmp_path / "b.sqlite", silent)
    assert made.schema == "0003"
    await restore(other, tmp_path / "b.sqlite", tmp_path, silent)
    assert [one.id for one in await Daos(other, FakeClock()).all()] == ["old"]
    await old.close()


async def test_a_damaged_file_is_set_aside_by_a_restore_that_may_replace_it(tmp_path: Path) -> None:
    good = Database(tmp_path / "good.sqlite")
    await upgrade(good)
    await fill(good)
    await back_up(good, tmp_path / "b.sqlite", silent)
    (tmp_path / FILE_NAME).write_bytes(b"no database at all " * 1000)
    broken = Database(tmp_path / FILE_NAME)
    with pytest.raises(StoreError):
        await restore(broken, tmp_path / "b.sqlite", tmp_path, silent)
    await restore(broken, tmp_path / "b.sqlite", tmp_path, silent, replace=True)
    assert await content(broken) == await content(good)
    (aside,) = [name for name in names(tmp_path) if ".damaged-" in name]
    assert (tmp_path / aside).read_bytes().startswith(b"no database")
    await broken.close()
    await good.close()


@pytest.fixture
async def sqlite_file(tmp_path: Path) -> Path:
    database = Database(tmp_path / "from" / FILE_NAME)
    await upgrade(database)
    await fill(database)
    await database.close()
    return tmp_path / "from" / FILE_NAME


async def test_a_copy_to_postgres_tells_each_table_and_mends_what_only_sqlite_holds(
    sqlite_file: Path, postgres_url: str, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(sqlite_file)) as connection:
        connection.execute("UPDATE exchange SET prompt = 'a' || char(0) || 'b' WHERE request_id = 'r7'")
        connection.commit()
    target, told = Database(Address(url=postgres_url)), list[tuple[str, int, int]]()
    copied = {one.table: one for one in await move(sqlite_file, target, tmp_path, lambda *facts: told.append(facts))}
    assert (copied["exchange"].rows, copied["exchange"].mended, copied["fact"].rows) == (ROWS, 1, 4)
    assert ("exchange", ROWS, ROWS) in told
    async with target.read() as connection:
        assert await connection.scalar(select(exchange.c.prompt).where(exchange.c.request_id == "r7")) == "a\ufffdb"
        assert await count_rows(connection) == {name: one.rows for name, one in copied.items()}
    with pytest.raises(Conflict, match="not empty"):
        await move(sqlite_file, target, tmp_path, silent)
    other = await asyncpg.connect(postgres_url, server_settings={"application_name": "dagi-0000"})
    for work in (move(sqlite_file, target, tmp_path, silent), downgrade(target, "0003")):
        with pytest.raises(Conflict, match="Stop it first"):
            await work
    await other.close()
    await target.close()


async def test_a_copy_that_breaks_off_leaves_nothing(sqlite_file: Path, postgres_url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(sqlite_file)) as connection:
        connection.execute("UPDATE exchange SET model = ? WHERE request_id = 'r600'", ("m" * 300,))
        connection.commit()
    target = Database(Address(url=postgres_url))
    with pytest.raises(StoreError, match="exchange.model of 601 has 300 characters, PostgreSQL takes 200"):
        await move(sqlite_file, target, tmp_path, silent)
    async with target.read() as connection:
        assert set((await count_rows(connection)).values()) == {0}
    await target.close()


async def test_a_check_finds_what_is_wrong(filled: Database) -> None:
    good = await check(filled)
    assert (good.problems, good.schema, good.rows["dao"]) == ((), HEAD, 2)
    if filled.path is not None:
        with closing(sqlite3.connect(filled.path)) as connection:
            connection.execute("DELETE FROM person WHERE id IN (SELECT person_id FROM membership LIMIT 1)")
            connection.commit()
        assert any("refers to" in line for line in (await check(filled)).problems)
    else:
        async with filled.work() as connection:
            await connection.execute(text("DELETE FROM fact_fts"))
            await connection.execute(text("ALTER TABLE audit DISABLE ROW LEVEL SECURITY"))
        found = (await check(filled)).problems
        assert any("audit" in line for line in found)
        assert any("4 passages" in line for line in found)
    await downgrade(filled, "0003")
    assert any("its schema is 0003" in line.lower() for line in (await check(filled)).problems)


async def test_the_audit_comes_along_and_can_still_be_verified(filled: Database, other: Database, tmp_path: Path) -> None:
    before = await SqlAudit(filled).verify()
    await back_up(filled, tmp_path / "b.sqlite", silent)
    await restore(other, tmp_path / "b.sqlite", tmp_path, silent)
    after = await SqlAudit(other).verify()
    assert (after.heads, after.records, after.findings) == (before.heads, before.records, ())
    with pytest.raises(Exception, match="append-only"):
        async with other.write() as connection:
            await connection.execute(delete(metadata.tables["audit"]))


async def test_a_server_s_database_of_another_version_is_not_backed_up_in_part_nor_replaced(postgres_url: str, tmp_path: Path) -> None:
    database = Database(Address(url=postgres_url))
    await back_up(database, tmp_path / "ours.sqlite", silent)
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="at schema 9999"):
        await back_up(database, tmp_path / "theirs.sqlite", silent)
    assert names(tmp_path) == ["ours.sqlite"]
    for changing in (restore(database, tmp_path / "ours.sqlite", tmp_path, silent, replace=True), downgrade(database, "0003")):
        with pytest.raises(StoreError, match="newer version"):
            await changing
    await database.close()
