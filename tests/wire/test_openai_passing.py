"""Frames that are passed on unread: only those that a reader would have understood in the same way."""

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.ports.target import Delta, End, Event, Passed
from dagi.targets.models.wire import WireError
from dagi.targets.models.wire.openai_chat import ChatDecoder
from dagi.targets.models.wire.openai_passing import passable, runs, text_of

COMPACT, SPACED = (",", ":"), (", ", ": ")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def frame(delta: dict[str, object], separators: tuple[str, str] = COMPACT, finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(value, separators=separators, ensure_ascii=False).encode() + b"\n\n"


def heard(decoder: ChatDecoder, parts: Sequence[bytes]) -> list[Event]:
    events: list[Event] = []
    for part in parts:
        passed = decoder.passed(part)
        events += [passed] if passed is not None else decoder.feed(part)
    return events


def text(events: Sequence[Event]) -> str:
    return "".join(
        event.text if isinstance(event, Delta) else event.read(event.raw) for event in events if isinstance(event, Delta | Passed)
    )


@given(texts=st.lists(TEXTS, min_size=1, max_size=6), separators=st.sampled_from([COMPACT, SPACED]))
def test_text_that_was_passed_on_is_the_text_that_was_said(texts: list[str], separators: tuple[str, str]) -> None:
    together = b"".join(frame({"content": text}, separators) for text in texts)
    assert passable(together)
    assert text_of(together) == "".join(texts)


@given(texts=st.lists(TEXTS, min_size=1, max_size=6), cuts=st.lists(st.integers(1, 400), max_size=5))
def test_however_the_bytes_are_cut_the_answer_is_the_same(texts: list[str], cuts: list[int]) -> None:
    stream = frame({"role": "assistant", "content": ""}) + b"".join(frame({"content": text}) for text in texts)
    stream += frame({}, finish="stop") + b"data: [DONE]\n\n"
    parts, rest = [], stream
    for cut in cuts:
        parts.append(rest[:cut])
        rest = rest[cut:]
    events = heard(ChatDecoder("p", "m"), [part for part in (*parts, rest) if part])
    assert text(events) == "".join(texts)
    assert isinstance(events[-1], End)


PIECES = st.one_of(
    TEXTS.map(lambda text: frame({"content": text})),
    st.sampled_from([frame({}, finish="stop"), frame({"role": "assistant", "content": ""}), b"data: [DONE]\n\n", b": c\n\n", b"x"]),
)


@given(st.lists(PIECES, max_size=8).map(b"".join))
def test_runs_are_the_same_bytes_and_what_can_be_passed_on_is_in_as_few_of_them_as_possible(data: bytes) -> None:
    parts = runs(data)
    assert b"".join(parts) == data
    kinds = [passable(part) for part in parts]
    assert not any(first and second for first, second in pairwise(kinds))
    for part, passes in zip(parts, kinds, strict=True):
        assert passes or not any(passable(piece + b"\n\n") for piece in part.split(b"\n\n"))


@pytest.mark.parametrize(
    "data",
    [
        frame({"role": "assistant", "content": "a"}),
        frame({"content": "a"}, finish="stop"),
        frame({"content": "a"}, usage={"total_tokens": 1}),
        frame({"content": "a"}, SPACED, usage={"total_tokens": 1}),
        frame({"content": "a", "tool_calls": []}),
        frame({"reasoning_content": "a"}),
        frame({"content": "a", "reasoning": "b"}),
        frame({}),
        frame({"content": None}),
        frame({"content": "a"}, error={"message": "no"}),
        frame({"content": "a"}) + b"data: [DONE]\n\n",
        frame({"content": "a"})[:-1],
        frame({"content": "a"})[3:],
        frame({"content": "a"}).replace(b"\n", b"\r\n"),
        b": comment\n\n" + frame({"content": "a"}),
        b"event: x\n" + frame({"content": "a"}),
        frame({"content": "a"}).replace(b'"created":1', b'"\\u0065rror":{"message":"no"}'),
        frame({"content": "a"}).replace(b'"logprobs":null', b'"\\u0066inish_reason":"stop"'),
        frame({"content": "a"}) + b": comment\n\n",
        frame({"content": "a"}).replace(b'"index":0', b'"index":1'),
        frame({"content": "a"}).replace(b'"choices":[{', b'"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":null},{'),
        b"data: [DONE]\n\n",
        b"",
    ],
)
def test_whatever_says_more_than_a_piece_of_text_is_read_first(data: bytes) -> None:
    assert not passable(data)


def test_words_that_look_like_keys_are_words() -> None:
    words = '"error" "role" "tool_calls" "usage":{ "finish_reason":"stop" \r\n\n data: {"'
    assert passable(frame({"content": words}))
    assert text_of(frame({"content": words})) == words


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"a"', b'"a\\ud83d"'),
        (b'"a"', b'"a\xff"'),
        (b'"a"', b'"a","content" :5'),
        (b'"a"', b'"a","refusal": "b"'),
        (b'"a"', b'"a","c":[' + b"[" * 100_000),
        (b'"logprobs":null', b'"logprobs":NaN'),
        (b'"logprobs":null', b'"logprobs":\nnull'),
        (b'"logprobs"', b'"finish_reason" :"stop","logprobs"'),
        (b'"logprobs"', b'"\\u0069ndex":1,"logprobs"'),
        (b"}]", b'},{"delta":{"content": "b"},"index": 1}]'),
        (b"}]", b"}]]"),
        (b'"created":1', b'"created":'),
        (b"}]", b"]"),
        (b'"choices":[{', b'"x":{"choices":[{'),
        (b'"choices"', b'"x":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"choices" :[],"y"'),
    ],
)
def test_what_clients_could_read_differently_or_not_at_all_is_not_passed_on(old: bytes, new: bytes) -> None:
    data = frame({"content": "a"}).replace(old, new)
    assert data != frame({"content": "a"})
    assert not passable(data)
    assert not passable(frame({"content": "a"}) + data)


def test_nothing_is_passed_on_before_something_was_said_nor_in_the_middle_of_a_frame() -> None:
    piece = frame({"content": "a"})
    decoder = ChatDecoder("p", "m")
    assert decoder.passed(piece) is None
    assert decoder.feed(piece) == [Delta("a", raw=piece[6:-2])]
    assert isinstance(decoder.passed(piece), Passed)
    decoder.feed(piece[:20])
    assert decoder.passed(piece) is None
    decoder.feed(piece[20:])
    assert isinstance(decoder.passed(piece), Passed)


def test_a_stream_without_end_is_ended_at_its_limit_passed_on_or_not() -> None:
    piece = frame({"content": "a"})
    decoder = ChatDecoder("p", "m", limit=len(piece) * 3)
    heard(decoder, [piece] * 3)
    assert decoder.passed(piece) is None
    with pytest.raises(WireError, match="longer than"):
        decoder.feed(piece)
