"""One person, many accounts: codes, wallets, Telegram and Discord over a real database, a real chain and a scripted Discord."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from dagi.access.actor import Actor
from dagi.access.decide import decide
from dagi.access.wallets import wallet_identity
from dagi.assemble.identities import Linked
from dagi.assemble.outside import Outside
from dagi.chain.rpc import Node
from dagi.config.identity_schema import DiscordLogin, Identities, Siwe
from dagi.config.schema import Settings
from dagi.errors import Conflict, Denied, Gone, Invalid, Missing, OutsideFailure, OutsideTimeout, RateLimited, SwitchedOff
from dagi.message import Sender
from dagi.outbound import Client
from dagi.ports.abi import address
from dagi.ports.audit import AuditQuery
from dagi.ports.identities import Preview, Speaker
from dagi.stores.audit import SqlAudit
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.erasure import Erasure
from dagi.stores.governance_tables import token_holder, token_rule
from dagi.stores.link_tables import pending_link, wrong_code
from dagi.stores.members import MemberAdmin
from dagi.stores.people import person_of
from dagi.stores.roles import RoleAdmin
from dagi.stores.standings import read_standing
from dagi.testing import local_chain
from dagi.testing.clock import FakeClock
from dagi.testing.discord import CLIENT_ID, CLIENT_SECRET, Discord
from dagi.testing.local_chain import ACCOUNTS, CHAIN_ID, PRIVATE_KEYS, LocalChain
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio
TOKEN = "123:bot"
ANN, BEN = Speaker(account="tg:1"), Speaker(account="dc:2")
WALLET = wallet_identity(ACCOUNTS[1])
HOLD = timedelta(hours=24)
OPERATOR = Actor.operator("root")


class House:
    """A database with one DAO, and everything that links."""

    def __init__(self, database: Database, http: Client, discord: Discord) -> None:
        self.database = database
        self.clock = FakeClock()
        self.http = http
        self.discord = discord
        self.observer = CollectingObserver()
        self.use()

    def use(self, *nodes: Node, discord_secret: str = CLIENT_SECRET, **identities: object) -> None:
        """Put a configuration in force."""
        login = DiscordLogin(client_id=CLIENT_ID, redirect_url="https://dao.example/cb", api_url=self.discord.api_url, timeout_ms=1000)
        base: dict[str, object] = {"siwe": Siwe(domain="dao.example"), "discord": login}
        settings = Settings(identities=Identities(**{**base, **identities}))
        outside = Outside(nodes=nodes, telegram_token=TOKEN, discord_secret=discord_secret)
        self.linked = Linked(settings, outside, self.database, self.clock, self.http, self.observer)
        self.linking = self.linked.linking

    async def member(self, user_id: str, *roles: str, dao: str = "green", **options: object) -> None:
        await MemberAdmin(self.database, self.clock).create(dao, user_id, roles or ("member",), **options)

    async def link(self, begun: Speaker, told: Speaker) -> Preview:
        """Everything but the confirmation."""
        return await self.linking.tell_code(told, (await self.linking.begin_code(begun)).code)

    async def linked_by_code(self, begun: Speaker, told: Speaker) -> set[str]:
        """All of it; the accounts of the person."""
        preview = await self.link(begun, told)
        return {one.id for one in (await self.linking.confirm(told, preview.confirm)).identities}

    async def may(self, user_id: str, entitlement: str, dao: str = "green") -> bool:
        """By the database's own word."""
        async with self.database.read() as connection:
            standing = await read_standing(connection, dao, user_id)
        return decide(Sender(dao_id=dao, user_id=user_id), standing, self.clock.now(), "").allows(entitlement)

    async def accounts(self, user_id: str) -> set[str]:
        return {one.id for one in (await self.linked.persons.show(user_id)).identities}

    async def proofs(self, user_id: str) -> dict[str, str]:
        return {one.id: one.proved_by for one in (await self.linked.persons.show(user_id)).identities}

    async def told(self, action: str, dao: str = "green") -> list[dict[str, object]]:
        """The audit's records of an action, and that the chain is whole."""
        audit = SqlAudit(self.database)
        assert (await audit.verify()).findings == ()
        return [dict(one.details or {}) | {"subject": one.subject} for one in await audit.list(AuditQuery(dao_id=dao, action=action))]


@pytest.fixture
async def house(database: Database) -> AsyncGenerator[House]:
    async with Client() as http, Discord() as discord:
        found = House(database, http, discord)
        await Daos(database, found.clock).create("green", "Green")
        yield found


async def test_a_code_told_at_the_other_account_links_both_once_it_is_confirmed(house: House) -> None:
    await house.member("tg:1", "contributor")
    preview = await house.link(ANN, BEN)
    assert (preview.accounts, preview.roles, preview.held) == (("tg:1", "dc:2"), {"green": ("contributor",)}, ("dc:2",))
    assert await house.accounts("dc:2") == set()
    assert not await house.may("dc:2", "chat.use")
    await house.linking.confirm(BEN, preview.confirm)
    assert await house.accounts("dc:2") == {"tg:1", "dc:2"}
    assert await house.may("dc:2", "git.commit")
    (record,) = await house.told("identity.linked")
    assert record == {"subject": "dc:2", "with": ["tg:1"], "added": ["dc:2"], "held": ["dc:2"], "proved_by": "code"}


async def test_a_stranger_may_begin_and_a_member_tell(house: House) -> None:
    await house.member("tg:1")
    assert await house.linked_by_code(BEN, ANN) == {"tg:1", "dc:2"}
    assert await house.proofs("dc:2") == {"tg:1": "", "dc:2": "code"}


async def test_what_was_linked_administers_nothing_for_a_day_and_the_old_account_goes_on(house: House) -> None:
    await house.member("tg:1", "admin")
    await house.linked_by_code(ANN, BEN)
    assert await house.may("tg:1", "member.manage")
    assert not await house.may("dc:2", "member.manage")
    assert await house.may("dc:2", "git.commit")
    house.clock.advance(HOLD.total_seconds())
    assert await house.may("dc:2", "member.manage")


async def test_a_member_who_links_an_admins_account_waits_for_a_day(house: House) -> None:
    await house.member("tg:1")
    await house.member("dc:2", "admin")
    await house.linked_by_code(ANN, BEN)
    assert await house.may("dc:2", "member.manage")
    assert not await house.may("tg:1", "member.manage")


async def test_a_code_counts_once_even_where_it_is_told_twice_at_the_same_time(house: House) -> None:
    await house.member("tg:1")
    code = (await house.linking.begin_code(ANN)).code
    tellers = [Speaker(account=f"dc:{number}") for number in range(8)]
    outcomes = await asyncio.gather(*[house.linking.tell_code(teller, code) for teller in tellers], return_exceptions=True)
    assert sum(isinstance(outcome, Preview) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Gone) for outcome in outcomes) == 7


async def test_a_code_is_over_after_ten_minutes_and_when_a_later_one_was_begun(house: House) -> None:
    await house.member("tg:1")
    first, second = await house.linking.begin_code(ANN), await house.linking.begin_code(ANN)
    with pytest.raises(Gone):
        await house.linking.tell_code(BEN, first.code)
    house.clock.advance(600)
    with pytest.raises(Gone, match="ten minutes"):
        await house.linking.tell_code(BEN, second.code)


async def test_a_confirmation_is_for_whom_it_was_shown_and_counts_once(house: House) -> None:
    await house.member("tg:1")
    preview = await house.link(ANN, BEN)
    with pytest.raises(Missing):
        await house.linking.confirm(Speaker(account="dc:3"), preview.confirm)
    with pytest.raises(Missing):
        await house.linking.tell_code(BEN, preview.confirm)
    await house.linking.confirm(BEN, preview.confirm)
    with pytest.raises(Gone):
        await house.linking.confirm(BEN, preview.confirm)


async def test_a_few_wrong_codes_are_enough(house: House) -> None:
    code = (await house.linking.begin_code(ANN)).code
    for _ in range(5):
        with pytest.raises(Missing):
            await house.linking.tell_code(BEN, "0" * 26)
    with pytest.raises(RateLimited) as limited:
        await house.linking.tell_code(BEN, code)
    assert 0 < (limited.value.retry_after_s or 0) <= 600
    house.clock.advance(601)
    with pytest.raises(Gone):
        await house.linking.tell_code(BEN, code)


async def test_nobody_fills_the_database_with_beginnings(house: House) -> None:
    for _ in range(10):
        await house.linking.begin_code(ANN)
    with pytest.raises(RateLimited):
        await house.linking.begin_code(ANN)
    await house.linking.begin_code(BEN)
    house.clock.advance(601)
    await house.linking.begin_code(ANN)


async def test_nothing_told_is_kept_as_it_was_told(house: House) -> None:
    await house.member("tg:1")
    code = await house.linking.begin_code(ANN)
    start = await house.linking.begin_discord(ANN)
    async with house.database.read() as connection:
        rows = (await connection.execute(select(pending_link))).all()
    content = repr(rows)
    state = start.url.partition("state=")[2][:26]
    for secret in (code.code, code.code.replace("-", ""), state):
        assert secret not in content


async def test_two_members_become_one_with_the_roles_of_both(house: House) -> None:
    await Daos(house.database, house.clock).create("blue", "Blue")
    await house.member("tg:1", "member", name="Ann")
    await house.member("dc:2", "contributor")
    await house.member("dc:2", "guest", dao="blue")
    assert await house.linked_by_code(ANN, BEN) == {"tg:1", "dc:2"}
    person = await house.linked.persons.show("tg:1")
    assert person.roles == {"blue": ("guest",), "green": ("contributor", "member")}
    assert [one.name for one in await MemberAdmin(house.database, house.clock).all("green")] == ["Ann"]
    assert len(await house.told("identity.linked", "blue")) == 1


async def test_whoever_is_suspended_stays_suspended_whatever_is_linked(house: House) -> None:
    await house.member("tg:1")
    await house.member("dc:2", "contributor")
    await MemberAdmin(house.database, house.clock).update("green", "dc:2", suspended=True)
    await house.linked_by_code(ANN, BEN)
    assert not await house.may("tg:1", "chat.use")
    assert not await house.may("dc:2", "chat.use")


async def test_a_dao_does_not_lose_its_last_admin_to_a_suspended_account(house: House) -> None:
    await house.member("tg:1", "admin")
    await house.member("dc:2", "guest")
    await MemberAdmin(house.database, house.clock).update("green", "dc:2", suspended=True)
    preview = await house.link(ANN, BEN)
    with pytest.raises(Conflict, match="without an admin"):
        await house.linking.confirm(BEN, preview.confirm)
    assert await house.may("tg:1", "member.manage")


async def test_what_is_linked_already_is_a_conflict_whoever_asks(house: House) -> None:
    await house.member("tg:1")
    await house.linked_by_code(ANN, BEN)
    with pytest.raises(Conflict) as again:
        await house.link(ANN, BEN)
    assert again.value.facts["reason"] == "linked"
    await house.member("tg:3")
    await house.linked_by_code(Speaker(account="tg:3"), Speaker(account="dc:4"))
    with pytest.raises(Conflict) as elsewhere:
        await house.link(Speaker(account="tg:3"), BEN)
    assert elsewhere.value.facts["reason"] == "linked_elsewhere"


async def test_a_key_of_one_dao_does_not_say_who_people_are_in_another(house: House) -> None:
    await house.member("tg:1")
    bot = Speaker(account="tg:1", key_id="abc", dao_id="green")
    await house.linking.begin_code(bot)
    await Daos(house.database, house.clock).create("blue", "Blue")
    with pytest.raises(Denied, match="trusted_keys") as denied:
        await house.linking.begin_code(bot)
    assert denied.value.facts["reason"] == "key_not_trusted"
    await house.linking.begin_code(Speaker(account="key:abc", key_id="abc", dao_id="green"))
    house.use(trusted_keys=("abc",))
    await house.linking.begin_code(bot)


async def test_an_account_can_be_unlinked_and_is_a_stranger_then(house: House) -> None:
    await house.member("tg:1")
    await house.linked_by_code(ANN, BEN)
    await house.linked.persons.unlink("dc:2", ANN)
    assert await house.accounts("tg:1") == {"tg:1"}
    assert not await house.may("dc:2", "chat.use")
    (record,) = await house.told("identity.unlinked")
    assert record == {"subject": "dc:2", "of": ["tg:1"]}
    with pytest.raises(Conflict, match="only account"):
        await house.linked.persons.unlink("tg:1", ANN)
    with pytest.raises(Missing):
        await house.linked.persons.unlink("dc:2", ANN)


async def test_an_account_linked_a_moment_ago_takes_no_other_account_away(house: House) -> None:
    await house.member("tg:1", "admin")
    await house.linked_by_code(ANN, BEN)
    with pytest.raises(Denied, match="a moment ago"):
        await house.linked.persons.unlink("tg:1", BEN)
    with pytest.raises(Conflict, match="only account through which a DAO is administered"):
        await house.linked.persons.unlink("tg:1", ANN)
    house.clock.advance(HOLD.total_seconds())
    await house.linked.persons.unlink("tg:1", BEN)
    assert await house.accounts("dc:2") == {"dc:2"}
    assert await house.may("dc:2", "member.manage")


async def test_whoever_manages_all_members_concerned_moves_and_removes_accounts(house: House) -> None:
    await Daos(house.database, house.clock).create("blue", "Blue")
    await house.member("tg:9", "admin")
    await house.member("tg:1", "contributor")
    await house.member("tg:5")
    await house.linked_by_code(ANN, BEN)
    admin = house.linked.admin(Actor(id="tg:9"))
    moved = await admin.transfer("dc:2", "tg:5", "green")
    assert {one.id for one in moved.identities} == {"tg:5", "dc:2"}
    assert not await house.may("dc:2", "git.commit")
    (record,) = await house.told("identity.transferred")
    assert record == {"subject": "dc:2", "from": ["tg:1"], "to": ["tg:5"]}
    await house.member("tg:5", "guest", dao="blue")
    with pytest.raises(Conflict):
        await admin.unlink("dc:2", "green")
    with pytest.raises(Denied):
        await house.linked.admin(Actor(id="tg:1")).unlink("dc:2", "green")
    with pytest.raises(Missing):
        await admin.unlink("dc:77", "green")
    await house.linked.admin(OPERATOR).unlink("dc:2")
    assert await house.accounts("dc:2") == set()


async def test_nobody_manages_accounts_of_somebody_who_may_more(house: House) -> None:
    await house.member("tg:9", "admin")
    await house.member("tg:1", "admin", "contributor")
    await house.linked_by_code(ANN, BEN)
    await RoleAdmin(house.database, house.clock).put("green", "steward", ["member.manage", "member.read"])
    await house.member("tg:8", "steward")
    with pytest.raises(Denied, match="do not hold"):
        await house.linked.admin(Actor(id="tg:8")).unlink("dc:2", "green")


async def test_an_operator_joins_what_people_may_not(house: House) -> None:
    await Daos(house.database, house.clock).create("blue", "Blue")
    await house.member("tg:1", "admin")
    await house.member("dc:2", "admin", dao="blue")
    with pytest.raises(Conflict) as error:
        await house.link(ANN, BEN)
    assert error.value.facts["reason"] == "administers"
    await house.linked.admin(OPERATOR).link("tg:1", "dc:2")
    assert await house.may("tg:1", "member.manage", "blue")
    assert await house.may("tg:1", "member.manage")


def signed(text: str, key: str = PRIVATE_KEYS[1]) -> str:
    return local_chain.signed(text, key)


async def test_a_wallet_signs_and_is_linked(house: House) -> None:
    await house.member("tg:1", "admin")
    asked = await house.linking.challenge(ANN, ACCOUNTS[1].lower(), None)
    assert asked.message is not None
    assert "Account: tg:1" in asked.message
    assert ACCOUNTS[1] in asked.message
    preview = await house.linking.prove_wallet(ANN, asked.message, signed(asked.message))
    assert (preview.accounts, preview.held) == (("tg:1", WALLET), (WALLET,))
    await house.linking.confirm(ANN, preview.confirm)
    assert await house.may(WALLET, "git.commit")
    assert not await house.may(WALLET, "member.manage")
    with pytest.raises(Gone):
        await house.linking.prove_wallet(ANN, asked.message, signed(asked.message))


async def test_a_challenge_is_for_the_account_it_was_given_to_and_for_ten_minutes(house: House) -> None:
    asked = await house.linking.challenge(ANN, ACCOUNTS[1], None)
    text = asked.message or ""
    with pytest.raises(Missing):
        await house.linking.prove_wallet(BEN, text, signed(text))
    house.clock.advance(600)
    with pytest.raises(Gone):
        await house.linking.prove_wallet(ANN, text, signed(text))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("dao.example wants", "evil.example wants"),
        ("URI: https://dao.example", "URI: https://evil.example"),
        ("Chain ID: 1\n", "Chain ID: 5\n"),
        ("Account: tg:1", "Account: tg:2"),
        ("Account: tg:1\n", "Account: tg:1\n\n"),
        (ACCOUNTS[1], ACCOUNTS[2]),
        (ACCOUNTS[1], ACCOUNTS[1].lower()),
    ],
)
async def test_a_message_that_was_changed_proves_nothing_though_it_is_signed(house: House, before: str, after: str) -> None:
    asked = await house.linking.challenge(ANN, ACCOUNTS[1], None)
    text = (asked.message or "").replace(before, after)
    assert text != asked.message
    with pytest.raises(Invalid):
        await house.linking.prove_wallet(ANN, text, signed(text))
    assert await house.accounts(WALLET) == set()


@pytest.mark.parametrize("spoil", ["other key", "other text", "high s", "zero", "short", "no hex"])
async def test_a_signature_that_is_not_the_wallets_proves_nothing(house: House, spoil: str) -> None:
    asked = await house.linking.challenge(ANN, ACCOUNTS[1], None)
    text = asked.message or ""
    good = bytes.fromhex(signed(text)[2:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    mirrored = good[:32] + (order - int.from_bytes(good[32:64], "big")).to_bytes(32, "big") + bytes([55 - good[64]])
    bad = {
        "other key": signed(text, PRIVATE_KEYS[2]),
        "other text": signed(text + " "),
        "high s": "0x" + mirrored.hex(),
        "zero": "0x" + bytes(65).hex(),
        "short": "0x" + good[:64].hex(),
        "no hex": "0xyz",
    }[spoil]
    with pytest.raises(Invalid):
        await house.linking.prove_wallet(ANN, text, bad)


async def test_a_contract_is_asked_whether_the_signature_is_its_owners(house: House, chain: LocalChain) -> None:
    house.use(Node(name="local", chain_id=CHAIN_ID, url=chain.url))
    await house.member("tg:1")
    wallet = await chain.deploy("Wallet", address(ACCOUNTS[1]))
    for key, good in ((PRIVATE_KEYS[2], False), (PRIVATE_KEYS[1], True)):
        asked = await house.linking.challenge(ANN, wallet.address, CHAIN_ID)
        text = asked.message or ""
        if not good:
            with pytest.raises(Invalid, match="not this wallet's"):
                await house.linking.prove_wallet(ANN, text, signed(text, key))
            continue
        preview = await house.linking.prove_wallet(ANN, text, signed(text, key))
        assert preview.accounts[1] == wallet_identity(wallet.address.lower())


async def test_a_contract_at_the_same_address_of_another_chain_may_be_somebody_elses(house: House, chain: LocalChain, anvil: Path) -> None:
    async with local_chain.local_chain(anvil, house.http, lambda _: chain.client, ("--chain-id", "10")) as second:
        theirs = await chain.deploy("Wallet", address(ACCOUNTS[1]))
        # The same sender and the same count of transactions before it: the same address.
        mine = await second.deploy("Wallet", address(ACCOUNTS[2]))
        assert mine.address == theirs.address
        house.use(Node(name="local", chain_id=CHAIN_ID, url=chain.url), Node(name="second", chain_id=10, url=second.url))
        asked = await house.linking.challenge(ANN, mine.address.lower(), 10)
        text = asked.message or ""
        with pytest.raises(Invalid, match="not this wallet's"):
            await house.linking.prove_wallet(ANN, text, signed(text, PRIVATE_KEYS[2]))
        alone = await second.deploy("Wallet", address(ACCOUNTS[2]))
        asked = await house.linking.challenge(ANN, alone.address.lower(), 10)
        text = asked.message or ""
        await house.member("tg:1")
        assert await house.linking.prove_wallet(ANN, text, signed(text, PRIVATE_KEYS[2]))


async def test_contracts_without_the_function_and_addresses_without_contracts_prove_nothing(house: House, chain: LocalChain) -> None:
    house.use(Node(name="local", chain_id=CHAIN_ID, url=chain.url))
    coin = await chain.deploy("Coin")
    for place in (coin.address, ACCOUNTS[2]):
        asked = await house.linking.challenge(ANN, place.lower(), CHAIN_ID)
        text = asked.message or ""
        with pytest.raises(Invalid):
            await house.linking.prove_wallet(ANN, text, "0x" + "11" * 200)


async def test_where_no_chain_is_configured_a_contracts_signature_is_refused_with_the_reason(house: House) -> None:
    asked = await house.linking.challenge(ANN, ACCOUNTS[2], 1)
    text = asked.message or ""
    with pytest.raises(Invalid, match="none with id 1 is configured"):
        await house.linking.prove_wallet(ANN, text, signed(text))


async def test_a_node_that_does_not_answer_proves_nothing_and_the_operator_hears_of_it(house: House) -> None:
    house.use(Node(name="gone", chain_id=1, url="http://127.0.0.1:1/key"))
    asked = await house.linking.challenge(ANN, ACCOUNTS[2], 1)
    text = asked.message or ""
    with pytest.raises(OutsideFailure):
        await house.linking.prove_wallet(ANN, text, signed(text))
    assert house.observer.events == ["outside_failed"]


async def test_chains_that_are_not_allowed_and_addresses_that_are_none_are_refused_before_anything_is_signed(house: House) -> None:
    with pytest.raises(Invalid, match="chain"):
        await house.linking.challenge(ANN, None, 5)
    with pytest.raises(Invalid, match="address"):
        await house.linking.challenge(ANN, "0x12", None)


def login(clock: FakeClock, identifier: str = "77") -> dict[str, object]:
    fields = {"id": identifier, "first_name": "Ann", "auth_date": str(int(clock.now().timestamp()))}
    text = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    return {**fields, "hash": hmac.new(hashlib.sha256(TOKEN.encode()).digest(), text.encode(), hashlib.sha256).hexdigest()}


async def test_telegrams_login_links_and_is_taken_once(house: House) -> None:
    await house.member("dc:2")
    fields = login(house.clock)
    preview = await house.linking.prove_telegram(BEN, fields)
    assert preview.accounts == ("dc:2", "tg:77")
    with pytest.raises(Gone, match="used already"):
        await house.linking.prove_telegram(BEN, fields)
    await house.linking.confirm(BEN, preview.confirm)
    assert await house.proofs("tg:77") == {"dc:2": "", "tg:77": "telegram_login"}


async def test_discord_says_who_somebody_is_and_the_browsers_code_finishes_it_where_it_was_begun(house: House) -> None:
    await house.member("tg:1")
    start = await house.linking.begin_discord(ANN)
    back = dict(part.split("=") for part in house.discord.allow(start.url).split("&"))
    proved = await house.linking.finish_discord(back["state"], back["code"])
    assert (proved.account, proved.begun_at) == ("dc:987654321098765432", "tg:1")
    with pytest.raises(Missing):
        await house.linking.tell_code(Speaker(account="tg:666"), proved.code)
    preview = await house.linking.tell_code(ANN, proved.code)
    assert preview.accounts == ("tg:1", "dc:987654321098765432")
    await house.linking.confirm(ANN, preview.confirm)
    assert await house.proofs("tg:1") == {"tg:1": "", proved.account: "discord"}
    with pytest.raises(Gone):
        await house.linking.finish_discord(back["state"], back["code"])


async def test_states_nobody_gave_codes_of_others_and_late_returns_are_refused(house: House) -> None:
    with pytest.raises(Invalid):
        await house.linking.finish_discord("made-up", "code")
    with pytest.raises(Missing):
        await house.linking.finish_discord("0" * 26, "code")
    start = await house.linking.begin_discord(ANN)
    state = start.url.partition("state=")[2][:26]
    with pytest.raises(Gone, match="Discord does not take"):
        await house.linking.finish_discord(state, "made-up")
    one, other = await house.linking.begin_discord(ANN), await house.linking.begin_discord(BEN)
    code = house.discord.allow(other.url).partition("code=")[2].partition("&")[0]
    with pytest.raises(Gone):
        await house.linking.finish_discord(one.url.partition("state=")[2][:26], code)
    late = await house.linking.begin_discord(ANN)
    back = house.discord.allow(late.url)
    house.clock.advance(600)
    with pytest.raises(Gone, match="ten minutes"):
        await house.linking.finish_discord(back.partition("state=")[2], back.partition("code=")[2].partition("&")[0])


@pytest.mark.parametrize(
    ("user", "body", "status"),
    [
        ({"id": "abc"}, b"", 200),
        ({"id": "007"}, b"", 200),
        ({"id": 5}, b"", 200),
        ({"id": "5", "bot": True}, b"", 200),
        ({}, b"", 200),
        ({}, b"<html>", 200),
        ({}, b"[" * 50_000, 200),
        ({}, b" " * 70_000, 200),
        ({"id": "5"}, b"", 500),
        ({"id": "5"}, b"", 429),
        ({"id": "5"}, b"", 302),
    ],
)
async def test_an_answer_of_discord_that_makes_no_sense_links_nothing(
    house: House, user: dict[str, object], body: bytes, status: int
) -> None:
    start = await house.linking.begin_discord(ANN)
    back = dict(part.split("=") for part in house.discord.allow(start.url).split("&"))
    house.discord.user, house.discord.body, house.discord.status = user, body, status
    with pytest.raises(OutsideFailure):
        await house.linking.finish_discord(back["state"], back["code"])
    assert house.observer.events == ["outside_failed"]


@pytest.mark.parametrize("wrong", ["client_secret", "redirect_url"])
async def test_a_login_that_is_set_up_wrongly_is_the_operators_to_mend_and_no_members_fault(house: House, wrong: str) -> None:
    if wrong == "client_secret":
        house.use(discord_secret="mistyped")
    else:
        house.discord.redirect_url = "https://dao.example/elsewhere"
    for _ in range(3):
        start = await house.linking.begin_discord(ANN)
        back = dict(part.split("=") for part in house.discord.allow(start.url).split("&"))
        with pytest.raises(SwitchedOff, match="Tell an operator"):
            await house.linking.finish_discord(back["state"], back["code"])
    ((event, facts),) = house.observer.notes
    assert (event, facts["service"]) == ("outside_misconfigured", "discord")
    assert f"identities.discord.{wrong}" in str(facts["why"])
    assert "mistyped" not in str(facts)
    house.use()
    house.discord.redirect_url = ""
    start = await house.linking.begin_discord(ANN)
    back = dict(part.split("=") for part in house.discord.allow(start.url).split("&"))
    assert (await house.linking.finish_discord(back["state"], back["code"])).account


async def test_discord_is_not_waited_for(house: House) -> None:
    login = DiscordLogin(client_id=CLIENT_ID, redirect_url="https://dao.example/cb", api_url=house.discord.api_url, timeout_ms=50)
    house.use(discord=login)
    house.discord.silent = True
    start = await house.linking.begin_discord(ANN)
    back = dict(part.split("=") for part in house.discord.allow(start.url).split("&"))
    with pytest.raises(OutsideTimeout):
        await house.linking.finish_discord(back["state"], back["code"])


async def test_what_is_not_configured_says_which_key_is_missing(house: House) -> None:
    bare = Linked(Settings(), Outside(), house.database, house.clock, house.http, house.observer).linking
    with pytest.raises(SwitchedOff, match=r"identities\.siwe\.domain"):
        await bare.challenge(ANN, None, None)
    with pytest.raises(SwitchedOff, match=r"identities\.telegram\.bot_token_env"):
        await bare.prove_telegram(ANN, "")
    with pytest.raises(SwitchedOff, match=r"identities\.discord\.client_id"):
        await bare.begin_discord(ANN)


async def test_identities_of_no_person_are_not_linked(house: House) -> None:
    for account in ("dev:local", "cli:root", "system:token-sync"):
        with pytest.raises(Invalid, match="Name the account"):
            await house.linking.begin_code(Speaker(account=account))


async def test_whoever_administered_once_is_held_like_anybody_else(house: House) -> None:
    await house.member("tg:1", "admin")
    await house.member("dc:2", "admin", expires_at=house.clock.now() + timedelta(hours=1))
    house.clock.advance(7200)
    assert (await house.link(ANN, BEN)).held == ("dc:2",)
    assert await house.linked_by_code(ANN, BEN) == {"tg:1", "dc:2"}
    assert not await house.may("dc:2", "member.manage")
    assert await house.may("tg:1", "member.manage")


async def test_whoever_reads_the_figures_does_not_manage_members_by_linking(house: House) -> None:
    await RoleAdmin(house.database, house.clock).put("green", "reader", ["metrics.read", "chat.use"])
    await house.member("tg:1", "admin")
    await house.member("dc:2", "reader")
    await house.linked_by_code(BEN, ANN)
    assert not await house.may("dc:2", "member.manage")
    assert await house.may("tg:1", "member.manage")


async def test_two_who_would_both_gain_something_administrative_are_joined_by_an_operator_alone(house: House) -> None:
    await RoleAdmin(house.database, house.clock).put("green", "reader", ["metrics.read", "chat.use"])
    await RoleAdmin(house.database, house.clock).put("green", "writer", ["facts.write", "chat.use"])
    await house.member("tg:1", "reader")
    await house.member("dc:2", "writer")
    with pytest.raises(Conflict) as error:
        await house.link(ANN, BEN)
    assert error.value.facts["reason"] == "administers"


async def test_outsiders_do_not_learn_who_is_a_member_by_asking_to_unlink(house: House) -> None:
    await house.member("tg:1")
    outsider = house.linked.admin(Actor(id="tg:666"))
    for account in ("tg:1", "tg:404"):
        with pytest.raises(Denied):
            await outsider.unlink(account, "green")
        with pytest.raises(Denied):
            await outsider.transfer(account, "tg:1", "green")
    assert len(await house.told("member.manage")) == 4


async def test_whoever_is_suspended_does_not_set_an_account_free(house: House) -> None:
    await house.member("tg:1")
    await house.linked_by_code(ANN, BEN)
    await MemberAdmin(house.database, house.clock).update("green", "tg:1", suspended=True)
    with pytest.raises(Conflict) as error:
        await house.linked.persons.unlink("dc:2", ANN)
    assert error.value.facts["reason"] == "suspended"
    await house.linked.admin(OPERATOR).unlink("dc:2")
    assert await house.accounts("tg:1") == {"tg:1"}


async def test_an_operator_links_no_identity_that_is_nobodys(house: House) -> None:
    await house.member("tg:1")
    for account in ("dev:local", "cli:root", "system:stack"):
        with pytest.raises(Invalid):
            await house.linked.admin(OPERATOR).link("tg:1", account)
    assert await house.accounts("tg:1") == {"tg:1"}


async def test_what_was_begun_to_link_is_erased_with_the_person(house: House) -> None:
    await house.member("tg:1")
    await house.linked_by_code(ANN, BEN)
    await house.linking.begin_code(ANN)
    for told_by in (BEN, Speaker(account="tg:3")):
        with pytest.raises(Missing):
            await house.linking.tell_code(told_by, "0" * 26)
    await house.linking.begin_code(Speaker(account="tg:3"))
    await Erasure(house.database, house.clock).erase("dc:2")
    async with house.database.read() as connection:
        begun = [str(row) for table in (pending_link, wrong_code) for row in await connection.execute(select(table))]
    assert len(begun) == 2
    assert all("tg:3" in row for row in begun)


async def test_what_somebody_has_by_a_token_is_kept_until_the_chain_is_asked_again(house: House) -> None:
    await house.member("tg:1")
    await house.member(WALLET)
    now = house.clock.now()
    rule = {"dao_id": "green", "chain_id": 1, "token": ACCOUNTS[2], "standard": "erc20", "min_balance": "1", "role": "contributor"}
    async with house.database.write() as connection:
        people = {account: await person_of(connection, account) for account in ("tg:1", WALLET)}
        for rule_id, held_by in (("r1", (WALLET,)), ("r2", (WALLET, "tg:1"))):
            row = {**rule, "id": rule_id, "grace_s": 60, "made_by": "", "created_at": now}
            await connection.execute(insert(token_rule).values(**row))
            for account in held_by:
                lacking = None if account == "tg:1" else now
                row = {"rule_id": rule_id, "dao_id": "green", "person_id": people[account], "balance": "5", "since": now}
                await connection.execute(insert(token_holder).values(**row, lacking_since=lacking))
    await house.linked.admin(OPERATOR).link("tg:1", WALLET)
    async with house.database.read() as connection:
        kept = (await connection.execute(select(token_holder).order_by(token_holder.c.rule_id))).all()
    assert [(row.rule_id, row.person_id, row.lacking_since) for row in kept] == [("r1", people["tg:1"], now), ("r2", people["tg:1"], None)]
