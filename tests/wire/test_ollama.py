"""Ollama's chat on the wire."""

import json
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.message import Turn, Usage
from dagi.ports.target import Delta, End, Event, Thought, ToolCall, Used
from dagi.targets.models.wire import Decoder
from dagi.targets.models.wire.ollama import OllamaDecoder
from dagi.targets.models.wire.ollama_request import encode_request

Decode = Callable[[Decoder, Iterable[bytes]], tuple[list[Event], str | None]]


def decoder(limit: int = 100_000, line_limit: int = 10_000) -> OllamaDecoder:
    return OllamaDecoder("llm", "asked", limit=limit, line_limit=line_limit)


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def says(content: str = "", **more: object) -> dict[str, object]:
    return {"model": "m", "created_at": "now", "message": {"role": "assistant", "content": content, **more}, "done": False}


DONE = {
    "model": "m",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 4,
    "eval_count": 2,
}


def test_lines_become_thoughts_deltas_usage_and_an_end(decode: Decode) -> None:
    assert decode(decoder(), [lines(says(thinking="hm"), says("Hel"), says("lo"), DONE)]) == (
        [
            Thought("hm"),
            Delta("Hel"),
            Delta("lo"),
            Used(Usage(prompt_tokens=4, completion_tokens=2, total_tokens=6)),
            End(provider="llm", model="m"),
        ],
        None,
    )


@pytest.mark.parametrize("claim", [-1, 2**53 + 1, 2**70, None])
def test_a_count_that_cannot_be_one_is_taken_for_none(decode: Decode, claim: int | None) -> None:
    events, mistake = decode(decoder(), [lines(says("a"), {**DONE, "prompt_eval_count": claim})])
    assert (events[1], mistake) == (Used(Usage(prompt_tokens=0, completion_tokens=2, total_tokens=2)), None)


def test_a_count_of_nothing_is_none_so_that_the_answer_is_estimated(decode: Decode) -> None:
    events, mistake = decode(decoder(), [lines(says("a"), {**DONE, "prompt_eval_count": 0, "eval_count": -1})])
    assert ([event for event in events if isinstance(event, Used)], mistake) == ([], None)


def test_an_answer_in_one_piece_needs_no_line_end(decode: Decode) -> None:
    events, mistake = decode(decoder(), [json.dumps({**DONE, "message": {"content": "Hi"}}).encode()])
    assert (events[0], mistake) == (Delta("Hi"), None)


def test_tool_calls_get_places_and_the_finish_reason_of_tool_calls(decode: Decode) -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    events, _ = decode(decoder(), [lines(says(tool_calls=[call]), says(tool_calls=[call]), DONE)])
    assert events[:2] == [ToolCall(index=place, name="f", arguments='{"a": 1}') for place in (0, 1)]
    assert events[-1] == End(provider="llm", model="m", finish_reason="tool_calls")


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (lines(says("a")), "the answer broke off before its end"),
        (lines(says("a")) + b'{"model"', "the answer is not valid JSON"),
        (b"", "the answer holds nothing"),
        (lines(DONE), "the answer is empty"),
        (lines({**DONE, "done_reason": "load"}), "the model gave no answer: load"),
        (lines(says("a"), {"error": "llama runner process no longer running"}), "llama runner process no longer running"),
        (b"<html>\n", "it answered with a web page instead of JSON"),
        (b"{nope}\n", "the answer is not valid JSON"),
        (b'{"message":{"content":"\xff"}}\n', "the answer is not valid JSON"),
        (b"[]\n", "the answer has an unknown form: Expected `object`, got `array`"),
    ],
)
def test_an_answer_that_is_none_says_what_is_wrong(decode: Decode, stream: bytes, sentence: str) -> None:
    assert decode(decoder(), [stream])[1] == sentence


def test_an_endless_line_and_an_endless_answer_are_given_up(decode: Decode) -> None:
    assert decode(decoder(line_limit=100), [b"x" * 60] * 3)[1] == "a line of the answer is longer than 100 bytes"
    assert decode(decoder(limit=500), [lines(says("a"))] * 99)[1] == "the answer is longer than 500 bytes"


def test_the_request_holds_only_what_is_set() -> None:
    body = encode_request(
        "m", [Turn("user", "hi")], parameters={"num_predict": 5, "seed": None}, extra={"think": False, "keep_alive": None}
    )
    assert json.loads(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "options": {"num_predict": 5},
        "think": False,
    }


FRAMES = st.sampled_from([lines(says("a")), lines(DONE), lines({"error": "x"}), b"\r\n", b"{", b"<", b"\xef\xbb\xbf"]) | st.binary(
    max_size=20
)
STREAMS = st.lists(FRAMES, max_size=8).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(data=STREAMS, places=st.lists(st.integers(min_value=0), max_size=20), limit=st.sampled_from([120, 250, 100_000]))
def test_any_split_gives_the_same_events_and_the_same_mistake(decode: Decode, data: bytes, places: list[int], limit: int) -> None:
    assert decode(decoder(limit, limit // 2), cut(data, places)) == decode(decoder(limit, limit // 2), [data])


@given(data=st.binary(max_size=300))
def test_random_bytes_give_events_or_a_wire_error(decode: Decode, data: bytes) -> None:
    decode(decoder(), [data])
