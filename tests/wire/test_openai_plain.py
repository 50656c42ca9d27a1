"""The quick way of reading a plain answer gives what the lenient one gives."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagi.ports.target import End
from dagi.targets.models.wire import WireError
from dagi.targets.models.wire.openai_chat import decode_answer, decode_lenient
from dagi.targets.models.wire.openai_plain import decode_plain

ODD = st.sampled_from([None, 0, 1, -1, 2**60, True, "", "x", [], {}, [{"text": "x"}], {"cached_tokens": 3}, {"reasoning_tokens": 2}])
COUNTS = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 50) | ODD, "completion_tokens": st.integers(0, 50) | ODD},
    optional={
        "total_tokens": st.integers(0, 99) | ODD,
        "prompt_cache_hit_tokens": ODD,
        "prompt_tokens_details": ODD,
        "completion_tokens_details": ODD,
    },
)
MESSAGE = st.fixed_dictionaries(
    {"content": st.text(max_size=3) | ODD},
    optional={"role": st.just("assistant"), "refusal": ODD, "reasoning_content": ODD, "reasoning": ODD, "tool_calls": ODD},
)
CHOICE = st.fixed_dictionaries({"message": MESSAGE}, optional={"index": ODD, "finish_reason": ODD | st.just("stop")})
ANSWERS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=2)},
    optional={"model": st.just("m") | ODD, "object": st.just("chat.completion") | ODD, "usage": COUNTS | ODD, "error": ODD},
)


@settings(max_examples=500)
@given(ANSWERS)
def test_both_ways_of_reading_an_answer_agree(answer: dict[str, object]) -> None:
    data = json.dumps(answer).encode()
    try:
        lenient: object = decode_lenient(data, "p", "asked")
    except WireError as error:
        with pytest.raises(WireError) as caught:
            decode_answer(data, "p", "asked")
        assert str(caught.value) == str(error)
        assert decode_plain(data, "p") is None
    else:
        assert decode_answer(data, "p", "asked") == lenient


def test_an_ordinary_answer_takes_the_quick_way() -> None:
    message = {"role": "assistant", "content": "Hi", "refusal": None}
    answer = {
        "id": "x",
        "object": "chat.completion",
        "model": "gpt",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "prompt_tokens_details": {"cached_tokens": 4}},
    }
    events = decode_plain(json.dumps(answer).encode(), "p")
    assert events is not None
    assert isinstance(events[-1], End)


@given(st.binary(max_size=200))
def test_whatever_is_no_answer_is_none(data: bytes) -> None:
    assert decode_plain(data, "p") is None
