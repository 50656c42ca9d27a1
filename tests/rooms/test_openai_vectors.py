"""Vectors in either form hold the same numbers; the wire codecs keep order and index."""

import base64
import json
import struct
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.message import Sender
from dagi.ports.embeddings import Batch
from dagi.services.openai.vectors import length, spelled
from dagi.targets.models.wire import WireError
from dagi.targets.models.wire.embeddings import decode_answer, decode_ollama, encode_ollama, encode_request

numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8)


def batch(*texts: str, **more: object) -> Batch:
    return Batch(id="1", sender=Sender(dao_id="d", user_id="key:1"), texts=texts, **more)


def as_list(values: list[float]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(values).encode())


def as_base64(values: list[float]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()).encode())


@given(numbers)
def test_a_vector_has_the_same_numbers_and_length_in_either_form(values) -> None:
    compact = spelled(as_list(values), compact=True)
    assert bytes(compact) == bytes(as_base64(values))
    assert json.loads(bytes(spelled(compact, compact=False))) == values
    assert length(compact) == length(as_list(values)) == len(values)


@given(numbers)
def test_a_vector_that_has_the_form_already_is_not_touched(values) -> None:
    for vector, compact in ((as_list(values), False), (as_base64(values), True)):
        assert spelled(vector, compact=compact) is vector


@given(st.binary(max_size=20) | st.text(max_size=8).map(lambda text: json.dumps(text).encode()) | st.just(b'["a"]') | st.just(b"[1e300]"))
def test_what_is_no_vector_is_said_to_be_none(data) -> None:
    for compact in (True, False):
        with suppress(ValueError):
            assert spelled(msgspec.Raw(data or b"x"), compact=compact)


@given(st.permutations(range(5)))
def test_the_order_is_the_texts_whatever_the_order_of_the_answer(places) -> None:
    data = [{"index": place, "embedding": [float(place)]} for place in places]
    embedded = decode_answer(json.dumps({"data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}).encode(), batch(*"abcde"), "m")
    assert [json.loads(bytes(vector)) for vector in embedded.vectors] == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert (embedded.model, embedded.usage.total_tokens) == ("m", 4)


@pytest.mark.parametrize("places", [[0], [0, 0], [0, 2], [1, 2], [0, 1, 2], [-1, 0]])
def test_an_answer_without_one_vector_for_each_text_is_unusable(places: list[int]) -> None:
    data = json.dumps({"data": [{"index": place, "embedding": [1]} for place in places]}).encode()
    with pytest.raises(WireError):
        decode_answer(data, batch("a", "b"), "m")


@given(st.binary(max_size=40) | st.recursive(st.none() | st.text(max_size=3), st.lists, max_leaves=4).map(lambda x: json.dumps(x).encode()))
def test_whatever_a_server_answers_is_vectors_or_unusable(data) -> None:
    for decode in (decode_answer, decode_ollama):
        with pytest.raises(WireError):
            decode(data, batch("a"), "m")


def test_requests_say_what_the_batch_says_in_the_words_of_the_server() -> None:
    wished = batch("a", "b", dimensions=2, compact=True, options=msgspec.Raw(b'{"user":"u","model":"other","input":"other"}'))
    assert json.loads(encode_request("m", wished)) == {
        "model": "m",
        "input": ["a", "b"],
        "dimensions": 2,
        "encoding_format": "base64",
        "user": "u",
    }
    assert json.loads(encode_ollama("m", wished, "5m")) == {
        "model": "m",
        "input": ["a", "b"],
        "truncate": False,
        "dimensions": 2,
        "keep_alive": "5m",
    }


def test_a_batch_counts_its_texts_or_the_numbers_of_their_tokens() -> None:
    assert (batch("x" * 8, "ї" * 2).tokens(), batch("a", "b").size) == (3, 2)
    numbered = batch(tokenised=((1, 2, 3), (4,)))
    assert (numbered.tokens(), numbered.size) == (4, 2)
