"""A member's question through the whole stack: grant, rule, target, reply, record."""

import asyncio
import json

import pytest

from dagi.testing.upstream import Answer

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)]
DAO = "greenfood-dao"


async def test_a_members_question_is_answered_by_the_model_and_the_reply_says_how(stack) -> None:
    stack.upstream.script(Answer(text="A food cooperative."))
    answer = await stack.route("What is this DAO?")
    body = answer.json()
    assert answer.status_code == 200
    assert {key: body[key] for key in ("status", "mode", "rule", "provider", "model", "response", "cached")} == {
        "status": "success",
        "mode": "chat",
        "rule": "chat",
        "provider": "model",
        "model": "scripted",
        "response": "A food cooperative.",
        "cached": False,
    }
    assert body["request_id"] == answer.headers["x-request-id"]
    assert [(attempt["provider"], attempt["outcome"]) for attempt in body["attempts"]] == [("model", "ok")]
    assert set(body["timings_ms"]) == {"access", "queue", "provider", "total"}
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"] > 0


async def test_the_model_is_told_the_daos_facts_and_the_senders_roles_as_data_beside_the_question(stack) -> None:
    await stack.route("Хто керує міською теплицею?")
    system, *rest = stack.upstream.heard[0].body["messages"]
    assert system["role"] == "system"
    assert "Тарас Мельник" in system["content"]
    assert "projects.uk.md" in system["content"]
    assert "member" in system["content"]
    assert rest == [{"role": "user", "content": "Хто керує міською теплицею?"}]


async def test_a_rule_without_context_sends_the_question_alone(stack) -> None:
    await stack.route("Hello?", metadata={"plain": True})
    assert stack.upstream.heard[0].body["messages"] == [{"role": "user", "content": "Hello?"}]


async def test_the_next_question_of_a_session_carries_what_was_said_and_another_session_does_not(stack) -> None:
    stack.upstream.script(Answer(text="I am the assistant."), Answer(text="You asked who I am."), Answer(text="Nothing yet."))
    session = {"session_id": "tg:12345:greenfood-dao"}
    await stack.route("Who are you?", metadata=session)
    await stack.route("What did I ask?", metadata=session)
    await stack.route("What did I ask?", metadata={"session_id": "another"})
    said = [[turn["content"] for turn in heard.body["messages"][1:]] for heard in stack.upstream.heard]
    assert said == [["Who are you?"], ["Who are you?", "I am the assistant.", "What did I ask?"], ["What did I ask?"]]


async def test_nobody_reads_anothers_session_by_its_id(stack) -> None:
    await stack.route("My secret is blue.", metadata={"session_id": "shared"})
    await stack.route("What is the secret?", user="tg:admin001", metadata={"session_id": "shared"})
    assert "blue" not in json.dumps(stack.upstream.heard[1].body)


async def test_the_callers_own_conversation_is_passed_on_in_order(stack) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    answer = await stack.http.post("/route", json={"messages": turns, "metadata": {"user_id": "tg:12345", "plain": True}})
    assert answer.status_code == 200
    assert stack.upstream.heard[0].body["messages"] == turns


async def test_a_stream_gives_the_pieces_as_they_come_and_ends_with_the_account(stack) -> None:
    stack.upstream.script(Answer(text="one two three"))
    events = await stack.events("Count.")
    assert "".join(event["text"] for event in events if event["type"] == "delta") == "one two three"
    assert [event["type"] for event in events] == ["delta", "delta", "delta", "usage", "end"]
    assert events[-1]["provider"] == "model"
    assert events[-1]["status"] == "success"


async def test_the_first_piece_of_a_stream_arrives_before_the_model_has_finished(stack) -> None:
    stack.upstream.script(Answer(text="one two", hang_after=1))
    body = {"prompt": "Count.", "stream": True, "metadata": {"user_id": "tg:12345"}}
    async with stack.http.stream("POST", "/route", json=body) as answer:
        chunks = answer.aiter_bytes()
        assert b'"one"' in await asyncio.wait_for(anext(chunks), 5)
        stack.upstream.release()
        assert b'"type":"end"' in b"".join([chunk async for chunk in chunks])


async def test_every_provider_that_fails_is_replaced_and_the_daos_own_facts_answer_last(stack) -> None:
    stack.upstream.script(*[Answer(status=500)] * 4)
    body = (await stack.route("Що таке GreenFood DAO?")).json()
    assert body["provider"] == "dao_facts"
    assert "продовольчий кооператив" in body["response"]
    assert body["data"]["facts"][0]["source"] == "about.uk.md"
    outcomes = [(attempt["provider"], attempt["outcome"]) for attempt in body["attempts"]]
    assert outcomes == [("model", "PROVIDER_ERROR")] * 2 + [("native", "PROVIDER_ERROR")] * 2 + [("dao_facts", "ok")]


@pytest.mark.parametrize(
    ("trouble", "how"),
    [
        (Answer(status=500), "HTTP 500"),
        (Answer(status=429, headers={"retry-after": "0"}), "HTTP 429"),
        (Answer(reset_after=0), "broke the connection off"),
        (Answer(body=b"<html><body>Bad gateway</body></html>", headers={"content-type": "text/html"}), "a web page"),
        (Answer(body=b"{not json", headers={"content-type": "application/json"}), "not valid JSON"),
        (Answer(body=b'{"choices": []}', headers={"content-type": "application/json"}), "no choices"),
        (
            Answer(body=b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', headers={"content-type": "text/event-stream"}),
            "not valid JSON",
        ),
        (Answer(status=404, code="model_not_found"), "HTTP 404"),
        (Answer(status=401), "HTTP 401"),
    ],
    ids=["500", "429", "reset", "html", "invalid json", "no choices", "invalid utf-8", "unknown model", "our key refused"],
)
async def test_whatever_a_provider_does_before_its_first_word_the_fallback_answers(stack, trouble: Answer, how: str) -> None:
    stack.upstream.script(trouble, trouble, Answer(text="from the second"))
    answer = await stack.route("Hello?")
    body = answer.json()
    assert answer.status_code == 200
    assert body["attempts"][0]["outcome"] == "PROVIDER_ERROR"
    assert body["attempts"][-1]["outcome"] == "ok"
    (line,) = [line for line in stack.log() if line["event"] == "exchange"]
    assert how in line["details"][0]


async def test_when_nobody_is_left_the_error_names_the_provider_and_how_it_failed(start) -> None:
    def alone(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [{"name": "only", "use_provider": "model"}]

    async with start(alone) as stack:
        stack.upstream.script(Answer(status=503, error="overloaded"), Answer(status=503, error="overloaded"))
        answer = await stack.route("Hello?")
    assert answer.status_code == 502
    body = answer.json()
    assert (body["status"], body["code"], body["provider"], body["upstream_status"]) == ("error", "PROVIDER_ERROR", "model", 503)
    assert body["message"] == "model answered with HTTP 503."
    assert answer.headers["x-should-retry"] == "false"


async def test_a_provider_that_hangs_is_given_up_within_its_time_and_the_next_one_answers(start) -> None:
    def impatient(settings: dict[str, object]) -> None:
        rules = settings["routing_rules"]
        rules[-1]["timeout_ms"] = 150
        settings["llm_providers"][0]["config"]["retry"] = {"attempts": 1}

    async with start(impatient) as stack:
        stack.upstream.script(Answer(hang_after=0), Answer(text="quick"))
        body = (await stack.route("Hello?")).json()
    assert body["response"] == "quick"
    assert [(attempt["provider"], attempt["outcome"]) for attempt in body["attempts"]] == [("model", "PROVIDER_TIMEOUT"), ("native", "ok")]


async def test_the_deadline_ends_the_whole_request_whoever_is_left(start) -> None:
    def impatient(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [
            {"name": "only", "use_provider": "model", "fallback_provider": "native", "deadline_ms": 200, "context": False}
        ]

    async with start(impatient) as stack:
        stack.upstream.script(*[Answer(hang_after=0)] * 4)
        answer = await stack.route("Hello?")
    assert answer.status_code == 504
    assert answer.json()["code"] == "PROVIDER_TIMEOUT"
    assert answer.json()["provider"] == "model"


async def test_an_answer_that_breaks_off_ends_its_stream_with_an_error_and_not_as_finished(stack) -> None:
    stack.upstream.script(Answer(text="one two three", reset_after=2))
    events = await stack.events("Count.")
    assert [event["type"] for event in events] == ["delta", "delta", "attempt", "error"]
    assert events[-1]["code"] == "PROVIDER_ERROR"
    assert events[-1]["provider"] == "model"


async def test_a_whole_answer_that_breaks_off_is_replaced_by_another_one(stack) -> None:
    stack.upstream.script(*[Answer(text="one two three", reset_after=2)] * 2, Answer(text="four"))
    body = (await stack.route("Count.")).json()
    assert (body["provider"], body["response"]) == ("native", "four")
    outcomes = [(attempt["provider"], attempt["outcome"]) for attempt in body["attempts"]]
    assert outcomes == [("model", "PROVIDER_ERROR")] * 2 + [("native", "ok")]


async def test_a_whole_answer_that_breaks_off_where_nobody_else_is_left_is_an_error_and_not_half_an_answer(stack) -> None:
    stack.upstream.script(*[Answer(text="one two three", reset_after=2)] * 2)
    answer = await stack.route("Count.", metadata={"plain": True})
    assert answer.status_code == 502
    assert "response" not in answer.json()


async def test_a_conversation_longer_than_the_model_can_read_is_the_callers_mistake(stack) -> None:
    stack.upstream.script(Answer(status=400, code="context_length_exceeded"))
    answer = await stack.route("Read this.", metadata={"plain": True})
    body = answer.json()
    assert (answer.status_code, body["code"], body["field"], body["provider"]) == (400, "CONTEXT_TOO_LONG", "prompt", "model")


async def test_a_provider_that_is_not_there_is_named_to_the_caller_and_its_address_only_to_the_operator(start) -> None:
    def away(settings: dict[str, object]) -> None:
        settings["llm_providers"][0]["config"]["base_url"] = "http://127.0.0.1:1/v1"

    async with start(away) as stack:
        answer = await stack.route("Hello?", metadata={"plain": True})
        (line,) = [line for line in stack.log() if line["event"] == "exchange"]
    assert answer.json()["message"] == "model could not be reached: it refused the connection."
    assert "127.0.0.1" not in answer.text
    assert line["details"] == ["model could not be reached: 127.0.0.1:1 refused the connection."]


@pytest.mark.inside
@pytest.mark.parametrize("claim", [-1, 2**70])
async def test_counts_that_cannot_be_cost_neither_the_answer_nor_its_record(stack, claim: int) -> None:
    usage = {"prompt_tokens": claim, "completion_tokens": 2, "total_tokens": claim}
    said = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": usage}
    stack.upstream.script(Answer(body=json.dumps(said).encode()))
    counts = {"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0}
    assert (await stack.route("Hello?")).json()["usage"] == counts
    await stack.front.router.ports.dialogs.saved()
    assert stack.rows("SELECT outcome FROM exchange") == [("ok",)]


async def test_ten_at_once_on_a_provider_for_three_never_show_it_more_than_three_and_all_succeed(stack) -> None:
    stack.upstream.script(*[Answer(text="done", latency_s=0.02)] * 10)
    answers = await asyncio.gather(*(stack.route("Hello?", metadata={"plain": True}) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert stack.upstream.most_active <= 3


async def test_a_full_queue_answers_503_with_retry_after(start) -> None:
    def tiny(settings: dict[str, object]) -> None:
        settings["llm_providers"][0]["config"] |= {"max_concurrent": 1, "max_queue": 0}

    async with start(tiny) as stack:
        stack.upstream.script(Answer(text="slow", hang_after=0))
        first = asyncio.create_task(stack.route("Hello?", metadata={"plain": True}))
        await stack.upstream.until(lambda: stack.upstream.active == 1)
        refused = await stack.route("Hello?", metadata={"plain": True})
        stack.upstream.release()
        assert (await first).status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (503, "QUEUE_FULL")
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_caller_who_hangs_up_stops_the_model_and_frees_its_place(start) -> None:
    def tiny(settings: dict[str, object]) -> None:
        settings["llm_providers"][0]["config"] |= {"max_concurrent": 1, "max_queue": 0}

    async with start(tiny) as stack:
        for stream in (False, True):
            stack.upstream.script(Answer(text="one two", hang_after=1 if stream else 0))
            gone = stack.upstream.disconnects
            body = {"prompt": "Hello?", "stream": stream, "metadata": {"user_id": "tg:12345", "plain": True}}
            asking = asyncio.create_task(stack.http.post("/route", json=body))
            await stack.upstream.until(lambda: stack.upstream.active == 1)
            asking.cancel()
            await stack.upstream.until(lambda seen=gone: stack.upstream.disconnects == seen + 1)
        stack.upstream.script(Answer(text="free"))
        assert (await stack.route("Hello?", metadata={"plain": True})).json()["response"] == "free"
    outcomes = [row[0] for row in stack.rows("SELECT outcome FROM exchange ORDER BY id")]
    assert outcomes == ["cancelled", "cancelled", "ok"]


async def test_a_wish_for_a_provider_counts_where_it_is_selectable_and_is_an_error_elsewhere(stack) -> None:
    wished = await stack.route("Hello?", metadata={"provider": "native"})
    assert (wished.json()["rule"], wished.json()["provider"]) == ("wish", "native")
    refused = await stack.route("Hello?", metadata={"provider": "model"})
    assert (refused.status_code, refused.json()["code"], refused.json()["allowed"]) == (404, "UNKNOWN_MODEL", ["native"])


async def test_a_mode_nobody_serves_is_no_route(stack) -> None:
    answer = await stack.route("", user="tg:admin001", mode="crew", metadata={"workflow": "code_review"})
    assert (answer.status_code, answer.json()["code"]) == (404, "NO_ROUTE")


async def test_strangers_and_unknown_daos_get_the_same_answer_and_no_target_is_asked(stack) -> None:
    stranger = await stack.route("Hello?", user="tg:999")
    nowhere = await stack.route("Hello?", metadata={"dao_id": "no-such-dao"})
    assert stranger.status_code == nowhere.status_code == 403
    told = [
        {key: value for key, value in answer.json().items() if key not in {"request_id", "decision_id"}} for answer in (stranger, nowhere)
    ]
    assert told[0] == told[1]
    assert told[0]["code"] == "RBAC_PERMISSION_DENIED"
    assert stack.upstream.heard == []


async def test_rules_about_one_dao_do_not_tell_strangers_that_it_exists(start) -> None:
    def guarded(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [{"name": "only", "conditions": {"dao_id": DAO}, "use_provider": "model", "requires": "devtools.write"}]

    async with start(guarded) as stack:
        stranger = await stack.route("Hello?", user="tg:999")
        nowhere = await stack.route("Hello?", metadata={"dao_id": "no-such-dao"})
    told = [{key: value for key, value in answer.json().items() if not key.endswith("_id")} for answer in (stranger, nowhere)]
    assert told[0] == told[1]
    assert told[0]["required_entitlement"] == "chat.use"


async def test_a_denial_names_role_entitlement_and_reason(start) -> None:
    def guarded(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [{"name": "only", "use_provider": "model", "requires": "devtools.write"}]

    async with start(guarded) as stack:
        denied = (await stack.route("Hello?")).json()
        allowed = await stack.route("Hello?", user="tg:contributor001")
    assert (denied["user_role"], denied["required_entitlement"], denied["reason"]) == ("member", "devtools.write", "role_lacks_entitlement")
    assert denied["decision_id"]
    assert allowed.status_code == 200


@pytest.mark.inside
async def test_every_exchange_is_on_disk_with_how_it_ended_and_strangers_leave_nothing(stack) -> None:
    stack.upstream.script(Answer(text="yes"))
    await stack.route("Is it recorded?", metadata={"session_id": "s1"})
    await stack.route("Is it recorded?", user="tg:999")
    await stack.front.router.ports.dialogs.saved()
    columns = "dao_id, user_id, session_id, source, mode, rule, provider, model, outcome, prompt, answer"
    assert stack.rows(f"SELECT {columns} FROM exchange") == [  # noqa: S608 - our own columns
        (DAO, "tg:12345", "s1", "api", "chat", "chat", "model", "scripted", "ok", "Is it recorded?", "yes")
    ]


async def test_with_before_reply_the_exchange_is_on_disk_when_the_answer_arrives(start) -> None:
    async with start(dialogs={"durability": "before_reply", "flush_ms": 1}) as stack:
        await stack.route("one")
        assert stack.rows("SELECT prompt FROM exchange") == [("one",)]
        await stack.events("two")
        assert stack.rows("SELECT prompt FROM exchange") == [("one",), ("two",)]


async def test_with_before_reply_failures_are_on_disk_too_when_they_are_told(start) -> None:
    def alone(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [{"name": "only", "use_provider": "model"}]
        settings["dialogs"] = {"durability": "before_reply", "flush_ms": 1}

    async with start(alone) as stack:
        stack.upstream.script(*[Answer(status=500)] * 4)
        assert (await stack.route("one")).status_code == 502
        answer = await stack.http.post("/route", json={"prompt": "two", "stream": True, "metadata": {"user_id": "tg:12345"}})
        assert answer.status_code == 502
        assert stack.rows("SELECT prompt, outcome FROM exchange") == [("one", "PROVIDER_ERROR"), ("two", "PROVIDER_ERROR")]


@pytest.mark.inside
async def test_with_before_reply_a_disk_that_takes_nothing_is_told_and_a_refusal_stays_a_refusal(start, monkeypatch) -> None:
    import dagi.stores.exchanges

    monkeypatch.setattr(dagi.stores.exchanges, "SAVE_S", 0.2)
    async with start(dialogs={"durability": "before_reply", "flush_ms": 1}) as stack, stack.unwritable():
        whole = await stack.route("one")
        streamed = await stack.events("two")
        refused = await stack.route("three", metadata={"provider": "model"})
    assert (whole.status_code, whole.json()["code"]) == (503, "QUEUE_FULL")
    assert (streamed[-1]["type"], streamed[-1]["code"]) == ("error", "QUEUE_FULL")
    assert (refused.status_code, refused.json()["code"]) == (404, "UNKNOWN_MODEL")


async def test_what_a_provider_repeats_of_the_question_does_not_reach_the_log(stack) -> None:
    for quoted in ("'{}'", "{}", "«{}»", "prompt contained: {}"):
        stack.upstream.script(Answer(status=400, error=quoted.format("my secret diary")))
        await stack.route("Read my secret diary aloud.", metadata={"plain": True})
    assert "diary" not in json.dumps(stack.log())
    stack.upstream.script(Answer(status=400, error="temperature is too high"))
    await stack.route("Read it.", metadata={"plain": True})
    assert "temperature is too high" in json.dumps(stack.log())


@pytest.mark.inside
async def test_a_conversation_goes_on_while_the_database_cannot_be_written(stack) -> None:
    await stack.front.router.ports.dialogs.saved()
    async with stack.unwritable():
        for question in ("one", "two", "three"):
            answer = await asyncio.wait_for(stack.route(question, metadata={"session_id": "s"}), 5)
            assert answer.status_code == 200
    said = [turn["content"] for turn in stack.upstream.heard[-1].body["messages"][1:]]
    assert said == ["one", "echo: one", "two", "echo: two", "three"]


async def test_the_log_tells_each_request_in_one_line_without_its_text(stack) -> None:
    stack.upstream.script(Answer(text="Sesame."))
    answer = await stack.route("What is the password of the vault?")
    (line,) = [line for line in stack.log() if line["event"] == "exchange"]
    assert {
        key: line[key] for key in ("level", "service", "request_id", "user_id", "dao_id", "mode", "rule", "provider", "attempts", "status")
    } == {
        "level": "info",
        "service": "router",
        "request_id": answer.headers["x-request-id"],
        "user_id": "tg:12345",
        "dao_id": DAO,
        "mode": "chat",
        "rule": "chat",
        "provider": "model",
        "attempts": ["model:ok"],
        "status": "ok",
    }
    assert line["duration_ms"] > 0
    text = json.dumps(stack.log())
    assert "vault" not in text
    assert "Sesame" not in text


async def test_an_explanation_says_everything_and_asks_no_target(stack) -> None:
    body = {"prompt": "Hello?", "metadata": {"dao_id": DAO, "user_id": "tg:12345"}}
    told = (await stack.http.post("/route/explain", json=body)).json()
    assert told["allowed"] is True
    assert (told["rule"], told["requires"], told["targets"]) == ("chat", "chat.use", ["model", "native", "dao_facts"])
    assert told["limits"]["deadline_ms"] == 10000
    limits = {target["name"]: target for target in told["limits"]["targets"]}
    assert {key: limits["model"][key] for key in ("state", "timeout_ms", "attempts", "max_concurrent")} == {
        "state": "closed",
        "timeout_ms": 5000,
        "attempts": 2,
        "max_concurrent": 3,
    }
    assert told["context"] == {"facts": True, "roles": True, "history": True}
    assert told["grant"]["roles"] == ["member"]
    assert [(rule["rule"], rule["outcome"], rule["condition"]) for rule in told["rules"]] == [
        ("wish", "failed", "metadata_has: provider"),
        ("plain", "failed", "metadata.plain: True"),
        ("chat", "chosen", "mode: chat"),
    ]
    assert stack.upstream.heard == []


async def test_an_explanation_of_a_refusal_says_what_refuses(stack) -> None:
    body = {"prompt": "Hello?", "metadata": {"dao_id": DAO, "user_id": "tg:999"}}
    told = (await stack.http.post("/route/explain", json=body)).json()
    assert told["allowed"] is False
    assert told["refusal"]["code"] == "RBAC_PERMISSION_DENIED"
    assert told["refusal"]["reason"] == "not_a_member"


@pytest.mark.parametrize("model", ["scripted\x00", "half \ud83d"])
async def test_a_model_whose_name_no_database_takes_is_recorded_and_paid_for(stack, model: str) -> None:
    stack.upstream.script(Answer(text="Here.", model=model))
    answer = await stack.route("Hello?", metadata={"session_id": "odd"})
    assert answer.status_code == 200
    async with asyncio.timeout(10):
        while not stack.rows("SELECT model FROM exchange"):
            assert "exchange_unstorable" not in [line.get("event") for line in stack.log()]
            await asyncio.sleep(0.02)
    assert stack.rows("SELECT count(*) FROM spend") != [(0,)]
