"""What the rbac service puts on record about denials: who asked, with which key, and for what."""

import asyncio

import httpx
import pytest
from tests.conftest import DAO, Stack
from tests.story.test_rbac import ADMIN, GUEST, MEMBER

from dagi.observe.clock import SystemClock
from dagi.stores.daos import Daos

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)]


async def on_record(stack: Stack, wanted: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Denials as actor, key and action, once all that are wanted are among them, or nothing more is to be expected."""
    found: set[tuple[str, str, str]] = set()
    for _ in range(200):
        async with stack.rbac() as http:
            records = (await http.get(f"/daos/{DAO}/audit", params={"outcome": "denied"})).json()["records"]
        found = {(one["actor"], one["key_id"], one["action"]) for one in records}
        if wanted <= found:
            break
    return found


async def test_nobody_speaks_as_a_command_or_as_the_stack_itself(stack: Stack) -> None:
    key = await stack.key("admin", act_as=True)
    for account in ("cli:root", "system:token-sync", "dev:local"):
        answers: list[httpx.Response] = [await stack.route(user=account)] if account != "dev:local" else []
        async with stack.rbac() as http:
            answers += [await http.get("/daos", params={"as": account})] if account != "dev:local" else []
        async with stack.rbac(key) as http:
            answers.append(await http.get(f"/daos/{DAO}/members", params={"as": account}))
        assert {(one.status_code, one.json().get("reason")) for one in answers} == {(403, "may_not_act_as")}
    own = key.split("_")[1]
    found = await on_record(stack, {(f"key:{own}", own, "speak_for_others")})
    assert not [actor for actor, _, _ in found if actor.startswith(("cli:", "system:"))]


async def test_a_denial_names_the_key_it_came_with(stack: Stack) -> None:
    speaker, asking = await stack.key("member", act_as=True), await stack.key("member")
    async with stack.rbac(speaker) as http:
        assert (await http.get(f"/daos/{DAO}/keys", params={"as": MEMBER})).status_code == 403
    async with stack.rbac(asking) as http:
        assert not (await http.post("/rbac/check", json={"subject": GUEST, "action": "proposal.vote"})).json()["allow"]
    wanted = {(MEMBER, speaker.split("_")[1], "key.manage"), (GUEST, asking.split("_")[1], "proposal.vote")}
    assert wanted <= await on_record(stack, wanted)


async def test_it_is_told_and_on_record_that_the_key_lacks_what_the_admin_has(stack: Stack) -> None:
    weak = await stack.key("contributor", act_as=True)
    async with stack.rbac(weak) as http:
        refused = await http.get(f"/daos/{DAO}/keys", params={"as": ADMIN})
        own = await http.get(f"/daos/{DAO}/keys", params={"as": MEMBER})
    assert (refused.json()["reason"], own.json()["reason"]) == ("key_lacks_entitlement", "role_lacks_entitlement")
    assert "you have, but the key" in refused.json()["message"]
    await on_record(stack, {(one, weak.split("_")[1], "key.manage") for one in (ADMIN, MEMBER)})
    async with stack.rbac() as http:
        records = (await http.get(f"/daos/{DAO}/audit", params={"outcome": "denied", "action": "key.manage"})).json()["records"]
    found = {one["actor"]: one["details"]["reason"] for one in records}
    assert found == {ADMIN: "key_lacks_entitlement", MEMBER: "role_lacks_entitlement"}


async def test_what_is_the_operators_is_denied_on_record(stack: Stack) -> None:
    key = await stack.key("admin")
    async with stack.rbac(key) as http:
        for answer in (
            await http.post("/daos", json={"id": DAO, "name": "Mine"}),
            await http.patch(f"/daos/{DAO}", json={"suspended": True}),
            await http.delete(f"/daos/{DAO}"),
        ):
            assert (answer.status_code, answer.json()["reason"]) == (403, "operators_only")
    own = key.split("_")[1]
    wanted = {(f"key:{own}", own, "operators_only")}
    assert wanted <= await on_record(stack, wanted)


async def test_a_member_of_a_suspended_dao_is_denied_what_it_asked_for(stack: Stack) -> None:
    database = stack.installation.database()
    await Daos(database, SystemClock()).update(DAO, suspended=True)
    await database.close()
    wanted = {(MEMBER, "", "chat.use")}
    async with stack.rbac() as http:
        async with asyncio.timeout(10):
            while (answer := await http.post("/rbac/check", json={"dao": DAO, "subject": MEMBER, "action": "chat.use"})).json()["allow"]:
                await asyncio.sleep(0.02)
    assert answer.json()["reason"] == "dao_suspended"
    assert wanted <= await on_record(stack, wanted)


async def test_on_whose_behalf_a_dao_is_founded_counts(stack: Stack) -> None:
    async with stack.rbac() as http:
        refused = await http.post("/daos", params={"as": MEMBER}, json={"id": "mine", "name": "Mine"})
        assert (refused.status_code, refused.json()["reason"]) == (403, "operators_only")
        assert (await http.post("/daos", params={"at": "x"}, json={"id": "mine", "name": "Mine"})).status_code == 400
        assert [one["id"] for one in (await http.get("/daos")).json()["daos"]] == [DAO]
