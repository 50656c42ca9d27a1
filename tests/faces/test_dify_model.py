"""The stack as a model of Dify (provider "OpenAI-API-compatible"): what it sends, and a reader as strict as its own.

The reader follows what was measured of Dify's: frames end with an empty line and nothing else, a comment is dropped, whatever is not JSON
ends the stream, every frame without an error has `choices`, each one with choices overwrites the finish reason, pieces of tool calls belong
together by their id. tests/clients/with_dify.py asks with Dify's own class, where there is a Python that runs it.
"""

import json

import httpx
import msgspec
import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
SSE = {"Content-Type": "text/event-stream"}
INVOKED = {
    "model": "dagi-stack",
    "messages": [{"role": "user", "content": "Hello?"}],
    "temperature": 0.7,
    "top_p": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "max_tokens": 512,
    "user": "5e6c2a7b-0000-4000-8000-000000000000",
}
USAGE = {"stream_options": {"include_usage": True}}
EXTENDED = {
    "thinking": {"type": "disabled"},
    "enable_thinking": False,
    "chat_template_kwargs": {"enable_thinking": False},
    "stop": ["Observation"],
}


class Heard(msgspec.Struct):
    """What Dify's reader makes of a stream."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    calls: dict[str, list[str]] = {}
    error: object = None


def read_like_dify(stream: str) -> Heard:
    heard = Heard(calls={})
    for frame in stream.split("\n\n"):
        line = frame.strip()
        if not line or line.startswith(":"):
            continue
        data = line.removeprefix("data:").lstrip()
        if data == "[DONE]":
            continue
        try:
            chunk = json.loads(data)
        except ValueError:
            heard.finish_reason = "Non-JSON encountered."
            break
        if chunk.get("error") and chunk.get("choices") is None:
            heard.error = chunk["error"]
            break
        heard.usage = chunk.get("usage") or heard.usage
        if chunk["choices"]:
            _take(heard, chunk["choices"][0])
    return heard


def _take(heard: Heard, choice: dict) -> None:
    heard.finish_reason = choice.get("finish_reason")
    delta = choice["delta"]
    heard.text += delta.get("content") or ""
    for piece in delta.get("tool_calls") or ():
        name = piece.get("function", {}).get("name") or ""
        identity = piece.get("id") or list(heard.calls)[-1]
        call = heard.calls.setdefault(identity, ["", ""])
        call[0] = name or call[0]
        call[1] += piece.get("function", {}).get("arguments") or ""


async def asked(stack, **changes: object) -> httpx.Response:
    return await stack.http.post("/v1/chat/completions", json={**INVOKED, **changes})


def frames(*chunks: dict[str, object], done: bool = True) -> bytes:
    """A stream as an OpenAI-compatible server sends it."""
    about = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    told = b"".join(b"data: " + json.dumps({**about, **chunk}).encode() + b"\n\n" for chunk in chunks)
    return told + (b"data: [DONE]\n\n" if done else b"")


def piece(delta: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def call(index: int, identity: str | None, name: str | None, arguments: str) -> dict[str, object]:
    one: dict[str, object] = {"index": index, "function": {"arguments": arguments, **({"name": name} if name else {})}}
    return one if identity is None else {**one, "id": identity, "type": "function"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_saving_the_model_in_dify_works_with_and_without_v1(stack, path: str) -> None:
    ping = {"model": "dagi-stack", "max_tokens": 5, "messages": [{"role": "user", "content": "ping"}]}
    saved = await stack.http.post(path, json=ping)
    assert (saved.status_code, saved.headers["content-type"], saved.json()["object"]) == (200, "application/json", "chat.completion")
    assert (await stack.http.post(path, json={**ping, "max_tokens": 10, "stream": True})).status_code == 200
    assert (await stack.http.post(path, json={"max_completion_tokens": 16, **ping})).status_code == 200


async def test_a_whole_answer_has_its_text_its_end_and_its_usage(stack) -> None:
    stack.upstream.script(Answer(text="Hello, Dify."))
    answer = (await asked(stack, stream=False, **EXTENDED)).json()
    (choice,) = answer["choices"]
    assert (choice["message"]["role"], choice["message"]["content"], choice["finish_reason"]) == ("assistant", "Hello, Dify.", "stop")
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"] > 0


async def test_a_stream_with_all_that_dify_adds_is_read_to_its_end_with_its_usage(stack) -> None:
    stack.upstream.script(Answer(text="Hello, dear Dify.", thinking="Hm."))
    answer = await asked(stack, stream=True, **USAGE, **EXTENDED)
    heard = read_like_dify(answer.text)
    assert "\r" not in answer.text
    assert "event:" not in answer.text
    assert (heard.text, heard.finish_reason, heard.error) == ("Hello, dear Dify.", "stop", None)
    assert heard.usage is not None
    assert (heard.usage["prompt_tokens"], heard.usage["completion_tokens"]) == (7, 3)


async def test_a_stream_that_did_not_ask_for_usage_has_none_and_ends_all_the_same(stack) -> None:
    stack.upstream.script(Answer(text="Hello, Dify."))
    heard = read_like_dify((await asked(stack, stream=True)).text)
    assert (heard.text, heard.finish_reason, heard.usage) == ("Hello, Dify.", "stop", None)


async def test_what_another_protocol_answers_reads_the_same(stack) -> None:
    answer = await asked(stack, stream=True, metadata={"provider": "native"}, **USAGE)
    heard = read_like_dify(answer.text)
    assert heard.text
    assert (heard.finish_reason, heard.error, heard.usage is not None) == ("stop", None, True)


async def test_tool_calls_in_pieces_come_together_by_their_ids(stack) -> None:
    told = frames(
        piece({"role": "assistant", "content": None}),
        piece({"tool_calls": [call(0, "call_a", "vote", "")]}),
        piece({"tool_calls": [call(0, None, None, '{"proposal"')]}),
        piece({"tool_calls": [call(0, None, None, ": 7}")]}),
        piece({"tool_calls": [call(1, "call_b", "treasury", "{}")]}),
        piece({}, "tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}},
    )
    stack.upstream.script(Answer(body=told, headers=SSE))
    tools = [{"type": "function", "function": {"name": "vote", "description": "Votes.", "parameters": {"type": "object"}}}]
    heard = read_like_dify((await asked(stack, stream=True, tools=tools, tool_choice="auto", **USAGE)).text)
    assert heard.calls == {"call_a": ["vote", '{"proposal": 7}'], "call_b": ["treasury", "{}"]}
    assert heard.finish_reason == "tool_calls"
    assert stack.upstream.heard[-1].body["tools"] == tools


async def test_an_upstream_that_speaks_after_its_end_does_not_take_the_end_away(stack) -> None:
    told = frames(
        piece({"role": "assistant", "content": "Yes."}),
        piece({}, "stop"),
        piece({}),
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}},
    )
    stack.upstream.script(Answer(body=told, headers=SSE))
    heard = read_like_dify((await asked(stack, stream=True, **USAGE)).text)
    assert (heard.text, heard.finish_reason) == ("Yes.", "stop")


async def test_an_upstream_with_other_line_ends_comments_and_event_lines_reads_the_same(stack) -> None:
    chunks = [piece({"role": "assistant", "content": "Yes."}), piece({}, "stop")]
    lines = frames(*chunks).replace(b"data: ", b": still here\n\nevent: message\ndata: ").replace(b"\n", b"\r\n")
    stack.upstream.script(Answer(body=lines, headers=SSE))
    answer = await asked(stack, stream=True)
    heard = read_like_dify(answer.text)
    assert (heard.text, heard.finish_reason) == ("Yes.", "stop")


async def test_an_answer_that_breaks_off_is_an_error_and_never_an_end(stack) -> None:
    stack.upstream.script(Answer(text="One two three.", reset_after=1))
    text = ""
    with pytest.raises(httpx.RemoteProtocolError):
        async with stack.http.stream("POST", "/v1/chat/completions", json={**INVOKED, "stream": True}) as answer:
            async for part in answer.aiter_text():
                text += part
    heard = read_like_dify(text)
    assert heard.error is not None
    assert heard.finish_reason is None
    assert "[DONE]" not in text


async def test_what_dify_shows_of_a_refusal_says_what_to_do(stack) -> None:
    answer = await stack.http.post("/v1/chat/completions", json=INVOKED, headers={"authorization": "Bearer dagi_wrong"})
    assert answer.status_code == 401
    assert "key" in answer.json()["error"]["message"]
