"""What was spent, on disk: in one transaction with the exchanges, there again after a restart; keys that are rotated and limited."""

from datetime import UTC, datetime, timedelta

import pytest

from dagi.access.keys import proves, split
from dagi.access.limits import FREE, NO_QUOTA, UNLIMITED, Quota
from dagi.access.prices import Price, PriceTable
from dagi.errors import Conflict, Missing, ProviderTimeout
from dagi.message import Attempt, Grant, Message, Sender, Usage
from dagi.observe.observer import SilentObserver
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Delta, End, Event, Failure, Tried, Used
from dagi.stores.dao_limits import DaoLimits
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.directory import Directory
from dagi.stores.exchanges import ExchangeStore
from dagi.stores.keys import Keys
from dagi.stores.limits import LocalLimits, Terms
from dagi.stores.spend import Spends
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
PRICES = PriceTable([Price(model="dear", input=2, output=10), Price(model="cheap", input=1, output=1)], {"a": "cheap", "b": "dear"})
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def database(database: Database) -> Database:
    await Daos(database, FakeClock()).create("green", "Green")
    return database


@pytest.fixture
async def directory(database: Database) -> Directory:
    found = Directory(database, FakeClock(), SilentObserver())
    await found.refresh()
    return found


async def record(
    database: Database, limits: LocalLimits, *events: Event, user: str = "tg:1", key: str = "", left: bool = False
) -> Exchange:
    """Run an exchange of which these events are heard, and write it down."""
    sender = Sender(dao_id="green", user_id=user, key_id=key)
    exchange = Exchange(Message(id="r", sender=sender, prompt="x" * 40), at=NOW, started=0)
    exchange.grant = Grant(dao_id="green", user_id=user, roles=("member",), entitlements=frozenset({"chat.use"}))
    exchange.allowance, exchange.chain = FREE, ("a", "b")
    for event in () if left else events:
        exchange.hear(event)
    async with ExchangeStore(database, SilentObserver(), flush_s=0.001) as store:
        with store.recording(exchange):
            limits.settle(exchange)
    return exchange


def answered(model: str = "dear", prompt: int = 100, completion: int = 10) -> tuple[Event, ...]:
    told = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    return Delta("yes"), Used(told), End(provider="b", model=model)


def local(directory: Directory, **quota: int) -> LocalLimits:
    return LocalLimits(directory, FakeClock(), Terms(user=Quota(**quota), prices=PRICES))


async def test_each_exchange_adds_to_its_key_its_user_and_its_dao(database: Database, directory: Directory) -> None:
    limits = local(directory)
    await record(database, limits, *answered(), key="k")
    await record(database, limits, *answered(), user="tg:2")
    found = {(one.of, one.holder): (one.requests, one.tokens, one.micros) for one in await Spends(database).month("2026-01")}
    assert found == {
        ("dao", "green"): (2, 220, 600),
        ("key", "k"): (1, 110, 300),
        ("user", "tg:1"): (1, 110, 300),
        ("user", "tg:2"): (1, 110, 300),
    }
    assert await Spends(database).last_uses() == {"k": NOW}
    assert [one.holder for one in await Spends(database).month("2026-01-01", of="user", holder="tg:2")] == ["tg:2"]
    assert await Spends(database).month("2025-12") == ()


async def test_what_was_spent_before_a_restart_counts_after_it(database: Database, directory: Directory) -> None:
    quota = {"tokens_per_day": 100, "money_per_month": 400}
    await record(database, local(directory, **quota), *answered())
    limits = LocalLimits(directory, FakeClock(), Terms(user=Quota(**quota), prices=PRICES), await Spends(database).days("2026-01-01"))
    assert [(gauge.kind, gauge.used) for gauge in (await limits.look(Sender(dao_id="green", user_id="tg:1"))).gauges] == [
        ("tokens_per_day", 110),
        ("money_per_month", 300),
    ]


async def test_a_start_with_a_clock_months_ahead_forgives_nothing_once_it_is_set_right(database: Database, directory: Directory) -> None:
    await record(database, local(directory), *answered())
    clock = FakeClock(datetime(2026, 5, 20, tzinfo=UTC))
    spent = await Spends(database).recent("2026-05-20")
    limits = LocalLimits(directory, clock, Terms(user=Quota(tokens_per_day=100, money_per_month=400), prices=PRICES), spent)
    sender = Sender(dao_id="green", user_id="tg:1")
    assert [gauge.used for gauge in (await limits.look(sender)).gauges] == [0, 0]
    clock.set(NOW)
    assert [gauge.used for gauge in (await limits.look(sender)).gauges] == [110, 300]


async def test_a_batch_that_is_not_written_spends_nothing(database: Database, directory: Directory) -> None:
    async with database.write() as connection:
        if connection.dialect.name == "postgresql":
            await connection.exec_driver_sql("ALTER TABLE exchange ADD CONSTRAINT no CHECK (false)")
        else:
            await connection.exec_driver_sql("CREATE TRIGGER no BEFORE INSERT ON exchange BEGIN SELECT RAISE(ABORT, 'no'); END")
    await record(database, local(directory), *answered())
    assert await Spends(database).month("2026-01") == ()


@pytest.mark.parametrize(
    ("events", "left", "tokens", "micros"),
    [
        pytest.param(answered(), False, 110, 300, id="as the provider says"),
        pytest.param(
            (Used(Usage()), Delta("quoted"), End(provider="b", model="facts")), False, 0, 0, id="nothing, where the provider says so"
        ),
        pytest.param((Delta("y" * 80), End(provider="b", model="dear")), False, 30, 220, id="estimated, where it does not"),
        pytest.param((Delta("y" * 80),), False, 30, 30, id="broken off at the first target"),
        pytest.param(
            (Tried(Attempt(provider="a", outcome="PROVIDER_ERROR", ms=1)), Delta("y" * 80)),
            False,
            30,
            220,
            id="the dearest that can be at it",
        ),
        pytest.param(
            (Delta("y" * 80), Failure(ProviderTimeout("late", provider="b"))), False, 30, 220, id="a failure after the first piece"
        ),
        pytest.param((Failure(ProviderTimeout("late", provider="b")),), False, 0, 0, id="a failure without an answer"),
        pytest.param((), True, 10, 10, id="left before anything came"),
    ],
)
async def test_what_an_exchange_used_is(
    database: Database, directory: Directory, events: tuple[Event, ...], left: bool, tokens: int, micros: int
) -> None:
    exchange = await record(database, local(directory), *events, left=left)
    assert exchange.charge is not None
    assert (exchange.charge.tokens, exchange.charge.micros) == (tokens, micros)


async def test_silent_holders_are_forgotten_before_their_number_grows_without_end(directory: Directory) -> None:
    clock = FakeClock()
    limits = LocalLimits(directory, clock, Terms(user=Quota(rpm=5)))
    for number in range(5_000):
        await limits.admit(Sender(dao_id="green", user_id=f"tg:{number}"))
        clock.advance(1)
    assert len(limits._windows) <= 1_000  # noqa: SLF001 - what it holds is the point


async def test_a_rotated_key_keeps_its_id_and_limits_and_its_old_secret_counts_until_the_overlap_ends(database: Database) -> None:
    clock = FakeClock()
    keys, directory = Keys(database, clock), Directory(database, clock, SilentObserver())
    made = await keys.create("green", "member", quota=Quota(rpm=7))
    second = await keys.rotate(made.id, overlap=timedelta(hours=1))
    await directory.refresh()
    assert (second.id, second.previous_until) == (made.id, clock.now() + timedelta(hours=1))

    def counts(key: str) -> bool:
        parts, record = split(key), directory.find(made.id)
        assert parts is not None
        assert record is not None
        return proves(record, parts[1], clock.now())

    assert (counts(made.key), counts(second.key)) == (True, True)
    assert directory.of_key(made.id) == Quota(rpm=7)
    clock.advance(3600)
    await directory.refresh()
    assert (counts(made.key), counts(second.key)) == (False, True)
    third = await keys.rotate(made.id, overlap=timedelta())
    await directory.refresh()
    assert [counts(key) for key in (made.key, second.key, third.key)] == [False, False, True]


async def test_a_key_that_has_ended_is_not_rotated_and_an_unknown_one_is_missing(database: Database) -> None:
    clock = FakeClock()
    keys = Keys(database, clock)
    ended = await keys.create("green", "member", expires_at=clock.now() + timedelta(hours=1))
    revoked = await keys.create("green", "member")
    await keys.revoke(revoked.id)
    clock.advance(3600)
    for key in (ended.id, revoked.id):
        with pytest.raises(Conflict):
            await keys.rotate(key, overlap=timedelta(hours=1))
    for work in (
        keys.rotate("none", overlap=timedelta()),
        keys.show("none"),
        keys.limit("none", {"rpm": 1}),
        DaoLimits(database, FakeClock()).show("none"),
    ):
        with pytest.raises(Missing):
            await work


async def test_limits_of_keys_and_daos_are_known_at_the_next_look_and_can_be_lifted(database: Database, directory: Directory) -> None:
    key = await Keys(database, FakeClock()).create("green", "member")
    assert (directory.of_dao("green"), directory.of_key(key.id)) == (NO_QUOTA, NO_QUOTA)
    await DaoLimits(database, FakeClock()).change("green", {"rpm": 5, "money_per_month": 0})
    await Keys(database, FakeClock()).limit(key.id, {"rpm": UNLIMITED})
    await directory.refresh()
    assert directory.of_dao("green") == Quota(rpm=5, money_per_month=0)
    assert directory.of_key(key.id) == Quota(rpm=UNLIMITED)
    assert await DaoLimits(database, FakeClock()).any_money()
    await DaoLimits(database, FakeClock()).change("green", {"rpm": None, "money_per_month": UNLIMITED})
    await directory.refresh()
    assert directory.of_dao("green") == Quota(money_per_month=UNLIMITED)
    assert not await DaoLimits(database, FakeClock()).any_money()
