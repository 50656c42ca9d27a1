"""`/sessions`: everybody's own conversations, and nobody else's."""

import pytest

from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
ME = {"user_id": "tg:12345"}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def said(stack, prompt: str, session: str, answer: str = "yes", user: str = "tg:12345") -> None:
    stack.upstream.script(Answer(text=answer))
    assert (await stack.route(prompt, user=user, metadata={"session_id": session})).status_code == 200


async def written(stack) -> None:
    await eventually(lambda: stack.front.router.ports.dialogs.waiting == 0, 10)


async def test_a_person_sees_the_own_sessions_the_latest_first(stack) -> None:
    await said(stack, "first\nquestion", "a")
    await said(stack, "x" * 200, "b")
    await said(stack, "again", "a")
    await stack.route("outside of any session")
    await written(stack)
    answer = await stack.http.get("/sessions", params=ME)
    found = answer.json()["sessions"]
    assert answer.status_code == 200
    assert [(one["session_id"], one["title"], one["exchanges"]) for one in found] == [("a", "first question", 2), ("b", "x" * 79 + "…", 1)]
    assert found[0]["began"] < found[0]["latest"]
    assert len((await stack.http.get("/sessions", params={**ME, "limit": "1"})).json()["sessions"]) == 1


async def test_a_session_is_read_back_in_order_with_how_each_question_ended(stack) -> None:
    await said(stack, "one", "tg:12345/odd?id%20#x", "1")
    stack.upstream.script(Answer(status=400), Answer(status=400))
    await stack.route("two", metadata={"session_id": "tg:12345/odd?id%20#x"})
    await written(stack)
    answer = await stack.http.get("/sessions/tg:12345%2Fodd%3Fid%2520%23x", params=ME)
    told = [(one["prompt"], one["outcome"]) for one in answer.json()["exchanges"]]
    assert told == [("one", "ok"), ("two", "ok")]
    assert answer.json()["exchanges"][0]["answer"] == "1"
    assert answer.json()["exchanges"][1]["provider"] == "dao_facts"
    assert [
        one["prompt"]
        for one in (await stack.http.get("/sessions/tg:12345%2Fodd%3Fid%2520%23x", params={**ME, "limit": "1"})).json()["exchanges"]
    ] == ["two"]


async def test_nobody_reads_anothers_session_by_its_id(stack) -> None:
    await said(stack, "my secret", "s")
    await written(stack)
    for user in ("tg:admin001", "tg:guest123"):
        assert (await stack.http.get("/sessions", params={"user_id": user})).json()["sessions"] == []
        assert (await stack.http.get("/sessions/s", params={"user_id": user})).status_code == 404
    plain, acting = bearer(await stack.key("member")), bearer(await stack.key("member", act_as=True))
    refused = await stack.http.get("/sessions/s", params=ME, headers=plain)
    assert (refused.status_code, refused.json()["reason"]) == (403, "may_not_act_as")
    assert (await stack.http.get("/sessions/s", headers=plain)).status_code == 404
    assert (await stack.http.get("/sessions/s", params=ME, headers=acting)).status_code == 200
    assert (await stack.http.get("/sessions/s", params={**ME, "dao_id": "other"}, headers=acting)).status_code == 403


async def test_a_stranger_and_an_unknown_key_are_told_nothing(stack) -> None:
    stranger = await stack.http.get("/sessions", params={"user_id": "tg:999"})
    assert (stranger.status_code, stranger.json()["code"]) == (403, "RBAC_PERMISSION_DENIED")
    nowhere = await stack.http.get("/sessions", params={"dao_id": "nowhere", "user_id": "tg:999"})
    assert {**nowhere.json(), "request_id": "", "decision_id": ""} == {**stranger.json(), "request_id": "", "decision_id": ""}
    assert (await stack.http.get("/sessions", headers=bearer("dagi_aa_bb"))).status_code == 401
    assert (await stack.http.get("/sessions", params=ME, headers={"origin": "http://page"})).status_code == 401


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=201", "limit"),
        ("limit=%D9%A1", "limit"),
        ("who=1", "who"),
        ("user_id=tg:1&user_id=tg:2", "user_id"),
        ("user_id=bob", "user_id"),
        ("user_id=%FF", "query"),
        ("&".join(["a=1"] * 50), "query"),
    ],
)
async def test_a_query_that_cannot_be_meant_is_an_error_that_names_the_parameter(stack, query: str, field: str) -> None:
    answer = await stack.http.get(f"/sessions?{query}")
    assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_what_follows_the_slash_is_a_session_id_or_an_error(stack) -> None:
    assert (await stack.http.get("/sessions/", params=ME)).status_code == 404
    assert (await stack.http.get("/sessions/a%20b", params=ME)).status_code == 400
    assert (await stack.http.get("/sessions/" + "a" * 201, params=ME)).status_code == 400
    assert (await stack.http.get("/sessions/none", params=ME)).json()["code"] == "NOT_FOUND"
    wrong = await stack.http.post("/sessions/none", json={})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")


async def test_a_summary_the_stack_asked_for_is_no_session_of_the_person(start) -> None:
    async with start(dialogs={"history_tokens": 0, "durability": "before_reply"}) as stack:
        await said(stack, "one", "s")
        await said(stack, "two", "s")
        await eventually(lambda: len(stack.upstream.heard) == 3, 10)
        await written(stack)
        found = (await stack.http.get("/sessions", params=ME)).json()["sessions"]
    assert [(one["session_id"], one["exchanges"]) for one in found] == [("s", 2)]
