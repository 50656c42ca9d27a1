"""The rbac service over real HTTP: decisions, administration, and what is on record afterwards."""

from datetime import UTC, datetime

import httpx
import pytest
from tests.conftest import DAO, Stack

from dagi.access.entitlements import DEFAULT_ROLES
from dagi.access.signed import Verifier

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)]
ADMIN, MEMBER, GUEST, STRANGER = "tg:admin001", "tg:12345", "tg:guest123", "tg:nobody"


async def test_a_member_is_resolved_with_roles_entitlements_reason_and_the_policys_version(rbac: httpx.AsyncClient) -> None:
    by_query = (await rbac.get("/rbac/resolve", params={"dao_id": DAO, "user_id": MEMBER})).json()
    by_body = (await rbac.post("/rbac/resolve", json={"dao_id": DAO, "user_id": MEMBER})).json()
    assert (by_query["roles"], by_query["reason"]) == (["member"], "role_grants")
    assert by_query["entitlements"] == sorted(DEFAULT_ROLES["member"])
    assert by_query["policy_version"] > 0
    changing = {"request_id", "decision_id"}
    assert {k: v for k, v in by_query.items() if k not in changing} == {k: v for k, v in by_body.items() if k not in changing}


async def test_a_dao_that_does_not_exist_and_one_you_are_no_member_of_look_the_same(rbac: httpx.AsyncClient) -> None:
    def told(answer: httpx.Response) -> dict[str, object]:
        hidden = {"request_id", "decision_id", "dao_id"}
        return {"status": answer.status_code} | {key: value for key, value in answer.json().items() if key not in hidden}

    for path, body in (("/rbac/resolve", {"user_id": STRANGER}), ("/rbac/check", {"subject": STRANGER, "action": "chat.use"})):
        field = "dao_id" if path.endswith("resolve") else "dao"
        there, nowhere = [await rbac.post(path, json={**body, field: dao}) for dao in (DAO, "no-such-dao")]
        assert told(there) == told(nowhere)
    for method, path in (
        ("GET", "/daos/{}"),
        ("GET", "/daos/{}/members"),
        ("GET", "/daos/{}/keys"),
        ("GET", "/daos/{}/audit"),
        ("DELETE", "/daos/{}"),
    ):
        there, nowhere = [await rbac.request(method, path.format(dao), params={"as": STRANGER}) for dao in (DAO, "no-such-dao")]
        assert told(there) == told(nowhere)
        assert there.status_code == 403
    there, nowhere = [
        await rbac.post(f"/daos/{dao}/members", params={"as": STRANGER}, json={"user_id": "tg:9", "roles": ["guest"]})
        for dao in (DAO, "no-such-dao")
    ]
    assert told(there) == told(nowhere)


@pytest.mark.parametrize(
    ("action", "resource", "allow", "reason", "needs"),
    [
        ("chat.use", None, True, "role_grants", []),
        ("devtools.write", None, False, "role_lacks_entitlement", ["admin", "contributor"]),
        ("fs_write", None, False, "role_lacks_entitlement", ["admin", "contributor"]),
        ("workflow.run", "microdao_onboarding", True, "role_grants", []),
        ("workflow.run", "code_review", False, "role_lacks_entitlement", ["admin", "contributor"]),
        ("make.coffee", None, False, "unknown_action", []),
        ("workflow.run:*", None, False, "unknown_action", []),
    ],
)
async def test_a_check_says_yes_or_no_why_and_which_roles_would_do(rbac, action, resource, allow, reason, needs) -> None:
    answer = (await rbac.post("/rbac/check", json={"subject": MEMBER, "dao": DAO, "action": action, "resource": resource})).json()
    assert (answer["allow"], answer["reason"], answer["needs_one_of"]) == (allow, reason, needs)
    assert answer["decision_id"]


async def test_a_key_asks_for_itself_and_for_others_only_where_it_may(stack: Stack) -> None:
    guest, member, speaker = await stack.key("guest"), await stack.key("member"), await stack.key("guest", act_as=True)
    async with stack.rbac(guest) as http:
        own = (await http.get("/rbac/resolve")).json()
        assert (own["roles"], own["dao_id"]) == (["guest"], DAO)
        assert (await http.get("/rbac/resolve", params={"user_id": MEMBER})).status_code == 403
        assert (await http.get("/rbac/resolve", params={"dao_id": "other-dao"})).json()["reason"] == "dao_mismatch"
        assert (await http.get("/rbac/resolve", params={"as": MEMBER})).status_code == 400
    for key in (member, speaker):
        async with stack.rbac(key) as http:
            assert (await http.get("/rbac/resolve", params={"user_id": MEMBER})).json()["roles"] == ["member"]
    async with httpx.AsyncClient(base_url=stack.rbac_url) as http:
        assert (await http.get("/rbac/resolve", headers={"authorization": "Bearer dagi_x_y"})).status_code == 401


async def test_an_admin_takes_in_changes_and_removes_a_member_who_is_heard_at_once(stack: Stack) -> None:
    key = await stack.key("admin", act_as=True)
    async with stack.rbac(key) as http:
        made = await http.post(
            f"/daos/{DAO}/members", params={"as": ADMIN}, json={"user_id": "tg:77", "roles": ["member"], "name": "Ірина"}
        )
        assert made.status_code == 200, made.text
        assert made.json()["member"]["sources"] == ["manual"]
        await stack.front.directory.refresh()
        assert (await stack.route(user="tg:77", metadata={"plain": True})).status_code == 200
        changed = await http.patch(
            f"/daos/{DAO}/members/tg:77", params={"as": ADMIN}, json={"roles": ["guest"], "expires_at": "2999-01-01T00:00:00Z"}
        )
        assert changed.json()["member"]["roles"] == ["guest"]
        suspended = await http.patch(f"/daos/{DAO}/members/tg:77", params={"as": ADMIN}, json={"suspended": True})
        assert suspended.json()["member"]["suspended"] is True
        await stack.front.directory.refresh()
        assert (await stack.route(user="tg:77")).json()["reason"] == "suspended"
        assert (await http.delete(f"/daos/{DAO}/members/tg:77", params={"as": ADMIN})).status_code == 200
        assert (await http.get(f"/daos/{DAO}/members/tg:77", params={"as": ADMIN})).status_code == 404
        records = (await http.get(f"/daos/{DAO}/audit", params={"user": "tg:77"})).json()["records"]
        assert [one["action"] for one in records if one["outcome"] == "done"] == [
            "member.removed",
            "member.updated",
            "member.updated",
            "member.added",
        ]
        assert {one["actor"] for one in records if one["outcome"] == "done"} == {ADMIN}


async def test_a_key_lends_nobody_more_than_it_has_itself(stack: Stack) -> None:
    async with stack.rbac(await stack.key("member", act_as=True)) as http:
        refused = await http.post(f"/daos/{DAO}/members", params={"as": ADMIN}, json={"user_id": "tg:9", "roles": ["guest"]})
    assert (refused.status_code, refused.json()["required_entitlement"]) == (403, "member.manage")


async def test_the_last_admin_stays_and_nobody_grants_what_they_do_not_hold(stack: Stack) -> None:
    admin = await stack.key("admin")
    async with stack.rbac(admin) as http:
        for answer in (
            await http.delete(f"/daos/{DAO}/members/{ADMIN}"),
            await http.patch(f"/daos/{DAO}/members/{ADMIN}", json={"roles": ["member"]}),
            await http.patch(f"/daos/{DAO}/members/{ADMIN}", json={"suspended": True}),
            await http.patch(f"/daos/{DAO}/members/{ADMIN}", json={"expires_at": "2999-01-01T00:00:00Z"}),
        ):
            assert (answer.status_code, answer.json()["reason"]) == (409, "last_admin")
        keeper = {"entitlements": sorted(DEFAULT_ROLES["member"] | {"member.manage", "key.manage", "config.update"})}
        assert (await http.put(f"/daos/{DAO}/roles/keeper", json=keeper)).status_code == 200
    async with stack.rbac(await stack.key("keeper")) as http:
        tries = (
            await http.post(f"/daos/{DAO}/members", json={"user_id": "tg:9", "roles": ["contributor"]}),
            await http.delete(f"/daos/{DAO}/members/tg:contributor001"),
            await http.post(f"/daos/{DAO}/keys", json={"role": "admin"}),
            await http.post(f"/daos/{DAO}/keys", json={"role": "keeper", "act_as": True}),
            await http.put(f"/daos/{DAO}/roles/keeper", json={"entitlements": ["audit.read"]}),
            await http.put(f"/daos/{DAO}/roles/guest", json={"entitlements": ["chat.use", "dialog.read"]}),
            await http.post(f"/daos/{DAO}/invitations", json={"role": "admin", "expires_at": "2999-01-01T00:00:00Z"}),
        )
        assert [(answer.status_code, answer.json()["reason"]) for answer in tries] == [(403, "not_held")] * len(tries)
        assert (await http.post(f"/daos/{DAO}/members", json={"user_id": "tg:9", "roles": ["member"]})).status_code == 200


async def test_an_invitation_makes_so_many_members_and_then_is_gone(stack: Stack) -> None:
    key = await stack.key("admin", act_as=True)
    async with stack.rbac(key) as http:
        wanted = {"role": "member", "uses": 1, "expires_at": "2999-01-01T00:00:00Z", "label": "for the meeting"}
        made = (await http.post(f"/daos/{DAO}/invitations", json=wanted)).json()
        listed = (await http.get(f"/daos/{DAO}/invitations")).json()["invitations"]
        assert [one["label"] for one in listed] == ["for the meeting"]
        assert made["code"] not in str(listed)
        joined = await http.post("/invitations/accept", params={"as": STRANGER}, json={"code": made["code"]})
        assert (joined.status_code, joined.json()["member"]["roles"], joined.json()["member"]["sources"]) == (
            200,
            ["member"],
            ["invitation"],
        )
        again = await http.post("/invitations/accept", params={"as": "tg:other"}, json={"code": made["code"]})
        assert (again.status_code, again.json()["code"]) == (410, "GONE")
        wrong = await http.post("/invitations/accept", params={"as": "tg:other"}, json={"code": made["code"][:-1] + "x"})
        assert wrong.status_code == 404
        second = (await http.post(f"/daos/{DAO}/invitations", json=wanted)).json()
        assert (await http.delete(f"/daos/{DAO}/invitations/{second['id']}")).status_code == 200
        withdrawn = await http.post("/invitations/accept", params={"as": "tg:other"}, json={"code": second["code"]})
        assert withdrawn.status_code == 410


async def test_keys_are_made_limited_rotated_and_revoked_within_their_own_dao(stack: Stack) -> None:
    async with stack.rbac(await stack.key("admin")) as http, stack.rbac() as local:
        made = (await http.post(f"/daos/{DAO}/keys", json={"role": "member", "label": "site", "rpm": 5, "money_per_month": 2.5})).json()
        shown = (await http.get(f"/daos/{DAO}/keys/{made['id']}")).json()["key"]
        assert (shown["rpm"], shown["money_per_month"], shown["label"]) == (5, 2.5, "site")
        assert made["key"] not in str(shown)
        limited = (await http.patch(f"/daos/{DAO}/keys/{made['id']}", json={"rpm": -1})).json()["key"]
        assert (limited["rpm"], limited["money_per_month"]) == (-1, 2.5)
        rotated = (await http.post(f"/daos/{DAO}/keys/{made['id']}/rotate", json={"overlap_s": 0})).json()
        await stack.front.directory.refresh()
        async with stack.rbac(made["key"]) as old, stack.rbac(rotated["key"]) as new:
            assert [(await one.get("/rbac/resolve")).status_code for one in (old, new)] == [401, 200]
        assert (await local.post("/daos", json={"id": "other-dao", "name": "Other"})).status_code == 200
        foreign = (await local.post("/daos/other-dao/keys", json={"role": "admin"})).json()
        for answer in (await http.get(f"/daos/{DAO}/keys/{foreign['id']}"), await http.delete(f"/daos/{DAO}/keys/{foreign['id']}")):
            assert answer.status_code == 404
        assert (await http.delete(f"/daos/other-dao/keys/{foreign['id']}")).status_code == 403
        assert (await http.delete(f"/daos/{DAO}/keys/{made['id']}")).status_code == 200
        assert (await http.get(f"/daos/{DAO}/keys/{made['id']}")).json()["key"]["revoked_at"]


async def test_a_key_that_would_be_over_at_once_is_not_made(stack: Stack) -> None:
    async with stack.rbac(await stack.key("admin")) as http:
        made = (await http.post(f"/daos/{DAO}/keys", json={"role": "member"})).json()
        for path, body in (("", {"role": "member"}), (f"/{made['id']}/rotate", {})):
            answer = await http.post(f"/daos/{DAO}/keys{path}", json={**body, "expires_at": "2020-01-01T00:00:00+02:00"})
            assert (answer.status_code, answer.json()["field"]) == (400, "expires_at")
            assert "2019-12-31 22:00 UTC is over" in answer.json()["message"]
        assert {one["expires_at"] for one in (await http.get(f"/daos/{DAO}/keys")).json()["keys"]} == {None}


async def test_founding_suspending_and_removing_a_dao_is_the_operators(stack: Stack, rbac: httpx.AsyncClient) -> None:
    async with stack.rbac(await stack.key("admin")) as http:
        for answer in (
            await http.post("/daos", json={"id": "mine", "name": "Mine"}),
            await http.patch(f"/daos/{DAO}", json={"suspended": True}),
            await http.delete(f"/daos/{DAO}"),
        ):
            assert (answer.status_code, answer.json()["reason"]) == (403, "operators_only")
        assert (await http.patch(f"/daos/{DAO}", json={"name": "Зелена їжа", "open": True})).json()["dao"]["name"] == "Зелена їжа"
    assert (await rbac.post("/daos", json={"id": "mine", "name": "Mine"})).status_code == 200
    assert (await rbac.post("/daos", json={"id": "mine", "name": "Mine"})).status_code == 409
    assert [one["id"] for one in (await rbac.get("/daos")).json()["daos"]] == [DAO, "mine"]
    assert (await rbac.delete("/daos/mine")).status_code == 200
    assert (await rbac.get("/daos/mine")).status_code == 404


async def test_every_denial_of_every_service_is_on_record(stack: Stack, rbac: httpx.AsyncClient) -> None:
    member = await stack.key("member")
    assert (await stack.route(user=STRANGER)).status_code == 403
    assert (await stack.http.get("/rules", headers={"authorization": f"Bearer {member}"})).status_code == 403
    for _ in range(3):
        await rbac.post("/rbac/check", json={"subject": GUEST, "dao": DAO, "action": "proposal.vote"})
    async with stack.rbac(member) as http:
        assert (await http.post(f"/daos/{DAO}/members", json={"user_id": "tg:9", "roles": ["guest"]})).status_code == 403
    wanted = {
        (STRANGER, "chat.use"),
        (GUEST, "proposal.vote"),
        (f"key:{member.split('_')[1]}", "explain.read"),
        (f"key:{member.split('_')[1]}", "member.manage"),
    }
    found: set[tuple[str, str]] = set()
    for _ in range(400):
        records = (await rbac.get(f"/daos/{DAO}/audit", params={"outcome": "denied"})).json()["records"]
        found = {(one["actor"], one["action"]) for one in records}
        if wanted <= found:
            break
    assert wanted <= found
    verified = (await rbac.get(f"/daos/{DAO}/audit/verify")).json()
    assert (verified["whole"], verified["findings"]) == (True, [])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/rbac/resolve", {"dao_id": 7}, 400),
        ("POST", "/rbac/resolve", {"dao_id": "Ünicode"}, 400),
        ("POST", "/rbac/resolve", {"dao_id": DAO, "user_id": "tg:" + "1" * 10_000}, 400),
        ("POST", "/rbac/resolve", {"user": "tg:1"}, 400),
        ("POST", "/rbac/check", {"dao": DAO}, 400),
        ("POST", "/rbac/check", {"dao": DAO, "action": "x" * 10_000}, 400),
        ("POST", f"/daos/{DAO}/members", {"user_id": "tg:\u202e1", "roles": ["member"]}, 400),
        ("POST", f"/daos/{DAO}/members", {"user_id": "key:abc", "roles": ["member"]}, 400),
        ("POST", f"/daos/{DAO}/members", {"user_id": "tg:5", "roles": []}, 400),
        ("POST", f"/daos/{DAO}/members", {"user_id": "tg:5", "roles": ["emperor"]}, 400),
        ("POST", f"/daos/{DAO}/members", {"user_id": "tg:5", "roles": ["member"], "name": "\x1b[31m"}, 400),
        ("POST", f"/daos/{DAO}/members", {"user_id": "tg:5", "roles": ["member"], "expires_at": "tomorrow"}, 400),
        ("POST", f"/daos/{DAO}/members", {"user_id": "tg:5", "roles": ["member"], "expires_at": "2026-01-01T00:00:00"}, 400),
        ("POST", f"/daos/{DAO}/members", {"user_id": "tg:12345", "roles": ["member"]}, 409),
        ("PATCH", f"/daos/{DAO}", {}, 400),
        ("PUT", f"/daos/{DAO}/roles/Boss", {"entitlements": ["chat.use"]}, 400),
        ("PUT", f"/daos/{DAO}/roles/boss", {"entitlements": ["chat.everything"]}, 400),
        ("PUT", f"/daos/{DAO}/roles/boss", {"entitlements": []}, 400),
        ("DELETE", f"/daos/{DAO}/roles/member", None, 409),
        ("DELETE", f"/daos/{DAO}/roles/emperor", None, 404),
        ("POST", f"/daos/{DAO}/keys", {"role": "member", "rpm": 0}, 400),
        ("POST", f"/daos/{DAO}/keys", {"role": "member", "rpm": 1.5}, 400),
        ("POST", f"/daos/{DAO}/invitations", {"role": "member", "expires_at": "2020-01-01T00:00:00Z"}, 400),
        ("POST", f"/daos/{DAO}/invitations", {"role": "member", "uses": 0, "expires_at": "2999-01-01T00:00:00Z"}, 400),
        ("POST", "/invitations/accept", {"code": "inv_a_b"}, 404),
        ("GET", f"/daos/{DAO}/audit?limit=0", None, 400),
        ("GET", f"/daos/{DAO}/audit?outcome=maybe", None, 400),
        ("GET", f"/daos/{DAO}/nothing", None, 404),
        ("PUT", f"/daos/{DAO}", {}, 405),
        ("GET", f"/daos/{DAO}/members/{'x' * 10_000}", None, 400),
        ("DELETE", f"/daos/{DAO}/members/tg:%00", None, 400),
        ("PATCH", f"/daos/{DAO}/members/eth:0x{'A' * 40}", {"suspended": True}, 400),
        ("PUT", f"/daos/{DAO}/roles/boss", {"entitlements": ["workflow.run:\x1b[2J"]}, 400),
        ("PUT", f"/daos/{DAO}/roles/boss", {"entitlements": ["workflow.run:\x00"]}, 400),
    ],
)
async def test_odd_input_is_refused_with_a_clear_error(rbac: httpx.AsyncClient, method, path, body, status) -> None:
    answer = await rbac.request(method, path, json=body, params={"dao_id": DAO, "as": "tg:5"} if path == "/invitations/accept" else None)
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == "error"
    assert len(answer.json()["message"]) > 10


async def test_a_service_gets_a_signed_grant_for_whom_it_speaks_and_checks_it_by_the_public_key(stack: Stack) -> None:
    speaker, member = await stack.key("contributor", act_as=True), await stack.key("member")
    asked = {"subject": "tg:contributor001", "action": "fs_write", "audience": "devtools"}
    async with stack.rbac(speaker) as http:
        signed = (await http.post("/rbac/check", json=asked)).json()["signed"]
        denied = (await http.post("/rbac/check", json={**asked, "subject": MEMBER})).json()
        public = bytes.fromhex((await http.get("/rbac/public-key")).json()["public_key"])
    assert (denied["allow"], denied["signed"]) == (False, None)
    grant = Verifier(public, "devtools").read(signed, datetime.now(UTC)).grant
    assert (grant.user_id, grant.dao_id, grant.allows("devtools.write")) == ("tg:contributor001", DAO, True)
    async with stack.rbac(member) as http:
        refused = await http.post("/rbac/check", json=asked)
    assert (refused.status_code, refused.json()["field"]) == (400, "audience")
