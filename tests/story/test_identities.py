"""Linking accounts over real HTTP: who may begin, what is shown, what is refused, and that it counts in the running stack."""

import asyncio
import hashlib
import hmac
import time
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.conftest import DAO, Stack, StackFactory

from dagi.stores.daos import Daos
from dagi.stores.keys import Keys
from dagi.testing.clock import FakeClock
from dagi.testing.discord import CLIENT_ID, CLIENT_SECRET, Discord
from dagi.testing.local_chain import ACCOUNTS, PRIVATE_KEYS, signed

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)]
ANN, BEN, ADMIN = "tg:contributor001", "dc:987", "tg:admin001"


class Member:
    """Somebody at an account, as the bot gateway speaks for it."""

    def __init__(self, http: httpx.AsyncClient, account: str) -> None:
        self._http = http
        self._as = {"as": account}

    async def get(self, path: str) -> httpx.Response:
        return await self._http.get(path, params=self._as)

    async def post(self, path: str, **body: object) -> httpx.Response:
        return await self._http.post(path, params=self._as, json=body)

    async def delete(self, path: str) -> httpx.Response:
        return await self._http.delete(path, params=self._as)


class Gateway:
    """A caller with a key that may speak for others."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    def at(self, account: str) -> Member:
        return Member(self.http, account)

    async def link(self, begun: str, told: str) -> httpx.Response:
        code = (await self.at(begun).post("/identities/codes", private=True)).json()["code"]
        preview = (await self.at(told).post("/identities/link", code=code)).json()["preview"]
        return await self.at(told).post("/identities/link", confirm=preview["confirm"])

    async def may(self, account: str, action: str) -> bool:
        body = {"subject": account, "dao": DAO, "action": action}
        return bool((await self.http.post("/rbac/check", json=body)).json()["allow"])

    async def until_may(self, account: str, action: str, *, allowed: bool = True) -> None:
        async with asyncio.timeout(5):
            while await self.may(account, action) != allowed:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def speaking(stack: Stack, role: str = "admin") -> AsyncGenerator[Gateway]:
    headers = {"authorization": f"Bearer {await stack.key(role, act_as=True)}"}
    async with httpx.AsyncClient(base_url=stack.rbac_url, headers=headers, timeout=30) as http:
        yield Gateway(http)


@pytest.fixture
async def gateway(stack: Stack) -> AsyncGenerator[Gateway]:
    async with speaking(stack) as found:
        yield found


async def test_a_member_links_discord_with_a_code_and_may_there_what_it_may_here(gateway: Gateway) -> None:
    begun = (await gateway.at(ANN).post("/identities/codes", private=True, language="uk")).json()
    assert begun["code"] in begun["message"]
    assert "ніде його не публікуйте" in begun["message"]
    told = (await gateway.at(BEN).post("/identities/link", code=begun["code"].lower())).json()
    assert (told["linked"], told["preview"]["accounts"]) == (False, [ANN, BEN])
    assert ANN in told["message"]
    assert "Only confirm this if both are yours" in told["message"]
    done = await gateway.at(BEN).post("/identities/link", confirm=told["preview"]["confirm"])
    assert done.json()["linked"] is True
    assert {one["id"] for one in done.json()["identities"]} == {ANN, BEN}
    await gateway.until_may(BEN, "git.commit")
    listed = (await gateway.at(BEN).get("/identities")).json()
    assert (listed["dao_id"], listed["roles"]) == (DAO, ["contributor"])


async def test_a_code_is_given_in_private_alone(gateway: Gateway) -> None:
    for body in ({}, {"private": False}):
        answer = await gateway.at(ANN).post("/identities/codes", **body)
        assert (answer.status_code, answer.json()["field"]) == (400, "private")
        assert "never do this in a group" in answer.json()["message"]


async def test_a_linked_account_administers_nothing_for_a_day(gateway: Gateway) -> None:
    assert (await gateway.link(ADMIN, BEN)).status_code == 200
    await gateway.until_may(BEN, "git.commit")
    assert not await gateway.may(BEN, "member.manage")
    assert await gateway.may(ADMIN, "member.manage")
    denied = await gateway.http.post(f"/daos/{DAO}/members", params={"as": BEN}, json={"user_id": "tg:5", "roles": ["member"]})
    assert (denied.status_code, denied.json()["reason"]) == (403, "recently_linked")


async def test_codes_that_were_used_are_gone_and_those_nobody_gave_are_not_found(gateway: Gateway) -> None:
    code = (await gateway.at(ANN).post("/identities/codes", private=True)).json()["code"]
    assert (await gateway.at(BEN).post("/identities/link", code=code)).status_code == 200
    again = await gateway.at("dc:5").post("/identities/link", code=code)
    assert (again.status_code, again.json()["code"]) == (410, "GONE")
    assert (await gateway.at(BEN).post("/identities/link", code="0" * 26)).status_code == 404
    assert (await gateway.at(BEN).post("/identities/link", confirm=code)).status_code == 404


async def test_too_many_wrong_codes_are_told_to_wait(gateway: Gateway) -> None:
    for _ in range(5):
        assert (await gateway.at(BEN).post("/identities/link", code="0" * 26)).status_code == 404
    limited = await gateway.at(BEN).post("/identities/link", code="0" * 26)
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 60
    assert (await gateway.at("dc:6").post("/identities/link", code="0" * 26)).status_code == 404


async def test_duplicate_links_are_a_conflict(gateway: Gateway) -> None:
    await gateway.link(ANN, BEN)
    code = (await gateway.at(ANN).post("/identities/codes", private=True)).json()["code"]
    answer = await gateway.at(BEN).post("/identities/link", code=code)
    assert (answer.status_code, answer.json()["reason"]) == (409, "linked")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("codes", {"private": "yes"}),
        ("codes", {"private": True, "language": "fr"}),
        ("codes", {"private": True, "extra": 1}),
        ("link", {}),
        ("link", {"code": "A" * 26, "confirm": "A" * 26}),
        ("link", {"code": 5}),
        ("link", {"code": "A" * 10_000}),
        ("link", {"code": "ключ"}),
        ("link", {"code": ["A" * 26]}),
        ("siwe/challenge", {"address": "0x" + "a" * 10_000}),
        ("siwe/challenge", {"chain_id": "1"}),
        ("siwe", {"message": "", "signature": "0x"}),
        ("siwe", {"message": "x" * 10_000, "signature": "0x" + "00" * 65}),
        ("siwe", {"message": "x"}),
        ("siwe", {"message": "a\u202eb wants you to sign in", "signature": "0x00"}),
        ("telegram", {}),
        ("telegram", {"init_data": "hash=0", "login": {}}),
        ("telegram", {"login": {"id": {}}}),
        ("telegram", {"init_data": "x" * 30_000}),
    ],
)
async def test_whatever_else_is_sent_is_refused_with_its_place(gateway: Gateway, path: str, body: dict[str, object]) -> None:
    answer = await gateway.at(ANN).post(f"/identities/{path}", **body)
    assert answer.status_code in {400, 503}, answer.text
    if answer.status_code == 503:
        assert answer.json()["code"] == "NOT_CONFIGURED"
    else:
        assert answer.json()["field"]


@pytest.mark.parametrize("account", ["eth:0x" + "A" * 40, "tg:" + "1" * 10_000, "tg:1\u202e", "tg", "eth:alice"])
async def test_accounts_that_are_none_are_refused(gateway: Gateway, account: str) -> None:
    answer = await gateway.at(account).post("/identities/codes", private=True)
    assert answer.status_code == 400


async def test_a_key_without_the_right_to_speak_for_others_speaks_for_itself(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {await stack.key('admin')}"}
    async with httpx.AsyncClient(base_url=stack.rbac_url, headers=headers, timeout=30) as http:
        assert (await http.post("/identities/codes", params={"as": ANN}, json={"private": True})).status_code == 403
        own = (await http.post("/identities/codes", json={"private": True})).json()
        assert own["user_id"].startswith("key:")


async def test_nobody_without_a_key_begins_anything_beyond_this_machine(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.rbac_url, headers={"x-forwarded-for": "9.9.9.9"}) as http:
        for path in ("codes", "link", "siwe", "siwe/challenge", "telegram", "discord"):
            assert (await http.post(f"/identities/{path}", json={})).status_code == 401


async def test_a_key_of_one_dao_learns_nothing_of_who_is_no_member_of_it(stack: Stack) -> None:
    database = stack.installation.database()
    await Daos(database, FakeClock()).create("blue", "Blue")
    made = await Keys(database, FakeClock()).create("blue", "admin", act_as=True)
    await database.close()
    async with speaking(stack) as gateway:
        refused = await gateway.at(ANN).post("/identities/codes", private=True)
        assert (refused.status_code, refused.json()["reason"]) == (403, "key_not_trusted")
        async with asyncio.timeout(5):
            while not (records := (await gateway.http.get(f"/daos/{DAO}/audit", params={"outcome": "denied"})).json()["records"]):
                await asyncio.sleep(0.02)
        assert records[0]["details"]["reason"] == "key_not_trusted"
        seen = await gateway.at(ANN).get("/identities")
        assert [one["id"] for one in seen.json()["identities"]] == [ANN]
        headers = {"authorization": f"Bearer {made.key}"}
        async with httpx.AsyncClient(base_url=stack.rbac_url, headers=headers) as other:
            async with asyncio.timeout(5):
                while (answer := await other.get("/identities", params={"as": ADMIN})).status_code == 401:
                    await asyncio.sleep(0.02)
            assert answer.json()["roles"] == []
            assert (await other.get(f"/daos/{DAO}/identities/{ANN}")).status_code == 403


async def test_a_wallet_is_linked_by_its_signature(start: StackFactory) -> None:
    async with start(identities={"siwe": {"domain": "dao.example"}}) as stack, speaking(stack) as gateway:
        asked = (await gateway.at(ANN).post("/identities/siwe/challenge", address=ACCOUNTS[1])).json()
        signature = signed(asked["text"], PRIVATE_KEYS[1])
        preview = (await gateway.at(ANN).post("/identities/siwe", message=asked["text"], signature=signature)).json()["preview"]
        wallet = f"eth:{ACCOUNTS[1].lower()}"
        assert preview["accounts"] == [ANN, wallet]
        assert (await gateway.at(ANN).post("/identities/link", confirm=preview["confirm"])).status_code == 200
        await gateway.until_may(wallet, "git.commit")
        replayed = await gateway.at(ANN).post("/identities/siwe", message=asked["text"], signature=signature)
        assert replayed.status_code == 410


async def test_an_account_of_telegram_is_linked_by_its_login_button_once(start: StackFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "123456:AAH-test-token"
    monkeypatch.setenv("BOT_TOKEN", token)
    fields = {"id": "777000", "first_name": "Олена", "auth_date": str(int(time.time()))}
    said = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    login = {**fields, "hash": hmac.new(hashlib.sha256(token.encode()).digest(), said.encode(), hashlib.sha256).hexdigest()}
    async with start(identities={"telegram": {"bot_token_env": "BOT_TOKEN"}}) as stack, speaking(stack) as gateway:
        preview = (await gateway.at(ANN).post("/identities/telegram", login=login)).json()["preview"]
        assert preview["accounts"] == [ANN, "tg:777000"]
        assert (await gateway.at(ANN).post("/identities/link", confirm=preview["confirm"])).status_code == 200
        await gateway.until_may("tg:777000", "git.commit")
        assert (await gateway.at(ANN).post("/identities/telegram", login=login)).status_code == 410


async def test_discord_sends_the_browser_back_to_a_plain_page_whose_code_counts_where_it_was_begun(
    start: StackFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCORD_SECRET", CLIENT_SECRET)
    async with Discord() as discord:
        login = {
            "client_id": CLIENT_ID,
            "client_secret_env": "DISCORD_SECRET",
            "redirect_url": "https://dao.example/identities/discord/callback",
            "api_url": discord.api_url,
        }
        async with start(identities={"discord": login}) as stack, speaking(stack) as gateway:
            begun = (await gateway.at(ANN).post("/identities/discord", private=True)).json()
            assert begun["url"] in begun["message"]
            back = discord.allow(begun["url"])
            async with httpx.AsyncClient(base_url=stack.rbac_url, headers={"accept-language": "uk-UA,en;q=0.5"}) as browser:
                page = await browser.get(f"/identities/discord/callback?{back}&extra=1")
                replayed = await browser.get(f"/identities/discord/callback?{back}")
                odd = await browser.get("/identities/discord/callback?state=<script>&error=access_denied")
                discord.redirect_url = "https://dao.example/moved"
                begun_wrongly = (await gateway.at(ANN).post("/identities/discord", private=True)).json()
                wrong = await browser.get(f"/identities/discord/callback?{discord.allow(begun_wrongly['url'])}")
            assert (wrong.status_code, "Повідомте оператора" in wrong.text) == (503, True)
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            policy = page.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'")
            # The browser takes the page's one style, by what it says, and no other.
            style = page.text.partition("<style>")[2].partition("</style>")[0]
            assert f"style-src 'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}';" in policy
            assert "color-scheme:light dark" in style
            assert "Discord підтвердив" in page.text
            assert ANN in page.text
            assert "<script" not in page.text + odd.text
            assert (replayed.status_code, odd.status_code) == (410, 400)
            code = page.text.partition("<code>")[2].partition("</code>")[0]
            assert (await gateway.at("tg:666").post("/identities/link", code=code)).status_code == 404
            preview = (await gateway.at(ANN).post("/identities/link", code=code)).json()["preview"]
            await gateway.at(ANN).post("/identities/link", confirm=preview["confirm"])
            await gateway.until_may("dc:987654321098765432", "git.commit")


async def test_members_unlink_their_own_accounts_and_admins_those_of_others(gateway: Gateway) -> None:
    await gateway.link(ANN, BEN)
    await gateway.link(ANN, "dc:55")
    gone = await gateway.at(ANN).delete(f"/identities/{BEN}")
    assert {one["id"] for one in gone.json()["identities"]} == {ANN, "dc:55"}
    await gateway.until_may(BEN, "chat.use", allowed=False)
    assert (await gateway.at("tg:12345").delete("/identities/dc:55")).status_code == 404
    managed = f"/daos/{DAO}/identities/dc:55"
    assert (await gateway.at("tg:12345").get(managed)).status_code == 403
    assert {one["id"] for one in (await gateway.at(ADMIN).get(managed)).json()["identities"]} == {ANN, "dc:55"}
    moved = await gateway.at(ADMIN).post(f"{managed}/transfer", to="tg:12345")
    assert {one["id"] for one in moved.json()["identities"]} == {"tg:12345", "dc:55"}
    assert (await gateway.at(ADMIN).delete(managed)).status_code == 200
    last = await gateway.at(ANN).delete(f"/identities/{ANN}")
    assert (last.status_code, last.json()["reason"]) == (409, "only_account")
    records = (await gateway.http.get(f"/daos/{DAO}/audit")).json()["records"]
    assert [one["action"] for one in records if one["action"].startswith("identity.")] == [
        "identity.unlinked",
        "identity.transferred",
        "identity.unlinked",
        "identity.linked",
        "identity.linked",
    ]


async def test_a_newcomer_links_accounts_before_it_belongs_anywhere_and_has_rights_nowhere_by_that(gateway: Gateway) -> None:
    assert (await gateway.link("tg:newcomer", "dc:newcomer")).json()["linked"] is True
    assert (await gateway.at("dc:newcomer").get("/identities")).json()["roles"] == []
    assert not await gateway.may("dc:newcomer", "chat.use")
    made = await gateway.http.post(f"/daos/{DAO}/members", json={"user_id": "tg:newcomer", "roles": ["member"]})
    assert sorted(made.json()["member"]["identities"]) == ["dc:newcomer", "tg:newcomer"]
    await gateway.until_may("dc:newcomer", "chat.use")


async def test_a_key_of_a_member_does_not_make_an_admin_by_linking(stack: Stack) -> None:
    async with speaking(stack, "member") as gateway:
        refused = await gateway.at(ADMIN).post("/identities/codes", private=True)
        assert (refused.status_code, refused.json()["reason"]) == (403, "key_not_trusted")
        assert (await gateway.at(ADMIN).delete(f"/identities/{ADMIN}")).status_code == 403
        assert (await gateway.link(ANN, BEN)).status_code == 200
