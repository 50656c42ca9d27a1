"""Token checks of several processes on one database of either kind, over a real chain: one of them checks at a time, and one that dies
in the middle is followed by another."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import insert, select
from tests.conftest import local_node, until
from tests.process.workers import Worker, place_of, working

from dagi.access.token_wishes import TokenWish
from dagi.chain.balances import ChainBalances
from dagi.chain.rpc import RpcChains
from dagi.observe.clock import SystemClock
from dagi.outbound import Client
from dagi.ports.abi import address
from dagi.ports.audit import AuditQuery
from dagi.stores.audit import SqlAudit
from dagi.stores.changes import STACK
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.governance_tables import lease
from dagi.stores.members import MemberAdmin
from dagi.stores.tables import identity, person
from dagi.stores.token_checks import Times, TokenChecks
from dagi.stores.token_rules import SqlTokenRules
from dagi.testing.local_chain import ACCOUNTS, Contract, LocalChain
from dagi.testing.observer import CollectingObserver
from dagi.testing.raw_server import raw_server

pytestmark = [pytest.mark.anyio, pytest.mark.process]
CLOCK = SystemClock()
WALLETS = [account.lower() for account in ACCOUNTS]

# Checks what is due, for ever, and says of each check what came of it.
WORKER = """
import asyncio, json, sys
from datetime import timedelta
from tests.process.workers import opened
from dagi.chain.balances import ChainBalances
from dagi.chain.rpc import Node, RpcChains
from dagi.observe.clock import SystemClock
from dagi.outbound import Client
from dagi.stores.token_checks import Times, TokenChecks
from dagi.testing.observer import CollectingObserver

async def main():
    async with Client() as http:
        node = Node(name="local", chain_id=31337, url=sys.argv[2], timeout_s=60)
        balances, observer = ChainBalances(RpcChains(http, [node])), CollectingObserver()
        times = Times(hold=timedelta(0), every_s=1, lease_s=float(sys.argv[3]))
        checks = TokenChecks(opened(sys.argv[1]), SystemClock(), balances, observer, times)
        while True:
            for one in await checks.turn():
                print(json.dumps([one.holders, one.gained, one.lacking, one.lost, one.trouble]), flush=True)
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


class Relay:
    """Stands between several processes and the chain's node, each of which knows it by a path of its own.

    Attributes:
        asked: who asked, and when, in order.
    """

    def __init__(self, node: str) -> None:
        self.asked: list[tuple[str, datetime]] = []
        self._node = node
        self._silent: set[str] = set()

    def silence(self, name: str) -> None:
        """Answer this one no more."""
        self._silent.add(name)

    def names(self) -> list[str]:
        """Who asked, in order."""
        return [name for name, _ in self.asked]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question, and the node's answer."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        name = head.split()[1].strip("/")
        body = await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        self.asked.append((name, datetime.now(UTC)))
        if name in self._silent:
            await reader.read()
            return
        async with httpx.AsyncClient() as http:
            answer = (await http.post(self._node, content=body, headers={"content-type": "application/json"})).content
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
        await writer.drain()


class World:
    """The DAO `green` with a rule for everybody who has the coin, of which all three wallets have some; and processes that check it."""

    def __init__(self, database: Database, coin: Contract, relay: Relay, url: str) -> None:
        self.database = database
        self.coin = coin
        self.relay = relay
        self._url = url

    def process(self, name: str, lease_s: float) -> AbstractAsyncContextManager[Worker]:
        return working(WORKER, place_of(self.database), self._url + name, str(lease_s))

    async def held(self) -> dict[str, dict[str, str]]:
        found = await MemberAdmin(self.database, CLOCK).all("green")
        return {one.identities[0]: dict(zip(one.roles, one.sources, strict=True)) for one in found}

    async def told(self, action: str) -> list[str | None]:
        records = await SqlAudit(self.database).list(AuditQuery(dao_id="green", action=action, limit=100))
        return sorted(str(one.subject) for one in records)


@pytest.fixture
async def world(database: Database, chain: LocalChain) -> AsyncGenerator[World]:
    coin = await chain.deploy("Coin")
    await Daos(database, CLOCK).create("green", "Green")
    async with database.write() as connection:
        for number, wallet in enumerate(WALLETS):
            then = CLOCK.now() - timedelta(days=1)
            await connection.execute(insert(person).values(id=f"p{number}", name="", created_at=then))
            await connection.execute(insert(identity).values(id=f"eth:{wallet}", person_id=f"p{number}", created_at=then))
            await chain.coins(coin, wallet, 5)
    async with Client() as http:
        balances = ChainBalances(RpcChains(http, [local_node(chain.url)]))
        checks = TokenChecks(database, CLOCK, balances, CollectingObserver(), Times(hold=timedelta(0)))
        wish = TokenWish(chain="local", token=coin.address, standard="erc20", role="member", min_balance="5", grace_s=0, everyone=True)
        await SqlTokenRules(database, CLOCK, balances, checks, STACK).add("green", wish)
    relay = Relay(chain.url)
    async with raw_server(relay.handle) as url:
        yield World(database, coin, relay, url)


async def test_two_processes_never_check_at_the_same_time(world: World) -> None:
    async with world.process("one", 30) as one, world.process("two", 30) as two:
        told: list[list[object]] = []
        tellers: set[str] = set()

        async def listen(name: str, worker: Worker) -> None:
            while True:
                told.append(await worker.said())
                tellers.add(name)

        listening = [asyncio.create_task(listen(name, worker)) for name, worker in (("one", one), ("two", two))]
        await until(lambda: len(told) >= 6 and tellers == {"one", "two"}, within_s=40)
        for task in listening:
            task.cancel()
        await asyncio.wait(listening)
    # Each check asks twice, for the latest block and for the balances in it.
    names = world.relay.names()
    pairs = [names[place : place + 2] for place in range(0, len(names) - 1, 2)]
    assert all(first == second for first, second in pairs)
    assert max(told, key=str) == [3, 3, 0, 0, ""]
    assert told.count([3, 0, 0, 0, ""]) == len(told) - 1
    assert await world.held() == {f"eth:{wallet}": {"member": "token"} for wallet in WALLETS}


async def test_where_one_dies_in_the_middle_of_a_check_another_takes_over_when_its_lease_ends(world: World) -> None:
    world.relay.silence("one")
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(world.process("one", 4))
        await until(lambda: world.relay.names() == ["one"], within_s=30)
        two = await stack.enter_async_context(world.process("two", 4))
        async with world.database.read() as connection:
            ends = await connection.scalar(select(lease.c.until))
        await one.killed()
        assert await two.said() == [3, 3, 0, 0, ""]
        first = next(at for name, at in world.relay.asked if name == "two")
        assert first >= ends
        await world.coin.send("transferFrom(address,address,uint256)", address(WALLETS[2]), address(WALLETS[0]), 5)
        while (said := await two.said()) == [3, 0, 0, 0, ""]:
            pass
        # What is lost is lost once, and by the one that lives.
        assert said[4] == ""
    assert await world.told("member.added") == [f"eth:{wallet}" for wallet in sorted(WALLETS)]
    assert await world.held() == {f"eth:{wallet}": {"member": "token"} for wallet in WALLETS[:2]}
    assert await world.told("member.removed") == [f"eth:{WALLETS[2]}"]
    assert (await SqlAudit(world.database).verify()).findings == ()
