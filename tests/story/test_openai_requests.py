"""What OpenAI's clients may ask for, of whom, on whose behalf, and what becomes of it in the rest of the stack."""

import base64
import json
import sqlite3
from contextlib import closing

import httpx
import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
ME = {"user_id": "tg:12345"}
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
SEEN = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


async def chat(stack, text: str = "Hello?", *, key: str = "", **body: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    asked = {"model": "dagi-stack", "messages": [{"role": "user", "content": text}], **body}
    if not key and "metadata" not in body:
        asked["metadata"] = {**ME, "plain": True}
    return await stack.http.post("/v1/chat/completions", json=asked, headers=headers)


def error(answer: httpx.Response) -> tuple[int, str, str | None]:
    told = answer.json()["error"]
    return answer.status_code, told["code"], told["param"]


def recorded(stack) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(str(stack.database))) as connection:
        return connection.execute("select user_id, source, session_id, prompt, answer, outcome from exchange order by id").fetchall()


async def test_every_kind_of_message_reaches_the_model_as_it_was_sent(stack) -> None:
    messages = [
        {"role": "developer", "content": "Be brief.", "name": "dev", "x_unknown": [1]},
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}], "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "done"}]},
        {"role": "assistant", "content": "", "function_call": {"name": "g", "arguments": "{}"}, "refusal": None},
        {"role": "function", "name": "g", "content": "ok"},
    ]
    answer = await chat(stack, messages=messages)
    assert answer.status_code == 200
    assert stack.upstream.heard[0].body["messages"] == messages


async def test_fields_nobody_here_knows_and_nulls_go_to_the_model(stack) -> None:
    further = {"enable_thinking": False, "chat_template_kwargs": {"a": None}, "temperature": None, "stop": None, "user": "label", "seed": 0}
    assert (await chat(stack, **further, stream=None, n=None, tools=None)).status_code == 200
    sent = stack.upstream.heard[0].body
    assert {name: sent[name] for name in further} == further
    assert {"metadata", "dagi_user_id"}.isdisjoint(sent)
    assert sent["stream"] is False


async def test_options_of_a_stream_are_passed_on_and_the_counts_only_if_they_were_asked_for(stack) -> None:
    answer = await chat(stack, stream=True, stream_options={"include_usage": False, "include_obfuscation": False})
    assert '"usage":{' not in answer.text
    assert stack.upstream.heard[0].body["stream_options"] == {"include_usage": True, "include_obfuscation": False}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"dagi_user": "tg:1"}, "dagi_user"),
        ({"dagi_user_id": "nobody"}, "metadata.user_id"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]}]},
            "messages[0].content[0].image_url",
        ),
    ],
)
async def test_what_is_read_here_has_to_be_of_its_form_and_the_answer_names_it(stack, body: dict[str, object], field: str) -> None:
    assert error(await chat(stack, **body)) == (400, "invalid_value", field)


async def test_the_model_is_a_providers_name_wherever_the_rules_would_send_it(start) -> None:
    rules = [{"name": "only", "priority": 1, "conditions": {"mode": "chat"}, "use_provider": "model", "fallback_provider": "dao_facts"}]
    async with start(routing_rules=rules) as stack:
        assert (await chat(stack, model="native")).json()["model"] == "scripted"
        assert [heard.path for heard in stack.upstream.heard] == ["/api/chat"]
        stack.upstream.script(Answer(status=500), Answer(status=500))
        assert error(await chat(stack, model="native"))[0] == 502
        assert error(await chat(stack, model="model")) == (404, "model_not_found", "model")
        assert error(await chat(stack, model="native", metadata={"user_id": "tg:999"})) == (403, "permission_denied", None)


async def test_metadata_and_our_own_fields_say_who_asks_and_rules_see_the_rest(stack) -> None:
    await chat(stack, metadata={**ME, "source": "dify", "session_id": "s-1", "plain": True})
    await chat(stack, metadata={"plain": True}, dagi_user_id="tg:admin001", dagi_source="cli", dagi_dao_id="greenfood-dao")
    await stack.front.router.ports.dialogs.saved()
    assert [row[:3] for row in recorded(stack)] == [("tg:12345", "dify", "s-1"), ("tg:admin001", "cli", "")]
    assert [len(heard.body["messages"]) for heard in stack.upstream.heard] == [1, 1]


async def test_user_names_a_person_only_for_keys_that_may_act_for_others(stack) -> None:
    acting, plain = await stack.key("member", act_as=True), await stack.key("member")
    await chat(stack, key=acting, user="tg:12345")
    await chat(stack, key=acting, user="somebody")
    await chat(stack, key=plain, user="tg:12345")
    assert (await chat(stack, key=plain, metadata={"user_id": "tg:12345"})).status_code == 403
    assert (await chat(stack, key=acting, user="tg:999")).status_code == 403
    await stack.front.router.ports.dialogs.saved()
    assert [str(row[0]).partition(":")[0] for row in recorded(stack)] == ["tg", "key", "key"]
    assert [heard.body.get("user") for heard in stack.upstream.heard] == [None, "somebody", "tg:12345"]


async def test_metadata_goes_to_the_vendor_only_where_it_is_to_be_stored(stack) -> None:
    await chat(stack, metadata={**ME, "plain": True, "ticket": "7"}, store=True)
    assert stack.upstream.heard[0].body["metadata"] == {"plain": True, "ticket": "7"}


async def test_nothing_is_added_to_a_conversation_unless_the_rule_says_so(start) -> None:
    rules = [{"name": "only", "priority": 1, "conditions": {"mode": "chat"}, "use_provider": "model"}]
    async with start(routing_rules=rules) as stack:
        await chat(stack, metadata=ME)
        rules[0]["context"] = True
        assert [turn["role"] for turn in stack.upstream.heard[0].body["messages"]] == ["user"]
    async with start(routing_rules=rules) as stack:
        await chat(stack, "What is this DAO?", metadata=ME)
        system, question = stack.upstream.heard[0].body["messages"]
        assert "about.en.md" in system["content"]
        assert question == {"role": "user", "content": "What is this DAO?"}


async def test_images_go_to_models_that_see_and_are_a_clear_mistake_elsewhere(start) -> None:
    def seeing(settings: dict[str, object]) -> None:
        for provider in settings["llm_providers"]:
            provider["config"]["vision"] = True

    async with start(change=seeing) as stack:
        assert (await chat(stack, messages=SEEN)).status_code == 200
        assert (await chat(stack, messages=SEEN, model="native")).status_code == 200
        far = [{"role": "user", "content": [{"type": "image_url", "image_url": "https://example.org/a.png"}]}]
        assert error(await chat(stack, messages=far, model="native")) == (400, "invalid_value", "messages.content.image_url")
        first, second = stack.upstream.heard
    assert first.body["messages"] == SEEN
    assert second.body["messages"] == [{"role": "user", "content": "What is this?", "images": [PIXEL.partition(",")[2]]}]


async def test_who_cannot_do_what_is_asked_is_passed_over_where_another_one_can(start) -> None:
    def seeing(settings: dict[str, object]) -> None:
        settings["llm_providers"][1]["config"]["vision"] = True

    async with start(change=seeing) as stack:
        answer = await chat(stack, messages=SEEN, metadata=ME)
        assert answer.status_code == 200
        assert [heard.path for heard in stack.upstream.heard] == ["/api/chat"]
    async with start() as stack:
        answer = await chat(stack, messages=SEEN, metadata=ME)
        assert error(answer) == (400, "invalid_value", "messages.content.image_url")
        assert [one["provider"] for one in answer.json()["error"]["failures"]] == ["model", "native", "dao_facts"]
        assert stack.upstream.heard == []


@pytest.mark.parametrize(
    "wish",
    [
        {"n": 2},
        {"logprobs": True},
        {"tools": [TOOL], "tool_choice": "required"},
        {"functions": [{"name": "f"}]},
        {"logit_bias": {"5": 1}},
        {"modalities": ["text", "audio"]},
    ],
    ids=lambda wish: next(reversed(wish)),
)
async def test_what_a_protocol_has_no_word_for_is_said_and_not_left_out(stack, wish: dict[str, object]) -> None:
    answer = await chat(stack, model="native", **wish)
    assert error(answer) == (400, "invalid_value", next(reversed(wish)))
    assert answer.json()["error"]["provider"] == "native"
    assert stack.upstream.heard == []


async def test_ollama_gets_tools_results_and_parameters_in_its_own_words(stack) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": '{"city":"Kyiv"}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    options = {
        "temperature": 0.1,
        "top_p": 0.5,
        "stop": "x",
        "seed": 4,
        "max_completion_tokens": 9,
        "unknown": 1,
        "logprobs": False,
        "n": 1,
    }
    form = {"type": "json_object"}
    await chat(stack, model="native", messages=messages, tools=[TOOL], tool_choice="auto", response_format=form, **options)
    sent = stack.upstream.heard[0].body
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Kyiv"}}}]},
        {"role": "tool", "content": "sunny", "tool_name": "weather"},
    ]
    assert (sent["tools"], sent["format"]) == ([TOOL], "json")
    assert sent["options"] == {"temperature": 0.1, "top_p": 0.5, "stop": ["x"], "seed": 4, "num_predict": 9}


async def test_rules_read_the_last_user_turn_and_the_record_keeps_it_with_the_answer(start) -> None:
    rules = [
        {"name": "weather", "priority": 1, "conditions": {"prompt_matches": "(?i)weather"}, "use_provider": "model"},
        {"name": "long", "priority": 2, "conditions": {"prompt_tokens_over": 50}, "use_provider": "native"},
    ]
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    body = {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    async with start(routing_rules=rules) as stack:
        stack.upstream.script(Answer(body=json.dumps(body).encode()))
        messages = [{"role": "user", "content": "The weather?"}, {"role": "assistant", "content": "Where?"}]
        assert (await chat(stack, messages=messages, metadata=ME)).json()["choices"][0]["finish_reason"] == "tool_calls"
        long = [{"role": "system", "content": "x" * 300}, {"role": "user", "content": "Hi"}]
        await chat(stack, messages=long, metadata=ME)
        assert error(await chat(stack, "Hi", metadata=ME))[:2] == (404, "no_route")
        await stack.front.router.ports.dialogs.saved()
        assert [row[3:] for row in recorded(stack)] == [
            ("The weather?", "weather({})", "ok"),
            ("Hi", "echo: Hi", "ok"),
            ("Hi", "", "NO_ROUTE"),
        ]


async def test_equal_questions_share_an_answer_and_more_than_text_is_asked_again(start) -> None:
    rules = [{"name": "only", "priority": 1, "conditions": {"mode": "chat"}, "use_provider": "model", "cache": {"ttl_s": 60}}]
    async with start(routing_rules=rules) as stack:
        first = await chat(stack, metadata=ME)
        again = await chat(stack, metadata=ME)
        streamed = await chat(stack, metadata=ME, stream=True)
        assert first.json()["choices"][0]["message"] == again.json()["choices"][0]["message"]
        assert "echo: Hello?" in streamed.text
        assert again.json()["usage"]["total_tokens"] > 0
        assert len(stack.upstream.heard) == 1
        await chat(stack, metadata=ME, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}])
        for _ in range(2):
            await chat(stack, metadata=ME, logprobs=True)
            await chat(stack, metadata=ME, messages=[{"role": "assistant", "content": "a"}, {"role": "user", "content": "Hello?"}])
        assert len(stack.upstream.heard) == 6


async def test_the_daos_own_facts_answer_the_last_question(stack) -> None:
    stack.upstream.script(*[Answer(status=500)] * 4)
    answer = (await chat(stack, "What is GreenFood DAO?", metadata=ME)).json()
    assert "food" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["total_tokens"] > 0


async def test_an_answer_that_lacks_what_clients_need_gets_it(stack) -> None:
    told = {"choices": [{"message": {"content": "Hi"}, "logprobs": {"content": []}}], "model": "", "x": 1}
    stack.upstream.script(Answer(body=json.dumps(told).encode()))
    body = (await chat(stack)).json()
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert isinstance(body["created"], int)
    assert body["model"] == "scripted"
    assert (body["choices"][0]["finish_reason"], body["choices"][0]["index"], body["choices"][0]["logprobs"]) == (
        "stop",
        0,
        {"content": []},
    )
    assert body["usage"] == {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    assert body["x"] == 1


async def test_what_a_model_thinks_is_kept_apart_from_what_it_says(stack) -> None:
    stack.upstream.script(Answer(text="Hi", thinking="hm"), Answer(text="Hi", thinking="hm"))
    for model in ("dagi-stack", "native"):
        text = (await chat(stack, model=model, stream=True)).text
        assert text.index('"reasoning_content":"hm"') < text.index('"content":"Hi"')
