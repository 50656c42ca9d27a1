"""OpenAI's chat completions on the wire."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.errors import Invalid
from dagi.message import Turn, Usage
from dagi.ports.target import Delta, End, Event, Thought, ToolCall, Used
from dagi.targets.models.wire import Decoder, WireError
from dagi.targets.models.wire.openai_chat import ChatDecoder, decode_answer
from dagi.targets.models.wire.openai_request import encode_request

Decode = Callable[[Decoder, Iterable[bytes]], tuple[list[Event], str | None]]


def decoder(limit: int = 100_000, frame_limit: int = 10_000) -> ChatDecoder:
    return ChatDecoder("llm", "asked", limit=limit, frame_limit=frame_limit)


def sse(*values: object) -> bytes:
    return b"".join(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n" for value in values)


def says(content: object, reason: str | None = None, **delta: object) -> dict[str, object]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": content, **delta}, "finish_reason": reason}]}


STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
END = End(provider="llm", model="asked", finish_reason="stop", raw=json.dumps(STOP).encode())


def test_a_stream_becomes_deltas_usage_and_an_end(decode: Decode) -> None:
    first, usage = says("Hel"), {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    role = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    events, mistake = decode(decoder(), [sse(role, first, says("lo"), STOP, usage, b"[DONE]")])
    assert mistake is None
    assert events == [
        Delta("Hel", raw=json.dumps(first).encode()),
        Delta("lo", raw=json.dumps(says("lo")).encode()),
        Used(Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5), raw=json.dumps(usage).encode()),
        End(provider="llm", model="m", finish_reason="stop", raw=json.dumps(STOP).encode()),
    ]


def test_raw_bytes_are_kept_only_where_the_frame_holds_one_event_alone(decode: Decode) -> None:
    events, _ = decode(decoder(), [sse(says("a", "stop"), b"[DONE]")])
    assert events[0] == Delta("a")


def test_thinking_is_told_apart_whatever_the_server_calls_it(decode: Decode) -> None:
    events, _ = decode(decoder(), [sse(says(None, reasoning_content="hm"), says(None, reasoning="so"), says("a"), STOP, b"[DONE]")])
    assert [type(event) for event in events[:3]] == [Thought, Thought, Delta]


def test_tool_calls_are_passed_on_in_pieces(decode: Decode) -> None:
    def call(**fields: object) -> dict[str, object]:
        return {"choices": [{"delta": {"tool_calls": [{"index": 0, **fields}]}}]}

    pieces = [
        call(id="c1", function={"name": "f", "arguments": ""}),
        call(function={"arguments": '{"a"'}),
        call(function={"arguments": {"b": 1}}),
    ]
    events, _ = decode(decoder(), [sse(*pieces, {"choices": [{"finish_reason": "tool_calls"}]}, b"[DONE]")])
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [(one.id, one.name, one.arguments) for one in calls] == [("c1", "f", ""), ("", "", '{"a"'), ("", "", '{"b": 1}')]


def test_unknown_and_null_fields_do_not_matter(decode: Decode) -> None:
    odd = {
        "id": None,
        "x": [1],
        "usage": None,
        "model": None,
        "choices": [{"index": None, "delta": {"content": "a", "y": {}}, "logprobs": None}],
    }
    events, mistake = decode(decoder(), [sse(odd, STOP, b"[DONE]")])
    assert (events, mistake) == ([Delta("a", raw=json.dumps(odd).encode()), END], None)


@pytest.mark.parametrize("claim", [-1, 2**53 + 1, 2**70, None])
def test_a_count_that_cannot_be_one_is_taken_for_none(decode: Decode, claim: int | None) -> None:
    usage = {"prompt_tokens": claim, "completion_tokens": 2, "total_tokens": claim}
    events, mistake = decode(decoder(), [sse(says("a"), STOP, {"choices": [], "usage": usage}, b"[DONE]")])
    counts = [event.usage for event in events if isinstance(event, Used)]
    assert (counts, mistake) == ([Usage(prompt_tokens=0, completion_tokens=2, total_tokens=2)], None)


@pytest.mark.parametrize("claim", [0, -1, 2**70])
def test_a_count_of_nothing_is_none_so_that_the_answer_is_estimated(decode: Decode, claim: int) -> None:
    usage = {"prompt_tokens": claim, "completion_tokens": claim, "total_tokens": claim}
    events, mistake = decode(decoder(), [sse(says("a"), STOP, {"choices": [], "usage": usage}, b"[DONE]")])
    assert ([event for event in events if isinstance(event, Used)], mistake) == ([], None)


def test_usage_that_cannot_be_read_does_not_cost_the_answer(decode: Decode) -> None:
    events, mistake = decode(decoder(), [sse(says("a"), STOP, {"choices": [], "usage": {"prompt_tokens": "many"}}, b"[DONE]")])
    assert mistake is None
    assert not any(isinstance(event, Used) for event in events)


def test_done_may_be_missing_where_the_answer_was_finished(decode: Decode) -> None:
    assert decode(decoder(), [sse(says("a"), STOP)])[1] is None


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (sse(says("a")), "the answer broke off before its end"),
        (sse(says("a"), b"[DONE]"), "the answer broke off before its end"),
        (sse(says("a")) + b'data: {"choi', "the answer is not valid JSON"),
        (b"", "the answer holds nothing"),
        (sse(STOP, b"[DONE]"), "the answer is empty"),
        (sse({"choices": []}, b"[DONE]"), "the answer holds nothing"),
        (b"<!doctype html><title>502</title>", "it answered with a web page instead of an event stream"),
        (b" \n<html>", "it answered with a web page instead of an event stream"),
        (b"data: {nope}\n\n", "the answer is not valid JSON"),
        (sse(says("a")) + b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n', "the answer is not valid JSON"),
        (sse(says("a"), {"error": {"message": "out of memory", "code": "oom"}}), "out of memory"),
        (sse(says("a"), {"error": "overloaded"}), "overloaded"),
        (sse(says("a"), {"object": "error", "message": "went wrong"}), "went wrong"),
        (b"event: error\ndata: gone\n\n", "gone"),
        (b'event: error\ndata: {"message":"gone"}\n\n', "gone"),
    ],
)
def test_an_answer_that_is_none_says_what_is_wrong(decode: Decode, stream: bytes, sentence: str) -> None:
    assert decode(decoder(), [stream])[1] == sentence


def test_what_came_before_the_mistake_is_not_lost(decode: Decode) -> None:
    events, mistake = decode(decoder(), [sse(says("a"), {"error": "x"}, says("b"))])
    assert ([event.text for event in events if isinstance(event, Delta)], mistake) == (["a"], "x")


def test_an_answer_of_nothing_is_complete_when_it_ran_out_of_tokens(decode: Decode) -> None:
    events, mistake = decode(decoder(), [sse({"choices": [{"delta": {}, "finish_reason": "length"}]}, b"[DONE]")])
    assert mistake is None
    assert isinstance(events[0], End)


def test_an_endless_answer_is_given_up_at_the_limit(decode: Decode) -> None:
    events, mistake = decode(decoder(limit=500), [sse(says("abc"))] * 100)
    assert mistake == "the answer is longer than 500 bytes"
    assert len(events) == 500 // len(sse(says("abc")))


def test_a_whole_answer_gives_the_same_kinds_of_events() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    message = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}], "reasoning_content": "hm"}
    body = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    data = json.dumps(body).encode()
    assert decode_answer(data, "llm", "asked") == [
        Thought("hm"),
        Delta("Hi"),
        Used(Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)),
        End(provider="llm", model="m", raw=data),
    ]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html>", "it answered with a web page instead of JSON"),
        (b"{", "the answer is not valid JSON"),
        (b"[]", "the answer has an unknown form"),
        (b'"\xff"', "the answer"),
        (b'{"choices":[]}', "the answer has no choices"),
        (b"{}", "the answer has no choices"),
        (b'{"choices":[{"message":{"role":"assistant"}}]}', "the answer is empty"),
        (b'{"choices":[{"message":{"content":null},"finish_reason":"stop"}]}', "the answer is empty"),
        (b'{"error":{"message":"no"}}', "no"),
        (b"[" * 100_000, "the answer"),
    ],
)
def test_a_whole_answer_that_is_none_says_what_is_wrong(body: bytes, sentence: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_answer(body, "llm", "asked")
    assert str(caught.value).startswith(sentence)


def test_the_callers_options_go_before_our_defaults_but_not_before_what_is_ours() -> None:
    options = msgspec.Raw(b'{"temperature":0,"model":"other","stream":false,"messages":[],"n":4,"user":"u","tools":[{"x":1}]}')
    body = encode_request("m", [Turn("user", "hi")], defaults={"temperature": 0.7, "top_p": None}, options=options)
    assert json.loads(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0,
        "n": 4,
        "user": "u",
        "tools": [{"x": 1}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_token_limit_goes_by_the_name_the_server_knows() -> None:
    body = encode_request("m", [], defaults={"max_completion_tokens": 5}, options=msgspec.Raw(b'{"max_tokens":9}'), ask_usage=False)
    assert json.loads(body) == {"model": "m", "messages": [], "max_completion_tokens": 9, "stream": True}


@pytest.mark.parametrize("options", [b"[]", b"1", b"{", b'"\xff"'])
def test_options_that_are_no_object_are_the_callers_mistake(options: bytes) -> None:
    with pytest.raises(Invalid):
        encode_request("m", [], defaults={}, options=msgspec.Raw(options))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["content", "index", "error", "message", "model"]), inner),
    max_leaves=6,
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "choices": JSON_VALUES
        | st.lists(st.fixed_dictionaries({}, optional={"delta": JSON_VALUES, "finish_reason": JSON_VALUES, "index": JSON_VALUES})),
        "usage": JSON_VALUES,
        "error": JSON_VALUES,
        "object": JSON_VALUES,
        "model": JSON_VALUES,
    },
)
FRAMES = (
    CHUNKS.map(sse)
    | st.sampled_from([sse(says("a")), sse(STOP), sse(b"[DONE]"), b"event: error\ndata: x\n\n", b"\r\n", b"<"])
    | st.binary(max_size=20)
)
STREAMS = st.lists(FRAMES, max_size=8).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(data=STREAMS, places=st.lists(st.integers(min_value=0), max_size=20), limit=st.sampled_from([60, 150, 100_000]))
def test_any_split_gives_the_same_events_and_the_same_mistake(decode: Decode, data: bytes, places: list[int], limit: int) -> None:
    assert decode(decoder(limit, limit // 2), cut(data, places)) == decode(decoder(limit, limit // 2), [data])


@given(data=st.binary(max_size=300) | st.binary(max_size=100).map(lambda data: b"data: " + data + b"\n\n"))
def test_random_bytes_give_events_or_a_wire_error(decode: Decode, data: bytes) -> None:
    decode(decoder(), [data])


@given(data=st.binary(max_size=100) | CHUNKS.map(lambda value: json.dumps(value).encode()))
def test_a_random_whole_answer_gives_events_or_a_wire_error(data: bytes) -> None:
    with suppress(WireError):
        assert decode_answer(data, "llm", "asked")


@pytest.mark.parametrize(
    ("told", "cached"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 4}}, 4),
        ({"prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 2}, 5),
        ({"prompt_tokens_details": {"cached_tokens": 900}}, 7),
        ({"prompt_tokens_details": {"cached_tokens": -3}}, 0),
        ({"prompt_tokens_details": "many", "prompt_cache_hit_tokens": [1]}, 0),
        ({"prompt_tokens_details": {"cached_tokens": "4"}}, 0),
    ],
)
def test_tokens_the_provider_had_in_its_cache_are_told_and_never_cost_the_other_counts(
    decode: Decode, told: dict[str, object], cached: int
) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, **told}
    events, mistake = decode(decoder(), [sse(says("a"), STOP, {"choices": [], "usage": usage}, b"[DONE]")])
    counts = [event.usage for event in events if isinstance(event, Used)]
    assert (mistake, counts) == (None, [Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9, cached_tokens=cached)])
