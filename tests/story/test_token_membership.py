"""Memberships that tokens give: a real chain, real databases, nodes that fail."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import insert, update
from tests.conftest import DAO, StackFactory, local_node

from dagi.access.actor import Actor
from dagi.access.import_plan import ImportOptions
from dagi.access.importing import read_members
from dagi.access.token_wishes import MAX, TokenWish
from dagi.access.tokens import TokenRule
from dagi.chain.balances import ChainBalances
from dagi.chain.rpc import Node, RpcChains
from dagi.errors import Conflict, Denied, Invalid, Missing, OutsideFailure, RateLimited
from dagi.outbound import Client
from dagi.ports.abi import address
from dagi.ports.audit import AuditQuery
from dagi.ports.balances import Balances
from dagi.stores.audit import SqlAudit
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.imports import MemberImport
from dagi.stores.members import MemberAdmin
from dagi.stores.persons import PersonRepository
from dagi.stores.tables import identity, person
from dagi.stores.token_checks import LEASE_S, Times, TokenChecks
from dagi.stores.token_rules import SqlTokenRules
from dagi.testing.clock import FakeClock
from dagi.testing.local_chain import ACCOUNTS, CHAIN_ID, Contract, LocalChain
from dagi.testing.observer import CollectingObserver

pytestmark = [pytest.mark.anyio, pytest.mark.inside]
ANN, BEN, EVA = (account.lower() for account in ACCOUNTS)
GRACE_S = 3600
EVERY_S = 300
OPERATOR = Actor.operator("root")


class World:
    """A database with the DAO `green`, its admin `tg:admin`, and the persons behind three wallets, who are no members yet."""

    def __init__(self, database: Database, chain: LocalChain, http: Client, node: Node) -> None:
        self.clock = FakeClock()
        self.chain = chain
        self.database = database
        self.observer = CollectingObserver()
        self.balances: Balances = ChainBalances(RpcChains(http, [node]))
        self.members = MemberAdmin(database, self.clock)
        self.checks = self.other_process()

    def other_process(self) -> TokenChecks:
        times = Times(hold=timedelta(hours=24), every_s=EVERY_S)
        return TokenChecks(self.database, self.clock, self.balances, self.observer, times)

    def rules(self, by: Actor = OPERATOR) -> SqlTokenRules:
        return SqlTokenRules(self.database, self.clock, self.balances, self.checks, by)

    async def fill(self) -> None:
        await Daos(self.database, self.clock).create("green", "Green")
        await self.members.create("green", "tg:admin", ["admin"])
        # Linked long ago, to persons who have no membership.
        then = self.clock.now() - timedelta(days=30)
        async with self.database.write() as connection:
            for name, wallet in (("ann", ANN), ("ben", BEN), ("eva", EVA)):
                await connection.execute(insert(person).values(id=name, name=name, created_at=then))
                for account in (f"tg:{name}", f"eth:{wallet}"):
                    await connection.execute(insert(identity).values(id=account, person_id=name, created_at=then))

    async def rule(self, token: Contract, standard: str = "erc20", **more: object) -> str:
        wish = TokenWish(chain="local", token=token.address, standard=standard, role="member", grace_s=GRACE_S, everyone=True)
        return (await self.rules().add("green", msgspec.structs.replace(wish, **more))).id

    async def rule_of(self, role: str, *, token: int = 1, everyone: bool = False) -> str:
        wish = TokenWish(chain="local", token=f"0x{token:040x}", standard="erc20", role=role, grace_s=GRACE_S, everyone=everyone)
        return (await self.rules().add("green", wish)).id

    async def check(self, seconds: float = EVERY_S) -> list[tuple[int, int, int, int]]:
        """So much later, what is due is checked: holders, gained, lacking, lost of each rule."""
        self.clock.advance(seconds)
        return [(one.holders, one.gained, one.lacking, one.lost) for one in await self.checks.turn()]

    async def held(self) -> dict[str, dict[str, str]]:
        """Everybody's roles but the admin's, and where they come from."""
        found = await self.members.all("green")
        return {one.identities[-1]: dict(zip(one.roles, one.sources, strict=True)) for one in found if one.identities != ("tg:admin",)}

    async def told(self) -> list[tuple[str, str | None]]:
        records = await SqlAudit(self.database).list(AuditQuery(dao_id="green", limit=100))
        return [(one.action, one.subject) for one in reversed(records) if one.actor == "system:token-sync"]


@pytest.fixture
async def world(chain: LocalChain, database: Database) -> AsyncGenerator[World]:
    async with Client() as http:
        found = World(database, chain, http, local_node(chain.url))
        await found.fill()
        yield found


async def test_whoever_has_enough_is_taken_in_and_whoever_sells_it_has_a_grace(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 10**18)
    await world.chain.coins(coin, BEN, 10**18 - 1)
    await world.rule(coin, min_balance=str(10**18))
    assert await world.check() == [(1, 1, 0, 0)]
    assert await world.held() == {"tg:ann": {"member": "token"}}
    await coin.send("transferFrom(address,address,uint256)", address(ANN), address(BEN), 1)
    assert await world.check() == [(2, 1, 1, 0)]
    assert await world.held() == {"tg:ann": {"member": "token"}, "tg:ben": {"member": "token"}}
    assert await world.check(GRACE_S - EVERY_S) == [(2, 0, 0, 0)]
    assert await world.check() == [(1, 0, 0, 1)]
    assert await world.held() == {"tg:ben": {"member": "token"}}
    assert await world.told() == [
        ("token.gained", f"eth:{ANN}"), ("member.added", f"eth:{ANN}"),
        ("token.lacking", f"eth:{ANN}"), ("token.gained", f"eth:{BEN}"), ("member.added", f"eth:{BEN}"),
        ("token.lost", f"eth:{ANN}"), ("member.removed", f"eth:{ANN}"),
    ]  # fmt: skip
    record = next(one for one in await SqlAudit(world.database).list(AuditQuery(dao_id="green")) if one.action == "token.lacking")
    assert record.details is not None
    assert (record.details["balance"], record.details["needed"]) == (str(10**18 - 1), str(10**18))


async def test_whoever_gets_it_back_within_the_grace_loses_nothing(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 5)
    await world.rule(coin, min_balance="5")
    await world.check()
    await coin.send("transferFrom(address,address,uint256)", address(ANN), address(EVA), 5)
    await world.check()
    await coin.send("transferFrom(address,address,uint256)", address(EVA), address(ANN), 5)
    assert await world.check() == [(2, 0, 1, 0)]
    assert await world.check(2 * GRACE_S) == [(1, 0, 0, 1)]
    assert list(await world.held()) == ["tg:ann"]


async def test_pictures_one_picture_and_badges_count_too(world: World) -> None:
    picture, badges = await world.chain.deploy("Picture"), await world.chain.deploy("Badges")
    await picture.send("mint(address,uint256)", address(ANN), 7)
    await picture.send("mint(address,uint256)", address(BEN), 8)
    await badges.send("mint(address,uint256,uint256)", address(EVA), MAX, 3)
    await badges.send("mint(address,uint256,uint256)", address(ANN), 1, 3)
    await world.rule(picture, "erc721", token_id="8", role="contributor")
    await world.rule(picture, "erc721", role="guest")
    await world.rule(badges, "erc1155", token_id=str(MAX), min_balance="3")
    assert sorted(await world.check()) == [(1, 1, 0, 0), (1, 1, 0, 0), (2, 2, 0, 0)]
    assert await world.held() == {
        "tg:ann": {"guest": "token"},
        "tg:ben": {"contributor": "token", "guest": "token"},
        "tg:eva": {"member": "token"},
    }
    await picture.send("transferFrom(address,address,uint256)", address(BEN), address(EVA), 8)
    await world.check()
    await world.check(GRACE_S)
    assert await world.held() == {
        "tg:ann": {"guest": "token"},
        "tg:eva": {"contributor": "token", "guest": "token", "member": "token"},
    }


async def test_a_picture_nobody_has_and_the_largest_number_are_no_trouble(world: World) -> None:
    picture, coin = await world.chain.deploy("Picture"), await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, MAX)
    await world.rule(picture, "erc721", token_id="404")
    await world.rule(coin, min_balance=str(MAX), role="guest")
    assert sorted(await world.check()) == [(0, 0, 0, 0), (1, 1, 0, 0)]
    assert [info.rule.trouble for info in await world.rules().all("green")] == ["", ""]


async def test_what_is_held_by_hand_or_by_a_file_is_never_taken(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 5)
    await world.chain.coins(coin, BEN, 5)
    await world.members.create("green", "tg:ann", ["member"])
    await MemberImport(world.database, world.clock).run(
        "green", read_members(b"account,role\ntg:ben,member\n", "green"), ImportOptions(), dry_run=False
    )
    await world.rule(coin, min_balance="5")
    assert await world.check() == [(2, 2, 0, 0)]
    for owner in (ANN, BEN):
        await coin.send("transferFrom(address,address,uint256)", address(owner), address(EVA), 5)
    await world.check()
    await world.check(GRACE_S)
    assert await world.held() == {"tg:ann": {"member": "manual"}, "tg:ben": {"member": "import"}, "tg:eva": {"member": "token"}}


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_role_by_hand_that_has_ended_is_given_again_by_a_token(world: World, suspended: bool) -> None:
    Meanwhile({ANN: 1}).use(world)
    until = world.clock.now() + timedelta(hours=1)
    await world.members.create("green", "tg:ann", ["member"], expires_at=until)
    await world.rule_of("member")
    await world.check()
    assert await world.held() == {"tg:ann": {"member": "manual"}}
    if suspended:
        await world.members.update("green", "tg:ann", suspended=True)
    await world.check(3600)
    assert await world.held() == {"tg:ann": {"member": "token"}}
    found = await world.members.show("green", "tg:ann")
    assert (found.expires_at, found.suspended) == (None, suspended)
    Meanwhile({}).use(world)
    await world.check()
    await world.check(GRACE_S)
    assert await world.held() == ({"tg:ann": {"member": "token"}} if suspended else {})


async def test_a_node_that_is_down_or_lies_changes_nothing_and_is_told_once(world: World, chain: LocalChain) -> None:
    coin = await chain.deploy("Coin")
    await chain.coins(coin, ANN, 5)
    await world.rule(coin, min_balance="5")
    await world.check()
    before = await world.held()
    async with Client() as http:
        nowhere = Node(name="local", chain_id=CHAIN_ID, url="http://127.0.0.1:1")
        wrong_path = msgspec.structs.replace(local_node(chain.url), url=chain.url + "/nothing-here")
        elsewhere = msgspec.structs.replace(local_node(chain.url), chain_id=1)
        for node in (nowhere, wrong_path, elsewhere):
            world.balances = ChainBalances(RpcChains(http, [node]))
            world.checks = world.other_process()
            world.observer.notes.clear()
            for _ in range(3):
                (checked,) = await _turned(world)
                assert checked.trouble
            assert world.observer.events == ["token_check_failed"]
            assert "nothing-here" not in str(world.observer.notes)
            assert await world.held() == before
    assert (await world.rules().all("green"))[0].rule.trouble


async def test_trouble_with_one_contract_is_told_of_that_rule_when_it_begins_and_when_it_ends(world: World) -> None:
    held = Meanwhile({ANN: 1})
    held.use(world)
    good = await world.rule_of("member", token=1)
    bad = await world.rule_of("contributor", token=2)
    held.bad = {f"0x{2:040x}"}
    await world.members.create("green", "tg:ann", ["guest"])
    for _ in range(4):
        await world.check()
    assert [(event, facts["rule"]) for event, facts in world.observer.notes] == [("token_check_failed", bad)]
    held.bad = {f"0x{1:040x}"}
    for _ in range(2):
        await world.check()
    told = sorted((event, facts["rule"]) for event, facts in world.observer.notes[1:])
    assert told == [("token_check_failed", good), ("token_check_works_again", bad)]


async def test_an_admin_has_the_rules_checked_one_at_a_time_and_seldom(world: World) -> None:
    held = Meanwhile({ANN: 1})
    held.use(world)
    await world.rule_of("member")
    rules = world.rules(Actor(id="tg:admin"))
    meanwhile: list[RateLimited] = []

    async def again() -> None:
        with pytest.raises(RateLimited, match="being checked") as error:
            await rules.check("green")
        meanwhile.append(error.value)

    held.happens = again
    world.clock.advance(1)
    await world.rules().check("green")
    assert held.happens is again, "nobody has a wallet there yet, so no chain is asked"
    await world.members.create("green", "tg:ann", ["guest"])
    assert len(await rules.check("green")) == 1
    assert meanwhile[0].facts["limit_of"] == "dao"
    world.clock.advance(29)
    with pytest.raises(RateLimited) as error:
        await rules.check("green")
    assert error.value.retry_after_s == 1
    # The operator asks whenever it wants to.
    assert len(await world.rules().check("green")) == 1
    world.clock.advance(1)
    assert len(await rules.check("green")) == 1


async def _turned(world: World):
    world.clock.advance(EVERY_S)
    return await world.checks.turn()


async def test_an_address_without_a_contract_takes_nobody_s_role(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 5)
    await world.rule(coin, min_balance="5")
    await world.check()
    await world.chain.rpc("anvil_setCode", coin.address, "0x")
    (checked,) = await _turned(world)
    assert "no erc20 contract" in checked.trouble
    assert await world.held() == {"tg:ann": {"member": "token"}}


async def test_only_one_process_checks_at_a_time_and_another_takes_over_from_one_that_died(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.rule(coin)
    first, second = world.other_process(), world.other_process()
    both = await asyncio.gather(first.turn(), second.turn())
    assert sorted(len(one) for one in both) == [0, 1]
    # It died with the lease: nobody gives it back.
    assert await first._lease.take(LEASE_S)  # noqa: SLF001 - what a process does that dies in the middle
    world.clock.advance(EVERY_S)
    assert len(await second.turn()) == (1 if EVERY_S > LEASE_S else 0)


async def test_a_wallet_that_was_just_linked_makes_nobody_admin_for_a_day(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 5)
    await world.chain.coins(coin, BEN, 5)
    await world.rule(coin, min_balance="5", role="admin")
    await world.rule(coin, min_balance="5", role="contributor")
    async with world.database.write() as connection:
        await connection.execute(update(identity).where(identity.c.id == f"eth:{ANN}").values(created_at=world.clock.now()))
    await world.check()
    assert await world.held() == {"tg:ann": {"contributor": "token"}, "tg:ben": {"admin": "token", "contributor": "token"}}
    await world.check(86_400)
    assert (await world.held())["tg:ann"] == {"admin": "token", "contributor": "token"}


async def test_a_suspension_is_not_shaken_off_by_sending_the_token_away_and_back(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 5)
    await world.rule(coin, min_balance="5")
    await world.check()
    await world.members.update("green", "tg:ann", suspended=True)
    await coin.send("transferFrom(address,address,uint256)", address(ANN), address(EVA), 5)
    await world.check()
    await world.check(GRACE_S)
    await coin.send("transferFrom(address,address,uint256)", address(EVA), address(ANN), 5)
    await world.check()
    assert (await world.members.show("green", "tg:ann")).suspended


async def test_the_last_admin_keeps_the_role_whatever_the_token(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 5)
    await world.rule(coin, min_balance="5", role="admin")
    await world.check()
    await world.members.remove("green", "tg:admin")
    await coin.send("transferFrom(address,address,uint256)", address(ANN), 0xDEAD, 5)
    await world.check()
    await world.check(GRACE_S)
    assert await world.held() == {"tg:ann": {"admin": "token"}}
    assert "token_check_failed" in world.observer.events
    (rule,) = await world.rules().all("green")
    await world.members.create("green", "tg:next", ["admin"])
    await world.check()
    assert await world.held() == {"tg:next": {"admin": "manual"}}
    await world.rules().remove("green", rule.rule.id)


async def test_a_rule_is_not_ended_where_it_made_the_last_admin(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 5)
    rule = await world.rule(coin, role="admin")
    await world.check()
    await world.members.remove("green", "tg:admin")
    with pytest.raises(Conflict):
        await world.rules().remove("green", rule)


async def test_whoever_asks_is_looked_at_and_nobody_else_by_a_dao_s_own_rule(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.chain.coins(coin, ANN, 5)
    await world.chain.coins(coin, BEN, 5)
    admin = world.rules(Actor(id="tg:admin"))
    wish = TokenWish(chain="local", token=coin.address, standard="erc20", role="member", min_balance="5", grace_s=GRACE_S)
    with pytest.raises(Denied):
        await admin.add("green", msgspec.structs.replace(wish, everyone=True))
    await admin.add("green", wish)
    assert await world.check() == [(0, 0, 0, 0)]
    (claimed,) = await world.rules(Actor(id="tg:ann")).claim("green", "tg:ann")
    assert (claimed.gained, await world.held()) == (1, {"tg:ann": {"member": "token"}})
    with pytest.raises(RateLimited):
        await world.rules(Actor(id="tg:ann")).claim("green", "tg:ann")
    with pytest.raises(Missing):
        await world.rules(Actor(id="tg:eva")).claim("green", "tg:eva")
    await coin.send("transferFrom(address,address,uint256)", address(ANN), address(BEN), 5)
    await world.check()
    assert await world.check(GRACE_S) == [(0, 0, 0, 1)]
    for account in ("tg:nobody", "tg:admin"):
        try:
            assert [one.gained for one in await world.rules(Actor(id=account)).claim("green", account)] == [0]
        except Missing:
            assert account == "tg:nobody"


async def test_a_rule_that_ends_takes_what_it_alone_gave(world: World) -> None:
    coin, other = await world.chain.deploy("Coin"), await world.chain.deploy("Coin")
    for token in (coin, other):
        await world.chain.coins(token, ANN, 5)
    await world.chain.coins(coin, BEN, 5)
    first = await world.rule(coin, min_balance="5")
    await world.rule(other, min_balance="5")
    await world.check()
    await world.rules().remove("green", first)
    assert await world.held() == {"tg:ann": {"member": "token"}}


async def test_rules_are_made_by_those_who_hold_what_they_give_and_once(world: World) -> None:
    coin = await world.chain.deploy("Coin")
    await world.rule(coin)
    with pytest.raises(Conflict):
        await world.rule(coin)
    with pytest.raises(Invalid) as unknown:
        await world.rule(coin, chain="moon")
    assert unknown.value.facts["allowed"] == ["local"]
    with pytest.raises(Invalid):
        await world.rule(coin, role="emperor")
    await world.members.create("green", "tg:plain", ["contributor"])
    for actor in ("tg:plain", "tg:stranger"):
        with pytest.raises(Denied):
            await world.rules(Actor(id=actor)).add("green", TokenWish(chain="local", token=coin.address, standard="erc20", role="guest"))


async def test_over_http_a_rule_is_made_checked_by_itself_and_ended(start: StackFactory, chain: LocalChain) -> None:
    coin = await chain.deploy("Coin")
    await chain.coins(coin, ANN, 5)
    async with start(chains=[{"name": "local", "chain_id": CHAIN_ID, "rpc_url": chain.url}]) as stack, stack.rbac() as http:
        made = await http.post(f"/daos/{DAO}/members", json={"user_id": f"eth:{ANN}", "roles": ["guest"]})
        assert made.status_code == 200, made.text
        body = {"chain": "local", "token": coin.address, "standard": "erc20", "role": "contributor", "min_balance": "5"}
        source = (await http.post(f"/daos/{DAO}/sources", json=body, params={"as": "tg:admin001"})).json()["source"]
        async with asyncio.timeout(20):
            while (await http.get(f"/daos/{DAO}/sources")).json()["sources"][0]["holders"] != 1:
                await asyncio.sleep(0.05)
        member = (await http.get(f"/daos/{DAO}/members/eth:{ANN}")).json()["member"]
        assert dict(zip(member["roles"], member["sources"], strict=True)) == {"contributor": "token", "guest": "manual"}
        assert (await http.post(f"/daos/{DAO}/sources", json=body, params={"as": "tg:12345"})).status_code == 403
        assert (await http.post(f"/daos/{DAO}/sources", json={**body, "everyone": True}, params={"as": "tg:admin001"})).status_code == 403
        checked = (await http.post(f"/daos/{DAO}/sources/check", params={"as": "tg:admin001"})).json()["checked"]
        assert (checked[0]["holders"], checked[0]["trouble"]) == (1, "")
        again = await http.post(f"/daos/{DAO}/sources/check", params={"as": "tg:admin001"})
        assert (again.status_code, again.json()["code"]) == (429, "RATE_LIMITED")
        assert 0 < int(again.headers["retry-after"]) <= 30
        assert (await http.delete(f"/daos/{DAO}/sources/{source['id']}", params={"as": "tg:admin001"})).status_code == 200
        assert (await http.get(f"/daos/{DAO}/members/eth:{ANN}")).json()["member"]["roles"] == ["guest"]
        assert (await http.delete(f"/daos/{DAO}/sources/{source['id']}")).status_code == 404


class Meanwhile:
    """Implements the port Balances: wallets hold what it is told, and something happens while the chain is asked."""

    def __init__(self, balances: Mapping[str, int]) -> None:
        self._balances = balances
        self.happens: Callable[[], Awaitable[object]] | None = None
        self.bad: set[str] = set()

    def chain_id(self, name: str) -> int | None:
        return CHAIN_ID if name == "local" else None

    def chains(self) -> Sequence[str]:
        return ["local"]

    async def of(self, rule: TokenRule, addresses: Sequence[str]) -> Mapping[str, int]:
        if rule.token in self.bad:
            raise OutsideFailure("The contract does not answer.", service="local")
        if self.happens is not None:
            happens, self.happens = self.happens, None
            await happens()
        return {one: self._balances.get(one, 0) for one in addresses}

    def use(self, world: World) -> None:
        world.balances = self
        world.checks = world.other_process()


async def test_people_who_become_one_while_the_chain_is_asked_stop_no_check(world: World) -> None:
    held = Meanwhile({ANN: 1, BEN: 1})
    held.use(world)
    await world.rule_of("member", everyone=True)
    await world.check()
    persons = PersonRepository(world.database, world.clock)

    async def joined() -> None:
        await persons.join(OPERATOR, "tg:ann", "tg:ben", trusted=True)

    for _ in range(2):
        assert await world.check() == [(2, 0, 0, 0)]
    held.happens = joined
    assert await world.check() == [(1, 0, 0, 0)]
    assert await world.held() == {"tg:ben": {"member": "token"}}


async def test_who_links_accounts_keeps_what_tokens_gave_and_its_grace(world: World) -> None:
    held = Meanwhile({ANN: 1})
    held.use(world)
    first = await world.rule_of("guest")
    await world.rule_of("member", token=2)
    await world.rules(Actor(id="tg:ann")).claim("green", "tg:ann")
    assert await world.held() == {"tg:ann": {"guest": "token", "member": "token"}}
    await PersonRepository(world.database, world.clock).join(OPERATOR, "tg:eva", "tg:ann", trusted=True)
    # Whatever changes next puts right what is wrong, before the chain is asked about the other rule.
    await world.rules().remove("green", first)
    assert await world.held() == {"tg:eva": {"member": "token"}}
    assert await world.check() == [(1, 0, 0, 0)]


async def test_a_person_of_many_wallets_full_of_a_boundless_token_is_no_trouble(world: World) -> None:
    wallets = [f"0x{number:040x}" for number in range(1, 12)]
    async with world.database.write() as connection:
        for wallet in wallets:
            await connection.execute(insert(identity).values(id=f"eth:{wallet}", person_id="ann", created_at=world.clock.now()))
    Meanwhile(dict.fromkeys(wallets, MAX)).use(world)
    await world.rule_of("member", everyone=True)
    assert await world.check() == [(1, 1, 0, 0)]


async def test_a_check_that_took_so_long_that_another_process_has_checked_meanwhile_changes_nothing(world: World) -> None:
    await world.rule_of("member", everyone=True)
    slow, quick = Meanwhile({ANN: 1}), Meanwhile({BEN: 1})
    slow.use(world)
    await world.check()
    slow_one = world.checks
    quick.use(world)

    async def later() -> None:
        # The slow one's lease is over.
        assert [(one.gained, one.lacking) for one in await _turned(world)] == [(1, 1)]

    slow.happens = later
    world.clock.advance(EVERY_S)
    (checked,) = await slow_one.turn()
    assert "meanwhile" in checked.trouble
    assert [action for action, _ in await world.told()] == ["token.gained", "member.added", "token.lacking", "token.gained", "member.added"]
    assert [(one.rule.trouble, one.holders) for one in await world.rules().all("green")] == [("", 2)]
