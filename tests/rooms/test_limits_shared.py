"""Limits shared through a real server that dies, hangs, loses what it knew, or whose clock is set back."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from dagi.access.limits import FREE, NO_QUOTA, Quota
from dagi.access.prices import Price, PriceTable
from dagi.errors import BudgetUnknown, ConfigError
from dagi.message import Grant, Message, Sender, Usage
from dagi.observe.observer import SilentObserver
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Used
from dagi.stores.database import Database
from dagi.stores.exchanges import ExchangeStore
from dagi.stores.limits import LocalLimits, Terms
from dagi.stores.shared_limits import SharedLimits
from dagi.stores.spend import Spends
from dagi.stores.valkey import Valkey
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio
PRICES = PriceTable([Price(model="*", input=1, output=1)])
WHO = Sender(dao_id="green", user_id="tg:1")


class Own:
    def __init__(self) -> None:
        self.dao = NO_QUOTA

    def of_key(self, _key_id: str, /) -> Quota:
        return NO_QUOTA

    def of_dao(self, _dao_id: str, /) -> Quota:
        return self.dao


class Process:
    """One of several processes."""

    def __init__(self, server: Valkey, database: Database, own: Own, user: Quota) -> None:
        self.observer = CollectingObserver()
        local = LocalLimits(own, FakeClock(), Terms(user=user, prices=PRICES))
        self.limits = SharedLimits(local, server, Spends(database), self.observer)
        self.database = database

    async def passes(self) -> bool:
        return (await self.limits.admit(WHO)).refusing is None

    async def spend(self, tokens: int) -> None:
        exchange = Exchange(Message(id="r", sender=WHO, prompt="?"), at=FakeClock().now(), started=0)
        exchange.grant = Grant(dao_id="green", user_id="tg:1", roles=("member",), entitlements=frozenset({"chat.use"}))
        exchange.allowance, exchange.provider = FREE, "p"
        exchange.hear(Used(Usage(prompt_tokens=tokens, total_tokens=tokens)))
        async with ExchangeStore(self.database, SilentObserver(), flush_s=0.001) as store:
            with store.recording(exchange):
                self.limits.settle(exchange)


@pytest.fixture
async def process(counters, database: Database) -> AsyncGenerator[Callable[..., Process]]:
    """Makes processes that share the server."""
    async with Valkey(counters.url, 0.2) as server:
        made: list[SharedLimits] = []
        own = Own()

        async def another(user: Quota = NO_QUOTA, dao: Quota = NO_QUOTA) -> Process:
            own.dao = dao
            found = Process(server, database, own, user)
            made.append(await found.limits.__aenter__())
            return found

        yield another
        for limits in made:
            await limits.__aexit__()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_several_processes_count_together(process) -> None:
    one, other = await process(Quota(rpm=4)), await process(Quota(rpm=4))
    found = await asyncio.gather(*(each.passes() for each in (one, other) * 5))
    assert sum(found) == 4


async def test_what_one_process_spends_the_others_know_at_once(process) -> None:
    one, other = await process(dao=Quota(money_per_month=100)), await process(dao=Quota(money_per_month=100))
    assert await other.passes()
    await one.spend(100)
    await until(lambda: not one.limits._owed)  # noqa: SLF001
    async with asyncio.timeout(5):
        while await other.passes():
            await asyncio.sleep(0.005)


async def test_without_the_server_each_process_limits_rates_and_what_may_cost_money_is_refused(process, counters) -> None:
    rates = await process(Quota(rpm=2, tokens_per_day=1000))
    await counters.stop()
    assert [await rates.passes() for _ in range(3)] == [True, True, False]
    money = await process(dao=Quota(money_per_month=100))
    for _ in range(2):
        with pytest.raises(BudgetUnknown) as caught:
            await money.limits.admit(WHO)
        assert caught.value.retry_after_s == 1
    assert rates.observer.events == ["limits_server_lost"]
    assert "whoever has a limit on money is refused" in str(rates.observer.notes[0][1]["effect"])


async def test_a_server_that_hangs_costs_one_request_its_time_and_no_other(process, counters) -> None:
    one = await process(Quota(rpm=100))
    counters.hold()
    assert await one.passes()
    assert not one.limits.up
    for _ in range(50):
        # It is decided without waiting for anything at all.
        with pytest.raises(StopIteration):
            one.limits.admit(WHO).send(None)
    counters.go_on()
    await until(lambda: one.limits.up)
    assert one.observer.events == ["limits_server_lost", "limits_server_back"]


async def test_a_server_that_comes_back_empty_is_told_again_what_was_spent(process, counters) -> None:
    one = await process(dao=Quota(money_per_month=100, tokens_per_day=1000))
    assert await one.passes()
    await one.spend(60)
    await counters.stop()
    with pytest.raises(BudgetUnknown):
        await one.limits.admit(WHO)
    await one.spend(50)
    await counters.start()
    await until(lambda: one.limits.up)
    found = await one.limits.admit(WHO)
    assert [(gauge.kind, gauge.used) for gauge in found.gauges] == [("tokens_per_day", 110), ("money_per_month", 110)]
    assert found.refusing is not None


async def test_a_sum_that_the_server_has_lost_is_read_from_the_database(process, counters) -> None:
    one = await process(dao=Quota(tokens_per_day=100))
    await one.spend(100)
    other = await process(dao=Quota(tokens_per_day=100))
    assert not await other.passes()


async def test_when_the_database_cannot_be_read_either_nothing_that_may_cost_money_passes(process, database: Database) -> None:
    one = await process(dao=Quota(money_per_month=100))
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE spend RENAME TO lost")
    with pytest.raises(BudgetUnknown):
        await one.limits.admit(WHO)
    assert one.observer.events == ["spend_unreadable"]


async def test_when_the_servers_clock_is_set_back_requests_count_for_a_minute_more_and_no_longer(process, counters) -> None:
    one = await process(Quota(rpm=3))
    client = one.limits._server._client  # noqa: SLF001
    seconds, _ = await client.time()
    await client.hset("dagi:green:rpm:user:tg:1", mapping={seconds + 3600: 3})
    found = await one.limits.admit(WHO)
    assert found.refusing is not None
    assert 60 <= found.refusing.retry_s <= 61
    slots = await client.hgetall("dagi:green:rpm:user:tg:1")
    assert [int(slot) - seconds <= 1 for slot in slots] == [True]


async def test_an_address_that_is_none_and_a_library_that_is_missing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with pytest.raises(ValueError, match="."):
        Valkey("redis://host:port", 1)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"dagi-stack\[valkey\]"):
        Valkey("redis://127.0.0.1", 1)


async def test_a_server_that_is_not_there_at_the_start_is_told_and_found_when_it_comes(process, counters) -> None:
    await counters.stop()
    one = await process(Quota(rpm=2))
    assert (one.limits.up, one.observer.events) == (False, ["limits_server_lost"])
    assert await one.passes()
    await counters.start()
    await until(lambda: one.limits.up)
    assert [await one.passes() for _ in range(3)] == [True, True, False]


async def test_a_server_that_takes_nothing_is_not_found_again_with_every_request(process) -> None:
    one = await process(Quota(rpm=2))
    client = one.limits._server._client  # noqa: SLF001
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    for _ in range(50):
        await one.passes()
        await asyncio.sleep(0)
    assert len(one.observer.events) <= 4
    assert one.observer.events[0] == "limits_server_lost"
