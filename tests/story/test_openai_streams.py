"""Whatever form an upstream's stream has, clients get the one that all of them can read; what has it already is passed on untouched."""

import json

import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
ASK = {"model": "dagi-stack", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "metadata": {"plain": True}}
COUNTS = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def body(delta: object, finish: str | None = None, *, index: int = 0, **more: object) -> str:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return json.dumps({"id": "u1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": choices, **more})


def sse(*bodies: str, end: str = "\n\n") -> Answer:
    stream = end.join([*(f"data: {one}" for one in bodies), "data: [DONE]", ""])
    return Answer(body=stream.encode(), headers={"content-type": "text/event-stream"})


async def ask(stack, answer: Answer, **more: object) -> list[str]:
    """The data of every frame; the framing is what the strictest reader wants."""
    stack.upstream.script(answer)
    got = await stack.http.post("/v1/chat/completions", json={**ASK, **more})
    assert got.status_code == 200, got.text
    assert "\r" not in got.text
    assert "\n:" not in got.text
    *parts, rest = got.text.split("\n\n")
    assert rest == ""
    assert all(part.startswith("data: ") and "\n" not in part for part in parts)
    *frames, done = [part.removeprefix("data: ") for part in parts]
    assert done == "[DONE]"
    in_order(frames, usage=bool(more.get("stream_options")))
    return frames


def in_order(frames: list[str], *, usage: bool) -> None:
    """The role, pieces, one end, and the counts where they were asked for."""
    told = [json.loads(frame) for frame in frames]
    assert len({(frame["id"], frame["created"], frame["model"]) for frame in told}) == 1
    first, *rest = [frame for frame in told if frame["choices"] and frame["choices"][0]["index"] == 0]
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert "content" in first["choices"][0]["delta"]
    assert not any(frame["choices"][0]["delta"].get("role") for frame in rest)
    assert [frame["choices"][0]["finish_reason"] is not None for frame in rest] == [*[False] * (len(rest) - 1), True]
    assert [frame["choices"] for frame in told if frame.get("usage")] == ([[]] if usage else [])
    assert not usage or told[-1]["usage"]["total_tokens"] > 0


def said(frames: list[str]) -> str:
    return "".join(choice["delta"].get("content") or "" for frame in frames for choice in json.loads(frame)["choices"])


async def test_what_has_the_right_form_is_passed_on_byte_for_byte(stack) -> None:
    bodies = [
        body({"content": "a"}, system_fingerprint="fp").replace(": ", " :  "),
        body({"content": "b"}, logprobs=None, usage=None),
        body({"reasoning_content": "hm"}),
        body({}, "stop"),
        body(None, usage=COUNTS, x_unknown=[1]),
    ]
    frames = await ask(stack, sse(body({"role": "assistant", "content": ""}), *bodies), stream_options={"include_usage": True})
    assert frames[1:] == bodies
    first = body({"role": "assistant", "content": "a"})
    assert (await ask(stack, sse(first, *bodies[1:])))[0] == first


ODD = {
    "the role in every frame": [body({"role": "assistant", "content": text}) for text in ("a", "b")]
    + [body({"role": "assistant"}, "stop")],
    "the end with the last piece": [body({"role": "assistant", "content": "a"}), body({"content": "b"}, "stop")],
    "all in one frame": [body({"role": "assistant", "content": "ab"}, "stop", usage=COUNTS)],
    "the counts in the end": [body({"content": "a"}), body({"content": "b"}), body({}, "stop", usage=COUNTS)],
    "the counts in every frame": [body({"content": one}, usage=COUNTS) for one in "ab"] + [body({}, "stop", usage=COUNTS)],
    "a choice after the end": [body({"content": "ab"}), body({}, "stop"), body({"content": ""}, usage=COUNTS)],
    "a first frame without choices": [body(None, prompt_filter_results=[]), body({"content": "ab"}), body({}, "stop")],
    "thoughts and words in one frame": [body({"reasoning_content": "hm", "content": "ab"}), body({}, "stop")],
    "an unknown end": [body({"content": "ab"}), body({}, "eos")],
    "no id": [body({"content": "ab"}).replace('"id": "u1", ', ""), body({}, "stop").replace('"id": "u1", ', "")],
    "no object": [one.replace('"object": "chat.completion.chunk", ', "") for one in (body({"content": "ab"}), body({}, "stop"))],
}


@pytest.mark.parametrize("bodies", ODD.values(), ids=ODD)
@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("usage", [False, True], ids=["no counts", "counts"])
async def test_every_other_form_becomes_the_one_that_clients_read(stack, bodies: list[str], end: str, usage: bool) -> None:
    more = {"stream_options": {"include_usage": True}} if usage else {}
    frames = await ask(stack, sse(*bodies, end=end), **more)
    assert said(frames) == "ab"
    assert json.loads(frames[-2 if usage else -1])["choices"][0]["finish_reason"] == "stop"


async def test_comments_names_of_events_and_data_of_several_lines_are_not_passed_on(stack) -> None:
    frame = body({"content": "ab"}).replace(', "choices"', ',\ndata: "choices"')
    stream = f": hello\n\nevent: message\ndata: {frame}\nid: 5\n\ndata: {body({}, 'stop')}\n\ndata: [DONE]\n\n"
    frames = await ask(stack, Answer(body=stream.encode(), headers={"content-type": "text/event-stream"}))
    assert said(frames) == "ab"


async def test_a_whole_answer_to_a_stream_is_streamed(stack) -> None:
    stack.upstream.script(Answer(text="a b", whole=True))
    frames = await ask(stack, Answer(text="a b", whole=True))
    assert said(frames) == "a b"


async def test_what_has_no_name_here_is_shown_to_the_caller(stack) -> None:
    heard = [
        body({"function_call": {"name": "f", "arguments": ""}}),
        body({"function_call": {"arguments": "{}"}}),
        body({}, "function_call"),
    ]
    assert (await ask(stack, sse(body({"role": "assistant", "content": None}), *heard), functions=[{"name": "f"}]))[1:] == heard
    custom = [
        body({"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}]}),
        body({"tool_calls": [{"index": 0, "custom": {"input": "x"}}]}),
        body({}, "tool_calls"),
    ]
    assert (await ask(stack, sse(*custom), tools=[{"type": "custom", "custom": {"name": "f"}}]))[1:] == custom


async def test_more_than_text_is_asked_for_in_one_piece_where_providers_are_watched_for_silence(start) -> None:
    def watched(settings: dict[str, object]) -> None:
        settings["llm_providers"][0]["config"]["first_token_timeout_ms"] = 4000

    choices = [{"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"} for at, text in enumerate("ab")]
    answer = {"id": "u", "object": "chat.completion", "created": 7, "model": "m", "choices": choices, "usage": COUNTS}
    async with start(change=watched) as stack:
        stack.upstream.script(Answer(body=json.dumps(answer).encode()), Answer(text="a b"))
        two = await stack.http.post("/v1/chat/completions", json={**ASK, "stream": False, "n": 2})
        one = await stack.http.post("/v1/chat/completions", json={**ASK, "stream": False})
        assert two.json() == answer
        assert one.json()["choices"][0]["message"]["content"] == "a b"
        assert one.json()["object"] == "chat.completion"
        assert [heard.body["stream"] for heard in stack.upstream.heard] == [False, True]


async def test_a_stream_that_dies_before_its_first_word_is_an_ordinary_error(start) -> None:
    rules = [{"name": "only", "priority": 1, "conditions": {"mode": "chat"}, "use_provider": "model"}]
    async with start(routing_rules=rules) as stack:
        stack.upstream.script(*[sse(body({"role": "assistant", "content": ""}))] * 2)
        answer = await stack.http.post("/v1/chat/completions", json=ASK)
        assert (answer.status_code, answer.json()["error"]["dagi_code"]) == (502, "PROVIDER_ERROR")
        assert answer.headers["x-should-retry"] == "false"
