"""What servers get wrong about OpenAI's form is put right before a client sees it."""

import json

import httpx
import pytest
from tests.story.test_openai_streams import ASK, ask, body, said, sse

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio


def piece(**fields: object) -> dict[str, object]:
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {"tool_calls": [{**fields, "type": "function", "function": function}]}


def calls(frames: list[str]) -> list[tuple[str, str, str]]:
    """Every call, put together by its index as the SDKs do; ids are told once."""
    found: dict[int, list[str]] = {}
    for frame in frames:
        for choice in json.loads(frame)["choices"]:
            for call in choice["delta"].get("tool_calls") or ():
                one = found.setdefault(call["index"], ["", "", ""])
                told = (call.get("id") or "", call["function"].get("name") or "", call["function"].get("arguments") or "")
                one[:] = [old + new for old, new in zip(one, told, strict=True)]
    return [(one[0], one[1], one[2]) for _, one in sorted(found.items())]


BOTH = [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]
NUMBERED = {
    "no index": [piece(id="a", name="f", arguments='{"x":1}'), piece(id="b", name="g", arguments='{"y":2}')],
    "no index, in pieces": [
        piece(id="a", name="f", arguments=""),
        piece(arguments='{"x":1}'),
        piece(id="b", name="g", arguments='{"y"'),
        piece(id="b", arguments=":2}"),
    ],
    "the same index": [piece(index=0, id="a", name="f", arguments='{"x":1}'), piece(index=0, id="b", name="g", arguments='{"y":2}')],
    "the same index, in pieces": [
        piece(index=0, id="a", name="f", arguments=""),
        piece(index=0, arguments='{"x":1}'),
        piece(index=0, id="b", name="g", arguments=""),
        piece(index=0, arguments='{"y":2}'),
    ],
    "id and name in every piece": [
        piece(index=0, id="a", name="f", arguments='{"x"'),
        piece(index=0, id="a", name="f", arguments=":1}"),
        piece(index=1, id="b", name="g", arguments='{"y":2}'),
    ],
    "another id in every piece": [
        piece(index=0, id="a", name="f", arguments='{"x"'),
        piece(index=0, id="z", arguments=":1}"),
        piece(index=1, id="b", name="g", arguments='{"y":2}'),
    ],
}


@pytest.mark.parametrize("deltas", NUMBERED.values(), ids=NUMBERED)
async def test_two_calls_of_tools_stay_two_however_they_are_numbered(stack, deltas: list[object]) -> None:
    frames = await ask(stack, sse(*(body(delta) for delta in deltas), body({}, "tool_calls")))
    assert calls(frames) == BOTH


async def test_calls_of_a_whole_answer_that_all_have_one_index_are_streamed_as_two(stack) -> None:
    both = [{"index": 0, "id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in BOTH]
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": both}, "finish_reason": "tool_calls"}
    assert calls(await ask(stack, Answer(body=json.dumps({"choices": [choice]}).encode()))) == BOTH


def whole(message: object = None, **more: object) -> Answer:
    choice = {"index": 0, "message": message or {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    answer = {"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}
    return Answer(body=json.dumps(answer).encode())


async def asked(stack, answer: Answer, **more: object) -> httpx.Response:
    stack.upstream.script(answer)
    return await stack.http.post("/v1/chat/completions", json={**ASK, "stream": False, **more})


PARTIAL = {"prompt_tokens": 3, "completion_tokens": 2}
COUNTED = {**PARTIAL, "total_tokens": 5}


async def test_counts_without_a_sum_get_one(stack) -> None:
    assert (await asked(stack, whole(usage={**PARTIAL, "x": 1}))).json()["usage"] == {**COUNTED, "x": 1}
    bodies = [body({"role": "assistant", "content": "a"}), body({}, "stop"), body(None, usage=PARTIAL)]
    frames = await ask(stack, sse(*bodies), stream_options={"include_usage": True})
    assert json.loads(frames[-1])["usage"] == COUNTED


async def test_words_in_parts_become_one_text(stack) -> None:
    parts = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]
    answer = await asked(stack, whole({"role": "assistant", "content": parts}))
    assert answer.json()["choices"][0]["message"]["content"] == "Hi"
    first = await ask(stack, sse(body({"role": "assistant", "content": parts}), body({}, "stop")))
    later = await ask(stack, sse(body({"role": "assistant", "content": ""}), body({"content": parts}), body({}, "stop")))
    assert said(first) == said(later) == "Hi"


async def test_an_empty_reason_of_the_end_is_none_so_that_a_cut_answer_is_not_taken_for_a_whole_one(stack) -> None:
    whole_stream = sse(body({"role": "assistant", "content": "a"}, ""), body({"content": "b"}, ""), body({}, "length"))
    frames = await ask(stack, whole_stream)
    assert (said(frames), json.loads(frames[-1])["choices"][0]["finish_reason"]) == ("ab", "length")
    stack.upstream.script(sse(body({"role": "assistant", "content": "a"}, ""), body({"content": "b"}, "")))
    with pytest.raises(httpx.RemoteProtocolError):
        await stack.http.post("/v1/chat/completions", json=ASK)


def several(*deltas: object, finish: str | None = None, **more: object) -> str:
    choices = [{"index": index, "delta": delta, "finish_reason": finish} for index, delta in enumerate(deltas)]
    return body(None, **more).replace('"choices": []', f'"choices": {json.dumps(choices)}')


@pytest.mark.parametrize("more", [{}, {"usage": COUNTED}], ids=["no counts", "counts"])
async def test_choices_that_share_frames_all_reach_the_caller(stack, more: dict[str, object]) -> None:
    role = {"role": "assistant", "content": ""}
    bodies = [several(role, role), several({"content": "a"}, {"content": "x"}, **more), several({}, {"content": "y"})]
    told = [json.loads(frame) for frame in await ask(stack, sse(*bodies, several({}, {}, finish="stop", **more)), n=2)]
    choices = [choice for frame in told for choice in frame["choices"]]
    assert all(len(frame["choices"]) == 1 for frame in told)
    for index, text in ((0, "a"), (1, "xy")):
        mine = [choice for choice in choices if choice["index"] == index]
        assert "".join(choice["delta"].get("content") or "" for choice in mine) == text
        assert [choice["finish_reason"] for choice in mine if choice["finish_reason"]] == ["stop"]


async def test_a_frame_that_would_become_a_thousand_large_ones_is_no_answer(stack) -> None:
    frame = several(*({"content": "x"} for _ in range(2000)), x_padding="y" * 100_000)
    stack.upstream.script(sse(frame, body({}, "stop")), sse(frame, body({}, "stop")))
    assert (await stack.http.post("/v1/chat/completions", json=ASK)).status_code == 502


async def test_probabilities_of_the_last_token_and_of_one_without_text_are_told(stack) -> None:
    def likely(delta: object, token: str, finish: str | None = None) -> str:
        return body(delta, finish).replace('"delta"', f'"logprobs": {{"content": [{{"token": "{token}"}}]}}, "delta"')

    bodies = [
        body({"role": "assistant", "content": ""}),
        likely({"content": "a"}, "a"),
        likely({"content": ""}, "-"),
        likely({"content": "b"}, "b", "stop"),
    ]
    frames = await ask(stack, sse(*bodies), logprobs=True)
    choices = [choice for frame in frames for choice in json.loads(frame)["choices"]]
    assert [one["token"] for choice in choices if choice.get("logprobs") for one in choice["logprobs"]["content"]] == ["a", "-", "b"]
    assert said(frames) == "ab"
