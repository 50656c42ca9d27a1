"""Retention, erasure and the archive of dialogs."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from dagi.errors import Invalid, Missing, StoreError
from dagi.message import Sender
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.dialogs import DialogArchive
from dagi.stores.erasure import Erasure
from dagi.stores.link_tables import pending_link, used_proof, wrong_code
from dagi.stores.members import MemberAdmin
from dagi.stores.retention import BATCH, EVERY_S, Retention
from dagi.stores.summaries import SqlSummaries
from dagi.stores.tables import erasure, exchange, identity, session_summary, spend
from dagi.stores.upgrade import upgrade
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio


def row(prompt: str, at: datetime, **changes: object) -> dict[str, object]:
    return {
        "request_id": f"r-{prompt}"[:64],
        "dao_id": "green",
        "user_id": "tg:1",
        "session_id": "s",
        "source": "api",
        "mode": "chat",
        "outcome": "ok",
        "prompt": prompt,
        "answer": f"re {prompt}",
        "prompt_tokens": 7,
        "duration_ms": 1.0,
        "at": at,
        **changes,
    }


async def write(database: Database, *rows: dict[str, object]) -> None:
    async with database.write() as connection:
        for one in rows:
            await connection.execute(insert(exchange).values(**one))


async def texts(database: Database) -> list[tuple[str, str]]:
    async with database.read() as connection:
        return [tuple(one) for one in await connection.execute(select(exchange.c.prompt, exchange.c.answer).order_by(exchange.c.id))]


# --- retention


async def test_text_older_than_the_retention_is_removed_and_what_can_be_counted_stays(database: Database) -> None:
    clock = FakeClock()
    now = clock.now()
    await write(database, row("old", now - timedelta(days=91)), row("new", now - timedelta(days=89)), row("today", now))
    cleared = await Retention(database, CollectingObserver(), clock, days=90).run()
    assert (cleared.exchanges, cleared.summaries) == (1, 0)
    assert await texts(database) == [("", ""), ("new", "re new"), ("today", "re today")]
    async with database.read() as connection:
        kept = (await connection.execute(select(exchange).order_by(exchange.c.id))).mappings().first()
    assert (kept["user_id"], kept["prompt_tokens"], kept["cleared_at"], kept["request_id"]) == ("tg:1", 7, now, "r-old")


async def test_a_summary_goes_with_the_oldest_text_that_is_in_it(database: Database) -> None:
    clock = FakeClock()
    summary = {"dao_id": "green", "user_id": "tg:1", "text": "…", "through_id": 1}
    async with database.write() as connection:
        await connection.execute(insert(session_summary).values(**summary, session_id="a", since=clock.now() - timedelta(days=91)))
        await connection.execute(insert(session_summary).values(**summary, session_id="b", since=clock.now() - timedelta(days=89)))
    assert (await Retention(database, CollectingObserver(), clock, days=90).run()).summaries == 1
    async with database.read() as connection:
        assert (await connection.scalars(select(session_summary.c.session_id))).all() == ["b"]


async def test_much_text_is_removed_in_small_steps_with_a_pause_for_those_who_write(database: Database) -> None:
    clock = FakeClock()
    old = clock.now() - timedelta(days=100)
    async with database.write() as connection:
        await connection.execute(insert(exchange), [row(str(number), old) for number in range(2 * BATCH + 1)] + [row("new", clock.now())])
    assert (await Retention(database, CollectingObserver(), clock, days=90).run()).exchanges == 2 * BATCH + 1
    assert len(clock.slept) == 3


async def test_what_was_begun_to_link_and_is_over_goes_too_in_small_steps(database: Database) -> None:
    clock = FakeClock()
    now = clock.now()
    ended, ends = now - timedelta(days=1, seconds=1), now - timedelta(hours=23)
    begun = [
        {"digest": number.to_bytes(32), "kind": "code", "account": "tg:1", "created_at": now, "expires_at": end}
        for number, end in enumerate([ends, *[ended] * (BATCH + 1)])
    ]
    async with database.write() as connection:
        await connection.execute(insert(pending_link), begun)
        for name, at in (("late", now - timedelta(minutes=11)), ("new", now)):
            await connection.execute(insert(wrong_code).values(id=name, account="tg:1", at=at))
            await connection.execute(insert(used_proof).values(digest=name.encode(), until=at))
    await Retention(database, CollectingObserver(), clock, days=90).run()
    async with database.read() as connection:
        kept = [
            (await connection.scalars(select(column))).all() for column in (pending_link.c.digest, wrong_code.c.id, used_proof.c.digest)
        ]
    assert kept == [[bytes(32)], ["new"], [b"new"]]
    assert len(clock.slept) == 4


async def test_it_is_done_at_once_and_then_every_hour_and_a_locked_database_is_tried_again(database: Database) -> None:
    clock, observer = FakeClock(), CollectingObserver()
    await write(
        database, row("old", clock.now() - timedelta(days=91)), row("soon", clock.now() - timedelta(days=90) + timedelta(minutes=150))
    )

    class Stopped(Exception):
        pass

    class Watching(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if self.slept.count(EVERY_S) == 4:
                raise Stopped

    watching = Watching(clock.now())
    await write(database, row("new", clock.now()))
    with pytest.raises(Stopped):
        await Retention(database, observer, watching, days=90).follow()
    assert observer.notes == [("retention", {"exchanges": 1, "summaries": 0, "days": 90})] * 2
    assert await texts(database) == [("", "")] * 2 + [("new", "re new")]

    class Broken:
        def read(self) -> object:
            raise StoreError("The database is locked.")

    with pytest.raises(Stopped):
        await Retention(Broken(), observer, Watching(clock.now()), days=90).follow()
    assert observer.events[2:] == ["retention_failed"] * 4


class SetClock(FakeClock):
    """A clock somebody sets."""

    def set_ahead(self, by: timedelta) -> None:
        self._now += by


async def test_a_clock_that_jumped_ahead_removes_nothing_for_a_day_and_nothing_at_all_once_it_is_set_right(database: Database) -> None:
    clock, observer = SetClock(), CollectingObserver()
    retention = Retention(database, observer, clock, days=90)
    await write(database, row("new", clock.now()))
    assert (await retention.run()).exchanges == 0
    clock.set_ahead(timedelta(days=365))
    await write(database, row("of the wrong day", clock.now()))
    for _ in range(23):
        clock.advance(3600)
        assert (await retention.run()).exchanges == 0
    clock.set_ahead(timedelta(days=-365))
    assert (await retention.run()).exchanges == 0
    assert ("new", "re new") in await texts(database)
    assert observer.events == ["retention_waits"]


async def test_a_clock_that_is_ahead_for_a_day_is_believed(database: Database) -> None:
    clock = SetClock()
    retention = Retention(database, CollectingObserver(), clock, days=90)
    await write(database, row("old", clock.now()))
    await retention.run()
    clock.set_ahead(timedelta(days=365))
    assert (await retention.run()).exchanges == 0
    clock.advance(timedelta(days=1).total_seconds())
    assert (await retention.run()).exchanges == 1


async def test_a_start_with_a_clock_far_ahead_of_the_newest_exchange_removes_nothing_yet(database: Database) -> None:
    clock, observer = FakeClock(), CollectingObserver()
    await write(database, row("new", clock.now() - timedelta(days=100)))
    retention = Retention(database, observer, clock, days=90)
    assert (await retention.run()).exchanges == 0
    assert observer.events == ["retention_waits"]
    clock.advance(timedelta(days=1).total_seconds())
    assert (await retention.run()).exchanges == 1


# --- erasure


async def test_a_person_is_erased_with_all_accounts_and_nobody_else_is(database: Database) -> None:
    clock = FakeClock()
    await Daos(database, clock).create("green", "Green")
    await MemberAdmin(database, clock).create("green", "tg:1", ["member"])
    async with database.write() as connection:
        person_id = await connection.scalar(select(identity.c.person_id).where(identity.c.id == "tg:1"))
        await connection.execute(insert(identity).values(id="dc:9", person_id=person_id, created_at=clock.now()))
        used = {"dao_id": "green", "day": "2026-01-01", "requests": 1, "tokens": 7, "micros": 0, "last_at": clock.now()}
        whose = (("user", "tg:1"), ("user", "tg:2"), ("dao", "green"), ("key", "abc"))
        await connection.execute(insert(spend), [{**used, "of": of, "holder": holder} for of, holder in whose])
        summary = {"dao_id": "green", "session_id": "s", "text": "a secret", "through_id": 1, "since": clock.now()}
        await connection.execute(insert(session_summary), [{**summary, "user_id": "tg:1"}, {**summary, "user_id": "tg:2"}])
    await write(
        database,
        row("a secret", clock.now()),
        row("b secret", clock.now(), user_id="dc:9", session_id=""),
        row("c secret", clock.now(), dao_id="blue"),
        row("others", clock.now(), user_id="tg:2"),
    )
    erased = await Erasure(database, clock).erase("dc:9")
    assert (erased.accounts, erased.exchanges, erased.sessions, erased.summaries) == (("dc:9", "tg:1"), 3, 2, 1)
    assert await texts(database) == [("", ""), ("", ""), ("", ""), ("others", "re others")]
    async with database.read() as connection:
        rows = (await connection.execute(select(exchange).order_by(exchange.c.id))).mappings().all()
        assert sorted((await connection.scalars(select(spend.c.holder))).all()) == ["abc", "green", "tg:2"]
        assert await connection.scalar(select(func.count()).select_from(session_summary)) == 1
    assert [one["user_id"] for one in rows] == ["", "", "", "tg:2"]
    assert [one["prompt_tokens"] for one in rows] == [7] * 4
    assert (await Erasure(database, clock).erase("tg:1")).exchanges == 0
    assert await MemberAdmin(database, clock).show("green", "tg:1")


async def test_erased_text_is_in_no_file_of_the_database_any_more(database: Database) -> None:
    await write(database, row("a very particular secret", FakeClock().now()))
    await Erasure(database, FakeClock()).erase("tg:1")
    assert "particular" not in repr(await texts(database))
    if database.path is not None:
        for file in database.path.parent.iterdir():
            assert b"particular" not in file.read_bytes(), file.name


async def test_in_one_dao_only_that_daos_dialogs_are_erased(database: Database) -> None:
    await write(database, row("a", FakeClock().now()), row("b", FakeClock().now(), dao_id="blue"))
    assert (await Erasure(database, FakeClock()).erase("tg:1", "blue")).exchanges == 1
    assert await texts(database) == [("a", "re a"), ("", "")]


async def test_an_account_nobody_knows_is_erased_by_itself_and_what_is_none_is_refused(database: Database) -> None:
    await write(database, row("a", FakeClock().now(), user_id="tg:guest"))
    assert (await Erasure(database, FakeClock()).erase("tg:guest")).exchanges == 1
    with pytest.raises(Invalid):
        await Erasure(database, FakeClock()).erase("")


async def test_the_mark_of_an_erasure_is_forgotten_too(database: Database) -> None:
    clock = FakeClock()
    await Erasure(database, clock).erase("tg:1")
    clock.advance(timedelta(days=8).total_seconds())
    await Retention(database, CollectingObserver(), clock, days=90).run()
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(erasure)) == 0


# --- the archive


async def test_dialogs_are_sessions_and_questions_outside_of_any(database: Database) -> None:
    now = FakeClock().now()
    await write(
        database,
        row("one", now),
        row("alone", now, session_id=""),
        row("two", now),
        row("also alone", now, session_id="", user_id="tg:2"),
        row("minutes", now, session_id="", source="stack"),
    )
    archive = DialogArchive(database)
    found = await archive.list()
    assert [(one.dialog_id, one.session_id, one.exchanges, one.title) for one in found] == [
        ("d4", "", 1, "also alone"),
        ("d1", "s", 2, "one"),
        ("d2", "", 1, "alone"),
    ]
    assert [one.dialog_id for one in await archive.list(user_id="tg:2")] == ["d4"]
    assert [one.dialog_id for one in await archive.list(dao_id="blue")] == []
    shown = await archive.show("d3")
    assert (shown.dialog_id, shown.prompts) == ("d1", ("one", "two"))
    for unknown in ("d5", "d99", "x", "", "d" + "9" * 30):
        with pytest.raises(Missing):
            await archive.show(unknown)


async def test_an_export_holds_every_dialog_of_the_person_in_the_promised_form(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    monkeypatch.setattr("dagi.stores.dialogs._PAGE", 2)
    now = FakeClock().now()
    await write(
        database, *(row(str(number), now, session_id="s" if number % 2 else "") for number in range(7)), row("x", now, user_id="tg:2")
    )
    told = [json.loads(msgspec.json.encode(one)) async for one in DialogArchive(database).export("tg:1")]
    assert [one["prompts"] for one in told] == [["0"], ["1", "3", "5"], ["2"], ["4"], ["6"]]
    assert all(list(one) == ["dialog_id", "timestamp", "user_id", "dao_id", "prompts", "insights"] for one in told)
    assert [one["answer"] for one in told[1]["insights"]["exchanges"]] == ["re 1", "re 3", "re 5"]


# --- summaries


async def test_what_is_to_be_summed_up_is_what_no_longer_fits_and_the_older_half_of_what_does(database: Database) -> None:
    sender, now = Sender(dao_id="green", user_id="tg:1", session_id="s"), FakeClock().now()
    # 10 tokens each: of 40, the older two of the four that fit are taken along.
    await write(database, *(row(f"{number}" * 17, now, answer="a" * 23) for number in range(6)))
    summaries = SqlSummaries(database)
    due = await summaries.due(sender, 40)
    assert due is not None
    assert [turn.text[0] for turn in due.turns if turn.role == "user"] == ["0", "1", "2", "3"]
    assert await summaries.keep(sender, due, "minutes")
    assert await summaries.due(sender, 40) is None
    assert await summaries.keep(sender, due, "made from what was before these minutes") is False
    await write(database, row("6" * 17, now, answer="a" * 23))
    following = await summaries.due(sender, 40)
    assert following is not None
    assert (following.summary, [turn.text[0] for turn in following.turns]) == ("minutes", ["4", "a"])


async def test_a_model_is_given_no_more_than_it_reads_at_once(database: Database) -> None:
    sender, now = Sender(dao_id="green", user_id="tg:1", session_id="s"), FakeClock().now()
    await write(database, *(row("p" * 50_000, now, answer="a" * 50_000) for _ in range(10)))
    due = await SqlSummaries(database).due(sender, 100)
    assert due is not None
    assert len(due.covers) == 6
    assert {len(turn.text) for turn in due.turns} == {2000}


# --- the schema


async def test_a_database_of_the_first_release_keeps_its_exchanges(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import Connection, text

    import dagi.stores.upgrade

    found = Database.in_directory(tmp_path)

    def first(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(dagi.stores.upgrade.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text(
                "INSERT INTO exchange (request_id, dao_id, user_id, source, mode, outcome, prompt, answer, duration_ms, at) "
                "VALUES ('r', 'green', 'tg:1', 'api', 'chat', 'ok', 'old', 're old', 1, '2026-01-01 00:00:00')"
            )
        )

    async with found.write() as connection:
        await connection.run_sync(first)
    await upgrade(found)
    assert await texts(found) == [("old", "re old")]
    assert (await Retention(found, CollectingObserver(), FakeClock(), days=90).run()).exchanges == 0
    await found.close()
