"""What is sent: turns and wishes of OpenAI's clients in each protocol's own words."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.errors import CannotDo
from dagi.message import Call, Turn
from dagi.targets.models.wire.ollama_request import encode_request, further, image_data
from dagi.targets.models.wire.openai_request import encode_request as encode_openai
from dagi.targets.models.wire.openai_turns import plain
from dagi.targets.models.wishes import refuse

RAW = msgspec.Raw(b"{}")
FUNCTION = {"name": "f", "parameters": {"type": "object"}}


def wishes(**values: object) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in values.items()}


def told(*turns: Turn) -> list[dict[str, object]]:
    return json.loads(encode_request("m", turns, parameters={}))["messages"]


def test_a_turn_is_sent_as_it_came_where_it_came_in_that_form() -> None:
    raw = msgspec.Raw(b'{"role":"user","content":[ ],"x":1}')
    assert b'"messages":[{"role":"user","content":[ ],"x":1}]' in encode_openai("m", [Turn("user", "", raw)], defaults={})


def test_a_null_leaves_our_own_parameter_and_passes_where_we_have_none() -> None:
    options = msgspec.Raw(b'{"temperature":null,"max_completion_tokens":null,"max_tokens":null,"stop":null}')
    sent = json.loads(encode_openai("m", [], defaults={"temperature": 0.5, "max_tokens": 9}, options=options, stream=False))
    assert sent == {"model": "m", "messages": [], "temperature": 0.5, "max_tokens": 9, "stop": None, "stream": False}


def test_the_token_limit_that_says_something_counts() -> None:
    options = msgspec.Raw(b'{"max_tokens":null,"max_completion_tokens":4}')
    assert json.loads(encode_openai("m", [], defaults={"max_tokens": 9}, options=options))["max_tokens"] == 4


def test_ollama_gets_calls_as_objects_and_results_with_the_name_of_the_tool() -> None:
    calls = (Call("a", "f", '{"x":1}'), Call("b", "g", "not json"), Call("c", "h", ""), Call("d", "i", "[" * 9000))
    first, *results = told(Turn("assistant", "", RAW, calls), Turn("tool", "r", RAW, call_id="b"), Turn("function", "s", RAW, name="old"))
    assert [call["function"] for call in first["tool_calls"]] == [
        {"name": "f", "arguments": {"x": 1}},
        {"name": "g", "arguments": {"arguments": "not json"}},
        {"name": "h", "arguments": {}},
        {"name": "i", "arguments": {"arguments": "[" * 9000}},
    ]
    assert results == [
        {"role": "tool", "content": "r", "tool_name": "g"},
        {"role": "tool", "content": "s", "tool_name": "old"},
    ]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"tools": [{"type": "function", "function": FUNCTION}]}, {"tools": [{"type": "function", "function": FUNCTION}]}),
        ({"tools": [{"type": "function", **FUNCTION}]}, {"tools": [{"type": "function", "function": FUNCTION}]}),
        ({"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "none"}, {}),
        ({"tools": None}, {}),
        ({"response_format": {"type": "json_object"}}, {"format": "json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}},
            {"format": {"type": "array"}},
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"type": "array"}}}, {"format": {"type": "array"}}),
        ({"response_format": {"type": "text"}}, {"format": None}),
        ({"response_format": "json"}, {"format": None}),
        ({"reasoning_effort": "none"}, {"think": False}),
        ({"reasoning_effort": "high"}, {"think": True}),
        ({"reasoning_effort": None}, {}),
    ],
)
def test_ollama_has_its_own_words_for_tools_forms_and_thinking(wish: dict[str, object], expected: dict[str, object]) -> None:
    assert further(wishes(**wish), think=False) == expected


def test_a_model_that_knows_levels_is_told_the_level() -> None:
    assert further(wishes(reasoning_effort="high"), think="low") == {"think": "high"}


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("data:image/png;base64,iVBO", "iVBO"),
        ("data:image/svg+xml;base64,PHN2", "PHN2"),
        ("https://example.org/a.png", None),
        ("data:text/plain;base64,YQ==", None),
        ("data:image/png,raw", None),
        ("data:image/png;base64,", None),
        ("file:///etc/passwd", None),
    ],
)
def test_only_an_image_that_is_in_its_address_is_one(url: str, data: str | None) -> None:
    assert image_data(url) == data


def test_the_common_part_of_a_turn_in_openais_form() -> None:
    turns = [
        Turn("developer", "Be brief.", RAW),
        Turn("user", "What?", RAW, images=("data:image/png;base64,AA==",)),
        Turn("assistant", "", RAW, (Call("c", "f", ""), Call("", "g", "{}"))),
        Turn("tool", "r", RAW, call_id="c"),
        Turn("function", "s", RAW, name="g"),
    ]
    assert [plain(turn) for turn in turns] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "g", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "r", "tool_call_id": "c"},
        {"role": "tool", "content": "s", "tool_call_id": "g"},
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from(["type", "schema", "json_schema", "function"]), one),
    max_leaves=6,
)
NAMES = ("tools", "tool_choice", "response_format", "reasoning_effort", "n", "logprobs", "modalities", "function_call", "audio")


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_no_wish_of_any_form_breaks_the_translation_or_the_refusal(wish: dict[str, object]) -> None:
    json.dumps(further(wishes(**wish), think=None))
    with suppress(CannotDo):
        refuse("p", wishes(**wish), frozenset(NAMES) - {"reasoning_effort"}, "it cannot")
