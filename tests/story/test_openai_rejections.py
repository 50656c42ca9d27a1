"""An upstream that refuses what the caller itself has asked for: the caller is told, and nobody else is blamed for it."""

import json

import httpx
import openai
import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
KEY = "sk-upstream-0123456789"


def refusal(message: str, status: int = 400, **more: object) -> Answer:
    return Answer(status=status, body=json.dumps({"error": {"message": message, "type": "invalid_request_error", **more}}).encode())


async def chat(stack, *answers: Answer, model: str = "dagi-stack", **body: object) -> httpx.Response:
    stack.upstream.script(*answers)
    asked = {"model": model, "messages": [{"role": "user", "content": "Who is the treasurer?"}], "metadata": {"plain": True}, **body}
    return await stack.http.post("/v1/chat/completions", json=asked)


def told(answer: httpx.Response) -> tuple[int, str, str | None, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"], error["message"]


HOT = "Invalid 'temperature': must be <= 2"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdk_gets_a_bad_request_with_the_upstreams_own_words_after_one_attempt(stack, stream: bool) -> None:
    stack.upstream.script(refusal(HOT, param="temperature"))
    client = openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=await stack.key("member"), max_retries=2)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model="dagi-stack",
            messages=[{"role": "user", "content": "Hi"}],
            temperature=99,
            stream=stream,
            extra_body={"metadata": {"plain": True}},
        )
    await client.close()
    assert (caught.value.param, caught.value.code) == ("temperature", "invalid_value")
    assert HOT in caught.value.message
    assert len(stack.upstream.heard) == 1


@pytest.mark.parametrize(
    ("answer", "wish", "param"),
    [
        (refusal("Invalid schema", param="response_format.json_schema"), {"response_format": {"type": "x"}}, "response_format.json_schema"),
        (refusal("max_completion_tokens is too large: 9000000", param=None), {"max_tokens": 9000000}, "max_tokens"),
        (refusal("top_k must be positive", status=422), {"top_k": -5}, "top_k"),
        (refusal("messages with role 'tool' must follow tool_calls"), {}, "messages"),
        (refusal("Invalid role", param="messages.[0].role"), {}, "messages.[0].role"),
        (refusal("The prompt was filtered", param="prompt", code="content_filter"), {}, "messages"),
        (
            Answer(status=422, body=json.dumps({"detail": [{"loc": ["body", "seed"], "msg": "not an integer"}]}).encode()),
            {"seed": "a"},
            "seed",
        ),
    ],
)
async def test_the_field_is_the_callers_own_word_for_it(stack, answer: Answer, wish: dict[str, object], param: str) -> None:
    status, code, field, message = told(await chat(stack, answer, **wish))
    assert (status, code, field) == (400, "invalid_value", param)
    assert message.startswith("model ")


async def test_ollama_says_it_in_its_own_words(stack) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    said = json.dumps({"error": "qwen3:8b does not support tools"}).encode()
    assert told(await chat(stack, Answer(status=400, body=said), model="native", tools=[tool]))[:3] == (400, "invalid_value", "tools")
    said = json.dumps({"error": 'option "num_predict" must be of type integer'}).encode()
    assert told(await chat(stack, Answer(status=400, body=said), model="native", max_tokens="x"))[:3] == (
        400,
        "invalid_value",
        "max_tokens",
    )


@pytest.mark.parametrize(
    ("answer", "wish"),
    [
        (refusal(HOT, param="temperature"), {}),
        (refusal(HOT, param="temperature"), {"temperature": None}),
        (refusal("The model does not exist", param="model"), {"seed": 1}),
        (refusal("Unknown deployment"), {"seed": 1}),
        (refusal("Incorrect seed for this key", status=401), {"seed": 1}),
        (Answer(status=400, body=b"<html>seed</html>"), {"seed": 1}),
        (Answer(status=400, body=b'{"detail":[{"loc":5},7]}'), {"seed": 1}),
    ],
)
async def test_what_the_caller_did_not_ask_for_is_the_operators_matter(stack, answer: Answer, wish: dict[str, object]) -> None:
    status, code, _, message = told(await chat(stack, answer, **wish))
    assert (status, code) == (502, "provider_error")
    assert "temperature" not in message


async def test_a_parameter_of_the_rule_is_the_operators_matter_and_one_of_the_callers_over_it_is_not(start) -> None:
    rule = {"name": "r", "priority": 1, "conditions": {"mode": "chat"}, "use_provider": "model", "parameters": {"temperature": 1.9}}
    async with start(routing_rules=[rule]) as stack:
        assert (await chat(stack, refusal(HOT, param="temperature"), seed=1)).status_code == 502
        assert (await chat(stack, refusal(HOT, param="temperature"), temperature=99)).status_code == 400


async def test_neither_secrets_nor_addresses_nor_the_conversation_are_told(stack) -> None:
    long = "temperature: see http://10.0.0.7:8000/x and /srv/models/a.gguf of org-abc123 " + KEY + " " + "very " * 100
    message = told(await chat(stack, refusal(long, param="temperature"), temperature=9))[3]
    assert len(message) < 300
    assert not any(part in message for part in ("10.0.0.7", "/srv", "org-abc123", KEY))
    message = told(await chat(stack, refusal("bad: Who is the treasurer?", param="temperature"), temperature=9))[3]
    assert "treasurer" not in message
    assert "treasurer" not in json.dumps(stack.log())


async def test_a_thousand_names_and_a_long_reason_are_looked_through_in_no_time(stack) -> None:
    names = {f"x{number}": 1 for number in range(5000)}
    assert (await chat(stack, refusal("y" * 60000), **names)).status_code == 502
    assert told(await chat(stack, refusal("not x4999 " + "y" * 60000), **names))[:3] == (400, "invalid_value", "x4999")


async def test_callers_who_ask_for_the_impossible_close_a_provider_for_nobody(stack) -> None:
    for _ in range(8):
        assert (await chat(stack, refusal(HOT, param="temperature"), temperature=99)).status_code == 400
    assert (await chat(stack, Answer(text="fine"))).status_code == 200
    assert len(stack.upstream.heard) == 9


async def test_a_chain_goes_on_with_whoever_takes_it(start) -> None:
    rule = {"name": "r", "priority": 1, "conditions": {"mode": "chat"}, "use_provider": "model", "fallback_provider": "native"}
    async with start(routing_rules=[rule]) as stack:
        answer = await chat(stack, refusal(HOT, param="temperature"), Answer(text="yes"), temperature=99)
        assert answer.json()["choices"][0]["message"]["content"] == "yes"
