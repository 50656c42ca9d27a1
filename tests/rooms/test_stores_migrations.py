"""The schema on both kinds of database: up, down and up again; by several processes at once; what each table must have."""

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from dagi.errors import StoreError
from dagi.stores.daos import Daos
from dagi.stores.database import FILE_NAME, Database
from dagi.stores.postgres import Address
from dagi.stores.rowsecurity import shared_tables, unprotected
from dagi.stores.tables import metadata
from dagi.stores.upgrade import BASE, HEAD, downgrade, revision, upgrade
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path):
    """Where a database is to be made that has no tables yet."""
    if request.param == "sqlite":
        yield tmp_path / FILE_NAME
        return
    server = request.getfixturevalue("postgres")
    name = server.database()
    yield Address(url=server.url(name))
    server.drop(name)


async def tables(database: Database) -> set[str]:
    async with database.read() as connection:
        found = await connection.run_sync(lambda inner: inspect(inner).get_table_names())
    return {name for name in found if not name.startswith("fact_fts")}


async def test_migrations_go_up_and_down_and_up_again_and_leave_the_tables_the_code_speaks_of(empty) -> None:
    database = Database(empty)
    await upgrade(database)
    assert await tables(database) == {*metadata.tables, "alembic_version"}
    steps = [f"{number:04}" for number in range(int(HEAD) - 1, 0, -1)]
    for step in steps:
        assert await downgrade(database, step) == step
    assert await downgrade(database, BASE) is None
    assert await tables(database) == {"alembic_version"}
    assert await upgrade(database) == HEAD
    await Daos(database, FakeClock()).create("green", "Green")

    def differences(connection: Connection) -> list[object]:
        options = {"include_object": lambda _o, name, kind, _r, _c: not (kind == "table" and name.startswith("fact_fts"))}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_a_schema_goes_back_only_to_one_before_it(database: Database) -> None:
    for wrong in (HEAD, "9999", "nonsense"):
        with pytest.raises(StoreError):
            await downgrade(database, wrong)
    assert await revision(database) == HEAD


async def test_of_processes_that_start_at_once_one_migrates_and_the_others_find_it_done(empty) -> None:
    several = [Database(empty) for _ in range(4)]
    assert await asyncio.gather(*(upgrade(one) for one in several)) == [HEAD] * 4
    for one in several:
        await one.close()


async def test_no_table_with_rows_of_a_dao_is_without_its_policy_and_what_was_switched_off_is_switched_on_again(postgres_url: str) -> None:
    database = Database(Address(url=postgres_url))
    async with database.read() as connection:
        columns = await connection.run_sync(
            lambda inner: {
                name: {column["name"] for column in inspect(inner).get_columns(name)} for name in inspect(inner).get_table_names()
            }
        )
        assert await connection.run_sync(unprotected) == []
    assert {name for name, found in columns.items() if "dao_id" in found} | {"dao"} == shared_tables().keys()
    async with database.work() as connection:
        await connection.exec_driver_sql("ALTER TABLE membership NO FORCE ROW LEVEL SECURITY")
        await connection.exec_driver_sql("DROP POLICY dagi_dao ON exchange")
        assert await connection.run_sync(unprotected) == ["exchange", "membership"]
    await upgrade(database)
    async with database.read() as connection:
        assert await connection.run_sync(unprotected) == []
    await database.close()
