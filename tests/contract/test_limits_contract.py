"""What every implementation of the port Limits holds to: one process, several over a real Valkey or Redis, and the fake."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from dagi.access.limits import NO_QUOTA, Holder, Quota
from dagi.access.prices import Price, PriceTable
from dagi.errors import BudgetExceeded, RateLimited
from dagi.message import Message, Sender, Usage
from dagi.observe.observer import SilentObserver
from dagi.ports.dialogs import Exchange
from dagi.ports.limits import Limits
from dagi.ports.target import Delta, End, Used
from dagi.stores.limits import LocalLimits, Terms
from dagi.stores.shared_limits import SharedLimits
from dagi.stores.spend import Spends
from dagi.stores.valkey import Valkey
from dagi.testing.clock import FakeClock
from dagi.testing.limits import FakeLimits

pytestmark = pytest.mark.anyio
# A token costs one millionth, whatever the model.
PRICES = PriceTable([Price(model="*", input=1, output=1)])
USERS = ("tg:1", "tg:2")


class Own:
    """Limits of keys and DAOs, as the directory would know them."""

    def __init__(self) -> None:
        self.keys: dict[str, Quota] = {}
        self.daos: dict[str, Quota] = {}

    def of_key(self, key_id: str) -> Quota:
        return self.keys.get(key_id, NO_QUOTA)

    def of_dao(self, dao_id: str) -> Quota:
        return self.daos.get(dao_id, NO_QUOTA)


class Subject:
    """An implementation whose limits a test sets."""

    limits: Limits
    clock: FakeClock

    def limit(self, of: Holder, holder: str = "", **quota: int) -> None:
        """Set the limits of a key, of a DAO, or of every user."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass on every clock that counts."""
        self.clock.advance(seconds)

    async def settled(self) -> None:
        """Wait until what was settled is known everywhere."""


class InMemory(Subject):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.limits = self.fake = FakeLimits(self.clock)

    def limit(self, of: Holder, holder: str = "", **quota: int) -> None:
        for one in USERS if of == "user" else (holder,):
            self.fake.quotas[of, one] = Quota(**quota)


class InProcess(Subject):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.own = Own()
        self.limits = self.local = LocalLimits(self.own, self.clock, Terms(prices=PRICES))

    def limit(self, of: Holder, holder: str = "", **quota: int) -> None:
        if of == "user":
            self.local.use(Terms(user=Quota(**quota), prices=PRICES))
        else:
            (self.own.keys if of == "key" else self.own.daos)[holder] = Quota(**quota)


class Shared(InProcess):
    def __init__(self, server: Valkey, spends: Spends) -> None:
        super().__init__()
        self.server = server
        self.limits = self.shared = SharedLimits(self.local, server, spends, SilentObserver())

    async def pass_time(self, seconds: float) -> None:
        await super().pass_time(seconds)
        # The server has a clock of its own: what it has counted is made older instead.
        client: Any = self.server._client  # noqa: SLF001
        for key in await client.keys("*:rpm:*"):
            slots = await client.hgetall(key)
            await client.delete(key)
            await client.hset(key, mapping={int(slot) - int(seconds): count for slot, count in slots.items()})

    async def settled(self) -> None:
        async with asyncio.timeout(5):
            while self.shared._owed:  # noqa: SLF001
                await asyncio.sleep(0.001)
            # Whatever is under way is over once the server has answered this on a connection of its own.
            await self.server.ping()


@pytest.fixture(params=["memory", "process", "valkey over sqlite", "valkey over postgres"])
async def subject(request: pytest.FixtureRequest, counters, opened) -> AsyncGenerator[Subject]:
    if request.param == "memory":
        yield InMemory()
    elif request.param == "process":
        yield InProcess()
    else:
        database = await opened(request.param.split()[-1])
        async with Valkey(counters.url, 2.0) as server:
            subject = Shared(server, Spends(database))
            async with subject.shared:
                yield subject


def sender(user: str = "tg:1", *, dao: str = "green", key: str = "") -> Sender:
    return Sender(dao_id=dao, user_id=user, key_id=key)


async def passes(subject: Subject, who: Sender) -> bool:
    return (await subject.limits.admit(who)).refusing is None


async def use(subject: Subject, who: Sender, tokens: int) -> Exchange:
    """Send a request that uses so many tokens."""
    exchange = Exchange(Message(id="r", sender=who, prompt="?"), at=subject.clock.now(), started=0)
    exchange.allowance = await subject.limits.admit(who)
    assert exchange.admitted
    exchange.hear(Delta("!"))
    exchange.hear(Used(Usage(prompt_tokens=tokens, total_tokens=tokens)))
    exchange.hear(End(provider="p", model="m"))
    subject.limits.settle(exchange)
    await subject.settled()
    return exchange


async def test_whoever_is_not_limited_passes_and_nothing_is_told(subject: Subject) -> None:
    assert [gauge for _ in range(50) for gauge in (await subject.limits.admit(sender())).gauges] == []


async def test_exactly_as_many_requests_pass_as_the_limit_says_and_the_refusal_tells_which_and_how_long(subject: Subject) -> None:
    subject.limit("user", rpm=3)
    found = [await subject.limits.admit(sender()) for _ in range(4)]
    assert [one.tightest("requests_per_minute").remaining for one in found] == [2, 1, 0, 0]
    with pytest.raises(RateLimited) as caught:
        found[-1].require()
    facts = caught.value.facts
    assert (facts["limit"], facts["limit_of"], facts["limit_value"]) == ("requests_per_minute", "user", 3)
    assert 1 <= facts["retry_after_s"] <= 61
    assert await passes(subject, sender("tg:2"))


async def test_of_many_requests_at_once_exactly_as_many_pass(subject: Subject) -> None:
    subject.limit("dao", "green", rpm=10)
    found = await asyncio.gather(*(subject.limits.admit(sender(f"tg:{number}")) for number in range(40)))
    assert sum(one.refusing is None for one in found) == 10


async def test_after_a_minute_there_is_room_again_and_never_more_than_the_limit_within_one(subject: Subject) -> None:
    subject.limit("user", rpm=2)
    assert await passes(subject, sender())
    await subject.pass_time(40)
    assert [await passes(subject, sender()) for _ in range(2)] == [True, False]
    await subject.pass_time(22)
    assert [await passes(subject, sender()) for _ in range(2)] == [True, False]
    await subject.pass_time(62)
    assert [await passes(subject, sender()) for _ in range(3)] == [True, True, False]


async def test_a_refused_request_counts_nowhere(subject: Subject) -> None:
    subject.limit("dao", "green", rpm=5)
    subject.limit("key", "k", rpm=1)
    assert [await passes(subject, sender(key="k")) for _ in range(20)] == [True] + [False] * 19
    assert [await passes(subject, sender()) for _ in range(5)] == [True] * 4 + [False]


async def test_looking_counts_nothing(subject: Subject) -> None:
    subject.limit("user", rpm=1, tokens_per_day=10)
    for _ in range(3):
        assert (await subject.limits.look(sender())).refusing is None
    assert await passes(subject, sender())
    assert (await subject.limits.look(sender())).refusing is not None


async def test_key_user_and_dao_count_beside_each_other_and_a_key_that_speaks_for_itself_is_no_user(subject: Subject) -> None:
    subject.limit("user", rpm=7)
    subject.limit("key", "k", rpm=8)
    subject.limit("dao", "green", rpm=9)
    speaking = await subject.limits.admit(sender(key="k"))
    assert {gauge.of: gauge.remaining for gauge in speaking.gauges} == {"key": 7, "user": 6, "dao": 8}
    alone = await subject.limits.admit(sender("key:k", key="k"))
    assert {gauge.of: gauge.remaining for gauge in alone.gauges} == {"key": 6, "dao": 7}


async def test_one_name_in_two_daos_is_two_holders(subject: Subject) -> None:
    subject.limit("user", rpm=1)
    assert [await passes(subject, sender(dao=dao)) for dao in ("green", "blue", "green")] == [True, True, False]


async def test_when_the_days_tokens_are_used_nothing_passes_until_the_next_day(subject: Subject) -> None:
    subject.limit("user", tokens_per_day=100)
    await use(subject, sender(), 60)
    exchange = await use(subject, sender(), 60)
    assert (exchange.charge.day, exchange.charge.tokens) == ("2026-01-01", 60)
    with pytest.raises(RateLimited) as caught:
        (await subject.limits.admit(sender())).require()
    assert (caught.value.facts["limit"], caught.value.facts["limit_of"]) == ("tokens_per_day", "user")
    assert await passes(subject, sender("tg:2"))
    await subject.pass_time(24 * 3600)
    assert await passes(subject, sender())


async def test_when_the_months_money_is_spent_nothing_passes_until_the_next_month(subject: Subject) -> None:
    subject.limit("dao", "green", money_per_month=100)
    assert (await use(subject, sender(), 100)).charge.micros == 100
    for _ in range(2):
        with pytest.raises(BudgetExceeded) as caught:
            (await subject.limits.admit(sender("tg:2"))).require()
        assert (caught.value.facts["limit"], caught.value.facts["limit_of"]) == ("money_per_month", "dao")
        await subject.pass_time(24 * 3600)
    await subject.pass_time(30 * 24 * 3600)
    assert await passes(subject, sender("tg:2"))


async def test_a_budget_of_nothing_lets_nothing_pass(subject: Subject) -> None:
    subject.limit("dao", "green", money_per_month=0)
    assert not await passes(subject, sender())
