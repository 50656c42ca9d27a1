"""OpenAI's protocol through the whole stack, byte for byte."""

import json

import httpx
import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
DAO = "greenfood-dao"
PING = {"model": "dagi-stack", "messages": [{"role": "user", "content": "ping"}], "metadata": {"plain": True, "user_id": "tg:12345"}}


async def post(stack, path: str = "/v1/chat/completions", **changes: object) -> httpx.Response:
    return await stack.http.post(path, json={**PING, **changes})


def frames(text: str) -> list[dict[str, object]]:
    assert "\r" not in text
    *parts, rest = text.split("\n\n")
    assert (parts[-1], rest) == ("data: [DONE]", "")
    assert all(part.startswith("data: {") for part in parts[:-1])
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-1]]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_a_whole_answer_is_the_upstreams_own_body(stack, path: str) -> None:
    body = b'{"id":"x1", "object":"chat.completion","created":5,"model":"scripted","system_fingerprint":"fp","choices":[{"index":0,"message":{"role":"assistant","content":"pong"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'  # noqa: E501
    stack.upstream.script(Answer(body=body))
    answer = await post(stack, path)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["x-request-id"]


async def test_a_stream_tells_role_pieces_end_and_done_in_this_order(stack) -> None:
    stack.upstream.script(Answer(text="one two"))
    answer = await post(stack, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = frames(answer.text)
    assert [choice["delta"] for frame in told for choice in frame["choices"]] == [
        {"role": "assistant", "content": ""},
        {"content": "one"},
        {"content": " two"},
        {},
    ]
    assert [frame["choices"][0]["finish_reason"] for frame in told] == [None, None, None, "stop"]
    assert len({(frame["id"], frame["created"], frame["model"]) for frame in told}) == 1


async def test_the_counts_of_a_stream_are_told_last_when_they_are_asked_for(stack) -> None:
    told = frames((await post(stack, stream=True, stream_options={"include_usage": True})).text)
    assert told[-1]["choices"] == []
    assert told[-1]["usage"]["total_tokens"] > 0
    assert stack.upstream.heard[0].body["stream_options"] == {"include_usage": True}


async def test_a_stream_and_a_whole_answer_are_made_of_what_another_protocol_says(stack) -> None:
    stack.upstream.script(Answer(text="one two"), Answer(text="one two"))
    told = frames((await post(stack, model="native", stream=True, stream_options={"include_usage": True})).text)
    assert "".join(choice["delta"].get("content", "") for frame in told for choice in frame["choices"]) == "one two"
    assert len({(frame["id"], frame["created"], frame["model"]) for frame in told}) == 1
    whole = (await post(stack, model="native")).json()
    assert whole["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "one two"}, "logprobs": None, "finish_reason": "stop"}
    ]
    assert whole["object"] == "chat.completion"
    assert whole["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert {heard.path for heard in stack.upstream.heard} == {"/api/chat"}


async def test_models_are_the_routed_one_and_those_that_may_be_chosen(stack) -> None:
    for path in ("/v1/models", "/models"):
        listed = (await stack.http.get(path)).json()
        assert [model["id"] for model in listed["data"]] == ["dagi-stack", "native"]
        one = (await stack.http.get(f"{path}/native")).json()
        assert one == listed["data"][1]
        missing = await stack.http.get(f"{path}/vendor/none")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_errors_have_openais_shape_below_v1_wherever_they_are_raised(stack) -> None:
    unknown = await post(stack, model="gpt-9")
    assert (unknown.status_code, unknown.json()["error"]["code"], unknown.json()["error"]["param"]) == (404, "model_not_found", "model")
    nowhere = await stack.http.post("/v1/nothing", json={})
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "unknown_url")
    method = await stack.http.get("/v1/chat/completions")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_supported")
    broken = await stack.http.post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")
    wrong = await stack.http.post("/v1/chat/completions", json=PING, headers={"authorization": "Bearer sk-wrong"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    for answer in (unknown, nowhere, method, broken, wrong):
        assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


async def test_a_stream_that_dies_after_its_first_token_ends_with_an_error_and_no_end(stack) -> None:
    stack.upstream.script(Answer(text="one two", reset_after=1))
    got = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with stack.http.stream("POST", "/v1/chat/completions", json={**PING, "stream": True}) as answer:
            async for chunk in answer.aiter_bytes():
                got += chunk
    *_, last, rest = got.decode().split("\n\n")
    assert rest == ""
    assert json.loads(last.removeprefix("data: "))["error"]["dagi_code"] == "PROVIDER_ERROR"
    assert "[DONE]" not in got.decode()


async def test_a_body_that_is_too_large_is_told_so_in_openais_shape(start) -> None:
    async with start(server={"max_body_bytes": 1024}) as stack:
        answer = await post(stack, messages=[{"role": "user", "content": "x" * 2000}])
        assert (answer.status_code, answer.json()["error"]["dagi_code"]) == (413, "PAYLOAD_TOO_LARGE")
        ours = await stack.http.post("/route", json={"prompt": "x" * 2000})
        assert ours.json()["code"] == "PAYLOAD_TOO_LARGE"


async def test_models_are_told_to_proven_callers_only(stack) -> None:
    headers = {"authorization": f"Bearer {await stack.key('guest')}"}
    assert len((await stack.http.get("/v1/models", headers=headers)).json()["data"]) == 2
    assert (await stack.http.get("/v1/models", headers={"authorization": "Bearer no"})).status_code == 401
