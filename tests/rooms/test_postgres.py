"""PostgreSQL: what a transaction within one DAO can reach, who waits for whom, and a server that goes and comes back."""

import asyncio
import sys
import traceback
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from dagi.errors import ConfigError, Invalid, Missing, StoreError
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.erasure import Erasure
from dagi.stores.members import MemberAdmin
from dagi.stores.postgres import Address
from dagi.stores.rowsecurity import is_bound
from dagi.stores.tables import dao, exchange, membership, metadata
from dagi.testing.clock import FakeClock
from dagi.testing.postgres import PostgresServer

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
async def server_database(postgres_url: str) -> AsyncGenerator[Database]:
    """Two DAOs with a member each."""
    found = Database(Address(url=postgres_url))
    for dao_id in ("green", "blue"):
        await Daos(found, FakeClock()).create(dao_id, dao_id)
        await MemberAdmin(found, FakeClock()).create(dao_id, f"tg:{dao_id}", ["member"])
    yield found
    await found.close()


async def daos_seen(database: Database, within: str | None) -> dict[str, list[str]]:
    """Which DAOs' rows each table shows, to queries that forget to ask for one."""
    found: dict[str, list[str]] = {}
    async with database.read(within) as connection:
        for table in metadata.sorted_tables:
            if "dao_id" in table.c:
                found[table.name] = sorted(set((await connection.scalars(select(table.c.dao_id))).all()))
        found["dao"] = sorted((await connection.scalars(select(dao.c.id))).all())
    return {name: ids for name, ids in found.items() if ids}


async def test_a_query_that_forgets_its_dao_sees_only_the_one_it_works_within(server_database: Database) -> None:
    everything = await daos_seen(server_database, None)
    assert everything["membership"] == everything["role_entitlement"] == everything["dao"] == ["blue", "green"]
    assert await daos_seen(server_database, "green") == {name: ["green"] for name, ids in everything.items() if "green" in ids}
    for nobody in ("red", "*", "?", ""):
        assert {name for ids in (await daos_seen(server_database, nobody)).values() for name in ids} <= {""}


async def test_a_change_that_forgets_its_dao_changes_only_the_one_it_works_within(server_database: Database) -> None:
    async with server_database.write("green") as connection:
        await connection.execute(update(membership).values(suspended=True))
        await connection.execute(delete(dao).where(dao.c.id == "blue"))
    async with server_database.read() as connection:
        found = {row.dao_id: row.suspended for row in await connection.execute(select(membership.c.dao_id, membership.c.suspended))}
    assert found == {"green": True, "blue": False}
    with pytest.raises(StoreError, match="row-level security"):
        async with server_database.write("green") as connection:
            await connection.execute(insert(dao).values(id="red", name="Red", created_at=NOW))


async def test_whoever_says_nothing_sees_nothing_and_a_superuser_sees_all(server_database: Database, postgres: PostgresServer) -> None:
    name = server_database.place.name
    assert postgres.sql("SELECT count(*) FROM dao", name, user=postgres.owner) == [["0"]]
    assert postgres.sql("SELECT count(*) FROM dao", name) == [["2"]]
    async with server_database.read() as connection:
        assert await connection.run_sync(is_bound)
    above = Database(Address(url=postgres.url(name, "postgres")))
    async with above.read() as connection:
        assert not await connection.run_sync(is_bound)
    await above.close()


async def test_what_a_transaction_said_ends_with_it(server_database: Database) -> None:
    said = text("SELECT current_setting('dagi.dao')")
    for _ in range(3):
        async with server_database.write("green") as connection:
            assert await connection.scalar(said) == "green"
        async with server_database.read("blue") as connection:
            assert await connection.scalar(said) == "blue"
        async with server_database.write() as connection:
            assert await connection.scalar(said) == "*"
        async with server_database.read() as connection:
            assert await connection.scalar(said) == "*"


async def test_writers_wait_for_each_other_and_those_that_only_add_go_side_by_side(server_database: Database) -> None:
    order: list[str] = []
    other = Database(server_database.place)

    async def enter(name: str, context) -> None:
        async with context:
            order.append(name)

    async with server_database.add():
        async with asyncio.timeout(5), other.add():
            order.append("both add")
        writing = asyncio.create_task(enter("write", other.write()))
        done, _ = await asyncio.wait([writing], timeout=0.2)
        assert not done
        order.append("added")
    async with asyncio.timeout(5):
        await writing
    async with server_database.write():
        adding = asyncio.create_task(enter("add", other.add()))
        done, _ = await asyncio.wait([adding], timeout=0.2)
        assert not done
        order.append("written")
    async with asyncio.timeout(5):
        await adding
    assert order == ["both add", "added", "write", "written", "add"]
    await other.close()


async def test_whoever_is_kept_waiting_too_long_is_told_by_whom(server_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    import dagi.stores.postgres

    monkeypatch.setattr(dagi.stores.postgres, "LOCK_MS", 50)
    hasty = Database(server_database.place)
    async with server_database.write():
        with pytest.raises(StoreError, match="Another process of the stack"):
            async with hasty.write():
                pass
    await hasty.close()


async def test_two_that_read_before_they_write_lose_nothing(server_database: Database) -> None:
    several = [Database(server_database.place) for _ in range(3)]

    async def count_up(database: Database) -> None:
        for _ in range(10):
            async with database.write() as connection:
                now = await connection.scalar(select(dao.c.facts_version).where(dao.c.id == "green"))
                await connection.execute(update(dao).where(dao.c.id == "green").values(facts_version=now + 1))

    async with server_database.read() as connection:
        before = await connection.scalar(select(dao.c.facts_version).where(dao.c.id == "green"))
    await asyncio.gather(*(count_up(one) for one in several))
    async with server_database.read() as connection:
        assert await connection.scalar(select(dao.c.facts_version).where(dao.c.id == "green")) == before + 30
    for one in several:
        await one.close()


async def test_a_reader_sees_one_state_from_its_beginning_to_its_end(server_database: Database) -> None:
    names = select(dao.c.name).order_by(dao.c.id)
    async with server_database.read() as connection:
        assert (await connection.scalars(names)).all() == ["blue", "green"]
        await Daos(server_database, FakeClock()).update("blue", name="Blau")
        assert (await connection.scalars(names)).all() == ["blue", "green"]


async def test_text_that_cannot_be_stored_is_the_callers_mistake(server_database: Database) -> None:
    with pytest.raises(Invalid, match="NUL"):
        await Daos(server_database, FakeClock()).show("a\0b")
    with pytest.raises(Missing):
        await Daos(server_database, FakeClock()).show("*")


async def test_no_error_quotes_what_somebody_said(database: Database) -> None:
    row = {"dao_id": "green", "user_id": "tg:1", "source": "api", "mode": "chat", "outcome": "ok", "prompt": "my diary", "answer": ""}
    with pytest.raises(IntegrityError) as caught:
        async with database.write() as connection:
            await connection.execute(insert(exchange).values(**row, request_id="r", duration_ms=-1, at=NOW))
    assert "diary" not in "".join(traceback.format_exception(caught.value))


async def test_a_statement_that_is_wrong_is_not_the_servers_fault(server_database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with server_database.read() as connection:
            await connection.execute(text("SELECT 1 / 0"))


@pytest.fixture
async def own_server() -> AsyncGenerator[PostgresServer]:
    """A server that a test may stop without disturbing others."""
    server = PostgresServer()
    yield server
    server.close()


async def test_a_server_that_was_restarted_costs_nobody_a_request(own_server: PostgresServer) -> None:
    database = Database(Address(url=own_server.url(own_server.database())))
    ask = text("SELECT 1")
    for stop in (own_server.stop, own_server.kill):
        async with database.read() as connection, database.write() as writer:
            assert (await connection.scalar(ask), await writer.scalar(ask)) == (1, 1)
        await asyncio.to_thread(stop)
        with pytest.raises(StoreError, match="cannot be reached|was lost"):
            async with database.read() as connection:
                await connection.scalar(ask)
        await asyncio.to_thread(own_server.start)
        async with database.read() as connection, database.write() as writer:
            assert (await connection.scalar(ask), await writer.scalar(ask)) == (1, 1)
    await database.close()


async def test_what_is_wrong_with_an_address_is_told_without_its_password(own_server: PostgresServer) -> None:
    name = own_server.database()
    own_server.sql("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    host = own_server.url(name).partition("host=")[2]
    found: list[str] = []
    for url, password in (
        (own_server.url("nowhere"), None),
        (own_server.url(name, "nobody"), "s3cret"),
        ("postgresql://a:s3cret@127.0.0.1:1/b", None),
        ("postgresql://a:s3cret@/b?host=/nowhere", None),
        (f"postgresql://a:s3cret@/b?host={host}&port=x", None),
    ):
        database = Database(Address(url=url, password=password))
        with pytest.raises(StoreError) as caught:
            await database.ping()
        found.append(caught.value.message)
        assert "s3cret" not in f"{caught.value} {database.place!r} {database.place}"
        await database.close()
    assert [
        next(word for word in ("createdb", "pg_hba", "Connection refused", "No such file", "cannot read") if word in line) for line in found
    ] == [
        "createdb",
        "pg_hba",
        "Connection refused",
        "No such file",
        "cannot read",
    ]


async def test_many_exchanges_of_several_processes_are_all_there(server_database: Database) -> None:
    several = [Database(server_database.place) for _ in range(3)]
    row = {"dao_id": "green", "user_id": "tg:1", "source": "api", "mode": "chat", "outcome": "ok", "prompt": "", "answer": ""}

    async def add(number: int, database: Database) -> None:
        for turn in range(20):
            async with database.add() as connection:
                await connection.execute(insert(exchange).values(**row, request_id=f"{number}-{turn}", duration_ms=1, at=NOW))

    await asyncio.gather(*(add(number, one) for number, one in enumerate(several)))
    async with server_database.read() as connection:
        assert await connection.scalar(select(func.count(exchange.c.request_id.distinct()))) == 60
    for one in several:
        await one.close()


class Breaking:
    """Stands between the driver and the server, and ends the connection at the next COMMIT: before the server has it, or after."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self.breaks: str | None = None
        self.broken = 0
        self._swallowed: asyncio.Event | None = None

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_unix_connection(self._socket)
        back = asyncio.create_task(self._pass(to_reader, writer))
        try:
            while data := await reader.read(65536):
                if self.breaks is not None and b"COMMIT;" in data:
                    when, self.breaks = self.breaks, None
                    self.broken += 1
                    if when == "after":
                        self._swallowed = asyncio.Event()
                        to_writer.write(data)
                        await self._swallowed.wait()
                    break
                to_writer.write(data)
                await to_writer.drain()
        finally:
            back.cancel()
            # Whoever connects next gets every answer again.
            self._swallowed = None
            for one in (to_writer, writer):
                one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._swallowed is not None:
                self._swallowed.set()
            else:
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.mark.parametrize(("when", "is_there"), [("before", False), ("after", True)])
async def test_a_commit_whose_answer_is_lost_is_looked_up_before_anybody_tries_again(
    server_database: Database, postgres: PostgresServer, when: str, is_there: bool
) -> None:
    host = postgres.url("x").partition("host=")[2]
    breaking = Breaking(f"{host}/.s.PGSQL.5432")
    async with breaking as port:
        database = Database(Address(url=f"postgresql://{postgres.owner}@127.0.0.1:{port}/{server_database.place.name}?sslmode=disable"))
        breaking.breaks = when
        failed = False
        try:
            async with database.write() as connection:
                await connection.execute(insert(dao).values(id="red", name="Red", created_at=NOW))
        except StoreError:
            failed = True
        async with server_database.read() as connection:
            assert (await connection.scalar(select(func.count()).where(dao.c.id == "red")) == 1) == is_there
        assert (failed, breaking.broken) == (not is_there, 1)
        await database.close()


async def test_without_the_driver_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"dagi-stack\[postgres\]"):
        Database(Address(url="postgresql://a@b/c"))


async def test_a_persons_erased_text_is_taken_out_of_the_tables(server_database: Database) -> None:
    row = {"dao_id": "green", "user_id": "tg:1", "source": "api", "mode": "chat", "outcome": "ok", "prompt": "secret", "answer": ""}
    async with server_database.write() as connection:
        await connection.execute(insert(exchange).values(**row, request_id="r", duration_ms=1, at=NOW))
    await Erasure(server_database, FakeClock()).erase("tg:1")
    async with server_database.read() as connection:
        dead = text("SELECT last_vacuum IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'exchange'")
        assert await connection.scalar(dead)
