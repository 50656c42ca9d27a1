"""The store, on SQLite and on PostgreSQL: DAOs, members, keys, the in-memory directory, exchanges."""

import asyncio
import gc
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, select, text

from dagi.access.decide import decide
from dagi.access.keys import proves, split
from dagi.errors import AccessUnavailable, Conflict, Invalid, Missing, Overloaded, StoreError
from dagi.message import Grant, Message, Sender, Turn, Usage
from dagi.observe.observer import SilentObserver
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Delta, End
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.directory import STALE_S, Directory
from dagi.stores.exchanges import ExchangeStore
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.stores.postgres import Address
from dagi.stores.tables import exchange as exchange_table
from dagi.stores.tables import metadata
from dagi.stores.upgrade import HEAD, revision, upgrade
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
async def green(database: Database) -> Database:
    await Daos(database, FakeClock()).create("green", "Green DAO")
    return database


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_new_database_has_exactly_the_tables_the_code_speaks_of(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda _o, name, kind, _r, _c: not (kind == "table" and name.startswith("fact_fts"))}
        )
        return compare_metadata(context, metadata)

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    assert await revision(database) == HEAD


async def test_upgrading_twice_changes_nothing_and_a_newer_database_is_refused(database: Database) -> None:
    assert await upgrade(database) == HEAD
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version"):
        await upgrade(database)


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match="read-?only"):
        async with database.read() as connection:
            await connection.execute(text("DELETE FROM dao"))


async def test_a_file_that_is_no_database_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "dagi.sqlite"
    path.write_bytes(b"not a database, but long enough to look like a file " * 100)
    broken = Database(path)
    with pytest.raises(StoreError, match="not a database"):
        await upgrade(broken)
    await broken.close()


async def test_two_writers_wait_for_each_other_instead_of_failing(green: Database) -> None:
    daos = Daos(green, FakeClock())
    await asyncio.gather(*(daos.update("green", name=f"Green {number}") for number in range(20)))
    assert (await daos.show("green")).name.startswith("Green ")


async def test_a_dao_is_founded_shown_changed_and_removed(database: Database) -> None:
    daos = Daos(database, FakeClock())
    await daos.create("green", "Green DAO")
    with pytest.raises(Conflict):
        await daos.create("green", "Other")
    with pytest.raises(Invalid):
        await daos.create("Green DAO", "x")
    changed = await daos.update("green", name="Зелена", is_open=True, suspended=True)
    assert (changed.name, changed.open, changed.suspended) == ("Зелена", True, True)
    with pytest.raises(Invalid):
        await daos.update("green")
    await daos.remove("green")
    assert await daos.all() == ()
    for work in (daos.show("green"), daos.remove("green"), daos.update("green", name="x")):
        with pytest.raises(Missing):
            await work


async def test_a_member_is_taken_in_changed_and_let_go(green: Database) -> None:
    members = MemberAdmin(green, FakeClock())
    made = await members.create("green", "tg:1", ["member"], name="Daryna")
    assert (made.identities, made.roles, made.name) == (("tg:1",), ("member",), "Daryna")
    with pytest.raises(Conflict):
        await members.create("green", "tg:1", ["admin"])
    changed = await members.update("green", "tg:1", roles=["contributor", "admin"], suspended=True, expires_at=NOW)
    assert (changed.roles, changed.suspended, changed.expires_at) == (("admin", "contributor"), True, NOW)
    assert [member.person_id for member in await members.all("green")] == [made.person_id]
    await members.remove("green", "tg:1")
    with pytest.raises(Missing):
        await members.show("green", "tg:1")


async def test_two_changes_of_a_membership_at_once_lose_neither(green: Database) -> None:
    members = MemberAdmin(green, FakeClock())
    await members.create("green", "tg:1", ["member"])
    for _ in range(10):
        await members.update("green", "tg:1", roles=["member"], suspended=False)
        await asyncio.gather(members.update("green", "tg:1", roles=["contributor"]), members.update("green", "tg:1", suspended=True))
        found = await members.show("green", "tg:1")
        assert (found.roles, found.suspended) == (("contributor",), True)


async def test_a_changed_membership_keeps_its_beginning_and_its_expiry_can_be_removed(green: Database) -> None:
    clock = FakeClock()
    members = MemberAdmin(green, clock)

    async def since() -> list[datetime]:
        async with green.read() as connection:
            return list(await connection.scalars(select(metadata.tables["membership"].c.created_at)))

    await members.create("green", "tg:1", ["member"], expires_at=NOW)
    begun = await since()
    await clock.sleep(60)
    assert (await members.update("green", "tg:1", roles=["admin"])).expires_at == NOW
    assert (await members.update("green", "tg:1", expires_at=None)).expires_at is None
    assert await since() == begun


async def test_a_label_of_a_key_is_one_printable_line_or_nothing(green: Database) -> None:
    keys = Keys(green, FakeClock())
    for label in ("x" * 201, "a\x1b[31mb", "   "):
        with pytest.raises(Invalid, match="label"):
            await keys.create("green", "member", label=label)
    await keys.create("green", "member")
    await keys.create("green", "member", label=" the\nbot ")
    assert {key.label for key in await keys.all("green")} == {"", "the bot"}


async def test_unknown_daos_roles_and_accounts_are_refused_and_nothing_is_kept(green: Database) -> None:
    members = MemberAdmin(green, FakeClock())
    for dao_id, user_id, roles, error in (
        ("blue", "tg:1", ["member"], Missing),
        ("green", "tg:1", ["emperor"], Invalid),
        ("green", "tg:1", [], Invalid),
        ("green", "12345", ["member"], Invalid),
    ):
        with pytest.raises(error):
            await members.create(dao_id, user_id, roles)
    assert await members.all("green") == ()
    with pytest.raises(Missing):
        await members.all("blue")


async def test_a_key_is_shown_once_and_stored_as_a_digest_only(green: Database) -> None:
    keys = Keys(green, FakeClock())
    made = await keys.create("green", "member", label="bot", act_as=True)
    parts = split(made.key)
    assert parts is not None
    await green.close()
    if green.path is not None:
        assert parts[1].encode() not in green.path.read_bytes()
    async with green.read() as connection:
        assert parts[1] not in repr([row for table in metadata.sorted_tables for row in await connection.execute(select(table))])
    assert [(key.id, key.role, key.label, key.act_as) for key in await keys.all("green")] == [(made.id, "member", "bot", True)]
    assert await keys.usable() == 1
    await keys.revoke(made.id)
    assert await keys.usable() == 0
    for work in (keys.revoke("none"), keys.create("blue", "member")):
        with pytest.raises(Missing):
            await work
    with pytest.raises(Invalid):
        await keys.create("green", "emperor")


async def test_the_directory_knows_members_and_keys_and_notices_changes_when_it_refreshes(green: Database) -> None:
    clock = FakeClock()
    directory = Directory(green, clock, SilentObserver(), operators=frozenset({"dev:local"}))
    members, keys = MemberAdmin(green, clock), Keys(green, clock)
    await members.create("green", "tg:1", ["member", "contributor"])
    made = await keys.create("green", "guest")
    await directory.refresh()

    def role(user_id: str) -> tuple[str, ...]:
        return decide(Sender(dao_id="green", user_id=user_id), directory.standing("green", user_id), clock.now(), "").roles

    assert role("tg:1") == ("contributor", "member")
    assert role(f"key:{made.id}") == ("guest",)
    assert role("dev:local") == ("admin",)
    assert role("tg:2") == ()
    assert directory.name("green") == "Green DAO"
    record, parts = directory.find(made.id), split(made.key)
    assert record is not None
    assert parts is not None
    assert proves(record, parts[1], clock.now())

    await members.remove("green", "tg:1")
    await keys.revoke(made.id)
    await directory.refresh()
    assert role("tg:1") == ()
    grant = decide(Sender(dao_id="green", user_id=f"key:{made.id}"), directory.standing("green", f"key:{made.id}"), clock.now(), "")
    assert grant.entitlements == frozenset()

    await Daos(green, clock).remove("green")
    await directory.refresh()
    assert directory.standing("green", "tg:1").dao is None
    assert directory.find(made.id) is None


async def test_a_dao_founded_again_at_once_has_none_of_the_old_members(green: Database) -> None:
    clock = FakeClock()
    directory = Directory(green, clock, SilentObserver())
    await MemberAdmin(green, clock).create("green", "tg:1", ["admin"])
    await directory.refresh()
    await Daos(green, clock).remove("green")
    await clock.sleep(1)
    await Daos(green, clock).create("green", "Green again")
    await directory.refresh()
    assert directory.standing("green", "tg:1").membership is None


async def test_a_directory_that_could_not_be_refreshed_for_five_seconds_answers_nothing(green: Database) -> None:
    clock = FakeClock()
    directory = Directory(green, clock, SilentObserver())
    with pytest.raises(AccessUnavailable):
        directory.standing("green", "tg:1")
    await directory.refresh()
    await clock.sleep(STALE_S)
    directory.standing("green", "tg:1")
    await clock.sleep(0.001)
    for ask in (lambda: directory.standing("green", "tg:1"), lambda: directory.find("a")):
        with pytest.raises(AccessUnavailable):
            ask()


async def test_a_running_directory_notices_a_revocation_by_itself(green: Database) -> None:
    clock = FakeClock()
    directory = Directory(green, clock, SilentObserver())
    members = MemberAdmin(green, clock)
    await members.create("green", "tg:1", ["member"])
    await directory.refresh()
    following = asyncio.create_task(directory.follow())
    await members.remove("green", "tg:1")
    await until(lambda: directory.standing("green", "tg:1").membership is None)
    following.cancel()


def exchange(prompt: str, answer: str, *, user: str = "tg:1", session: str = "s", allowed: bool = True, ended: bool = True) -> Exchange:
    sender = Sender(dao_id="green", user_id=user, session_id=session)
    found = Exchange(Message(id="r-" + prompt[:10], sender=sender, prompt=prompt), at=NOW, started=0)
    found.grant = Grant(dao_id="green", user_id=user, roles=("member",), entitlements=frozenset({"chat.use"} if allowed else ()))
    found.hear(Delta(answer))
    if ended:
        found.hear(End(provider="p", model="m"))
    return found


async def record(store: ExchangeStore, *exchanges: Exchange) -> None:
    for one in exchanges:
        with store.recording(one):
            pass


async def stored(database: Database) -> list[tuple[str, str, str]]:
    columns = (exchange_table.c.prompt, exchange_table.c.answer, exchange_table.c.outcome)
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(select(*columns).order_by(exchange_table.c.id))]


async def test_exchanges_are_on_disk_once_saved_returns_and_all_of_them_after_leaving(green: Database) -> None:
    async with ExchangeStore(green, SilentObserver(), flush_s=0.001) as store:
        await record(store, exchange("one", "1"), exchange("two", "2", ended=False))
        await store.saved()
        assert await stored(green) == [("one", "1", "ok"), ("two", "2", "cancelled")]
        await record(store, exchange("three", "half \ud83d of a character"))
    assert (await stored(green))[2] == ("three", "half ? of a character", "ok")


async def test_what_a_stranger_asks_is_not_kept(green: Database) -> None:
    async with ExchangeStore(green, SilentObserver()) as store:
        await record(store, exchange("spam", "", allowed=False))
    assert await stored(green) == []


async def test_a_full_buffer_refuses_new_work_and_drops_nothing(green: Database) -> None:
    async with ExchangeStore(green, SilentObserver(), flush_s=3600, places=2) as store:
        await record(store, exchange("one", "1"))
        with store.recording(exchange("two", "2")), pytest.raises(Overloaded), store.recording(exchange("three", "3")):
            pass
        with pytest.raises(Overloaded), store.recording(exchange("four", "4")):
            pass
    assert [prompt for prompt, _, _ in await stored(green)] == ["one", "two"]


@asynccontextmanager
async def held(place: Path | Address) -> AsyncGenerator[None]:
    """Another program writes, and does not end."""
    other = Database(place)
    async with other.write():
        yield
    await other.close()


async def test_a_database_that_is_locked_delays_records_and_loses_none(green: Database) -> None:
    async with ExchangeStore(green, SilentObserver(), flush_s=0.001) as store:
        async with held(green.place):
            await record(store, exchange("one", "1"))
            saving = asyncio.create_task(store.saved())
            await until(lambda: store.waiting == 1)
            assert not saving.done()
        async with asyncio.timeout(10):
            await saving
    assert await stored(green) == [("one", "1", "ok")]


async def test_one_record_that_cannot_be_stored_is_told_and_keeps_none_of_the_others_away(green: Database) -> None:
    observer = CollectingObserver()
    async with ExchangeStore(green, observer, flush_s=0.001) as store:
        poison = exchange("poison", "x")
        poison.usage = Usage(prompt_tokens=2**70)
        await record(store, exchange("one", "1"), poison, exchange("two", "2"))
        await store.saved()
        await record(store, exchange("three", "3"))
    assert [prompt for prompt, _, _ in await stored(green)] == ["one", "two", "three"]
    assert [(event, facts["request_id"]) for event, facts in observer.notes] == [("exchange_unstorable", "r-poison")]


async def test_a_disk_that_fails_between_the_records_of_a_batch_doubles_none(green: Database) -> None:
    class Failing(Database):
        def add(self):
            writes.append(1)
            if len(writes) == 4:
                raise StoreError("the disk is full")
            return super().add()

    writes: list[int] = []
    poison = exchange("poison", "x")
    poison.usage = Usage(prompt_tokens=2**70)
    failing = Failing(green.place)
    async with ExchangeStore(failing, SilentObserver(), flush_s=0.001) as store:
        await record(store, exchange("one", "1"), exchange("two", "2"), poison, exchange("three", "3"))
        await store.saved()
    await failing.close()
    assert [prompt for prompt, _, _ in await stored(green)] == ["one", "two", "three"]


async def test_leaving_while_a_batch_is_being_written_writes_it_once(green: Database) -> None:
    async def come_and_go() -> None:
        async with ExchangeStore(green, SilentObserver(), flush_s=0.0) as store:
            await record(store, *[exchange(f"q{number}", "x") for number in range(20)])

    async with held(green.place):
        leaving = asyncio.create_task(come_and_go())
        # Until then the writer waits for the lock, and it has been asked to stop.
        done, _ = await asyncio.wait([leaving], timeout=0.2)
        assert not done
    async with asyncio.timeout(20):
        await leaving
    assert [prompt for prompt, _, _ in await stored(green)] == [f"q{number}" for number in range(20)]


async def test_a_path_with_letters_that_mean_something_in_a_url_is_just_a_path(tmp_path: Path) -> None:
    for name in ("a?b=c", "per%41cent%2f", "#hash", "дао"):
        found = Database.in_directory(tmp_path / name)
        await upgrade(found)
        await found.close()
        assert (tmp_path / name / "dagi.sqlite").stat().st_mode & 0o077 == 0


async def test_history_is_the_latest_of_the_senders_own_session_within_the_tokens(green: Database) -> None:
    async with ExchangeStore(green, SilentObserver(), flush_s=0.001) as store:
        await record(store, exchange("q1", "a" * 40), exchange("q2", "b" * 40), exchange("q3", "c", ended=False))
        await record(store, exchange("other session", "x", session="t"), exchange("other person", "x", user="tg:2"))
        asked = exchange("now", "").message
        everything = (Turn("user", "q1"), Turn("assistant", "a" * 40), Turn("user", "q2"), Turn("assistant", "b" * 40))
        assert (await store.history(asked, 1000)).turns == everything
        assert (await store.history(asked, 10)).turns == everything[2:]
        assert (await store.history(asked, 9)).turns == ()


async def test_every_record_of_many_at_once_is_written_exactly_once(green: Database) -> None:
    async with ExchangeStore(green, SilentObserver(), flush_s=0.0) as store:
        for number in range(2500):
            await record(store, exchange(f"{number:05}", "x"))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await store.saved()
    async with green.read() as connection:
        counts = (
            await connection.execute(select(func.count(), func.count(exchange_table.c.prompt.distinct())).select_from(exchange_table))
        ).one()
    assert tuple(counts) == (2500, 2500)


async def test_times_without_a_zone_are_refused(green: Database) -> None:
    with pytest.raises(Exception, match="without a zone"):
        await Keys(green, FakeClock()).create("green", "member", expires_at=datetime(2026, 1, 1) + timedelta())  # noqa: DTZ001


async def test_who_is_cancelled_while_a_connection_is_opened_leaves_none_open(tmp_path: Path) -> None:
    for turns in range(40):
        database = Database(tmp_path / "dagi.sqlite")

        async def read(database: Database = database) -> None:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))

        reading = asyncio.ensure_future(read())
        for _ in range(turns):
            # The driver's thread needs a moment of its own between two turns.
            await asyncio.to_thread(int)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await database.close()
    # A connection that was left open warns when it is collected, and a warning is an error here.
    gc.collect()


async def test_who_is_told_to_stop_gives_its_connection_back_before_the_database_is_closed(tmp_path: Path) -> None:
    async def read(database: Database) -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))

    for turns in range(20):
        database = Database(tmp_path / f"{turns}.sqlite")
        reading = asyncio.ensure_future(read(database))
        for _ in range(turns):
            await asyncio.to_thread(int)
        reading.cancel()
        # Nobody waits for it but the database.
        await database.close()
        await asyncio.gather(reading, return_exceptions=True)
        del database, reading
    gc.collect()


async def test_processes_that_open_a_new_file_at_once_all_get_it(tmp_path: Path) -> None:
    async def opening(path: Path) -> None:
        database = Database(path)
        async with database.write() as connection:
            await connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS x (a INTEGER)")
        await database.close()

    # One in fifty of such moments went wrong.
    for number in range(60):
        await asyncio.gather(*(opening(tmp_path / f"{number}.sqlite") for _ in range(8)))


async def test_a_new_file_that_another_program_holds_is_waited_for_once(tmp_path: Path) -> None:
    path, database = tmp_path / "held.sqlite", Database(tmp_path / "held.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE x (a INTEGER)")
        other.execute("BEGIN EXCLUSIVE")
        async with asyncio.timeout(25):
            with pytest.raises(StoreError, match="Another program holds it"):
                async with database.read():
                    pass
    await database.close()
