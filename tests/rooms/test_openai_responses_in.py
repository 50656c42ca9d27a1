"""What is asked by the Responses API is asked as a chat completion that says the same."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.errors import Invalid
from dagi.services.openai.response_items import items_to_messages
from dagi.services.openai.responses_in import as_chat, chat_fields, nested_tools

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
texts = st.text(max_size=12)
names = st.text("abcdef_", min_size=1, max_size=6)
calls = st.builds(lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}}, names, texts)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@st.composite
def conversations(draw) -> list[dict[str, object]]:
    """Chat messages as agents send them: every call is followed by its result."""
    messages: list[dict[str, object]] = []
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["user", "system", "assistant", "calling"]))
        if kind != "calling":
            messages.append({"role": kind, "content": draw(texts)})
            continue
        made = [{"id": f"call_{number}_{place}", **call} for place, call in enumerate(draw(st.lists(calls, min_size=1, max_size=3)))]
        said = None if messages and messages[-1]["role"] == "assistant" else draw(st.none() | texts)
        if messages and messages[-1]["role"] == "assistant":
            messages[-1]["tool_calls"] = made
        else:
            messages.append({"role": "assistant", "content": said, "tool_calls": made})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in made]
    return messages


def as_items(messages: list[dict[str, object]]) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    for message in messages:
        if message["role"] == "tool":
            items.append({"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]})
            continue
        if message["content"] is not None:
            kind = "output_text" if message["role"] == "assistant" else "input_text"
            items.append({"type": "message", "role": message["role"], "content": [{"type": kind, "text": message["content"]}]})
        items += [
            {"type": "function_call", "id": "fc", "call_id": call["id"], **call["function"]} for call in message.get("tool_calls", ())
        ]
    return items


@given(conversations())
def test_a_conversation_told_as_items_is_the_same_conversation(messages) -> None:
    assert items_to_messages(as_items(messages)) == messages


@given(conversations(), st.randoms())
def test_thoughts_among_the_items_change_nothing(messages, random) -> None:
    items = as_items(messages)
    items.insert(random.randint(0, len(items)), {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "…"})
    assert items_to_messages(items) == messages


@given(
    st.dictionaries(
        st.sampled_from(["model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "include"]), json_values
    )
)
def test_whatever_is_sent_becomes_a_chat_or_an_error_that_names_a_field(body) -> None:
    try:
        chat = chat_fields(body)
    except Invalid as error:
        assert error.facts["field"]
    else:
        assert chat["messages"]
        assert json.dumps(chat)


items = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["message", "function_call", "function_call_output", "custom_tool_call", "reasoning", "web_search_call", None]
        )
    },
    optional=dict.fromkeys(("role", "content", "call_id", "name", "arguments", "output", "input"), json_values),
)


@given(st.lists(items | json_values, max_size=5))
def test_whatever_items_are_sent_become_messages_or_an_error_that_names_a_place(given_items) -> None:
    try:
        messages = items_to_messages(given_items)
    except Invalid as error:
        assert error.facts["field"].startswith("input[")
    else:
        assert all(message["role"] in {"user", "assistant", "system", "developer", "tool"} for message in messages)


def test_everything_that_both_can_say_is_said() -> None:
    tool = {"type": "function", "name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True}
    body = {
        "model": "dagi-stack",
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
                    {"type": "input_file", "file_data": "data:…", "filename": "a.pdf"},
                ],
            },
        ],
        "tools": [tool],
        "tool_choice": {"type": "function", "name": "look"},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}, "verbosity": "low"},
        "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"},
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u",
        "metadata": {"a": "b"},
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "previous_response_id": None,
        "truncation": "auto",
        "prompt_cache_key": "k",
    }
    assert chat_fields(body) == {
        "model": "dagi-stack",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
                    {"type": "file", "file": {"file_data": "data:…", "filename": "a.pdf"}},
                ],
            },
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        "verbosity": "low",
        "max_completion_tokens": 50,
        "reasoning_effort": "low",
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u",
        "metadata": {"a": "b"},
        "stream": True,
        "prompt_cache_key": "k",
    }


def test_tools_in_namespaces_are_passed_on_under_one_name_that_is_the_same_in_every_request() -> None:
    tool = {"type": "function", "name": "spawn", "strict": False, "defer_loading": True}
    spaces = [{"type": "namespace", "name": name, "description": "d", "tools": [tool]} for name in ("agents", "n" * 80)]
    call = {"type": "function_call", "namespace": "agents", "name": "spawn", "call_id": "c", "arguments": "{}"}
    chat = chat_fields({"model": "m", "input": [call], "tools": [LOOK, *spaces], "client_metadata": {"installation": "x"}})
    look, first, long = [one["function"] for one in chat["tools"]]
    assert (look["name"], first) == ("look", {"name": "agents__spawn", "strict": False})
    assert len(long["name"]) == 64
    assert chat["messages"][0]["tool_calls"][0]["function"]["name"] == "agents__spawn"
    assert "client_metadata" not in chat


def test_instructions_of_a_developer_are_those_of_the_system_for_servers_that_know_no_other() -> None:
    assert items_to_messages([{"role": "developer", "content": "Be brief."}]) == [{"role": "system", "content": "Be brief."}]


def test_only_the_tools_that_are_allowed_are_passed_on() -> None:
    tools = [{"type": "function", "name": name} for name in "abc"]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "b"}]}
    chat = chat_fields({"input": "x", "tools": tools, "tool_choice": choice})
    assert (chat["tools"], chat["tool_choice"]) == ([{"type": "function", "function": {"name": "b"}}], "required")


def test_an_allowed_tool_whose_name_is_no_text_is_none_of_those_there_are() -> None:
    choice = {"type": "allowed_tools", "tools": [{"type": "function", "name": ["f"]}, {"type": "function", "name": "f"}]}
    chat = chat_fields({"model": "m", "input": "x", "tools": [{"type": "function", "name": "f"}], "tool_choice": choice})
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["f"]


def test_a_choice_without_tools_is_left_out_for_servers_refuse_it() -> None:
    assert chat_fields({"input": "x", "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}) == {
        "messages": [{"role": "user", "content": "x"}]
    }


def test_words_after_a_call_do_not_come_between_it_and_its_result() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    said = {"role": "assistant", "content": "Looking."}
    result = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "found"}]}
    assert items_to_messages([call, said, result]) == [
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "found"},
    ]


def test_what_an_agent_says_before_each_of_several_calls_does_not_come_between_them_and_their_results() -> None:
    items = [
        {"role": "assistant", "content": "First a."},
        {"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Then b."}]},
        {"type": "function_call", "call_id": "2", "name": "b", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        {"type": "function_call_output", "call_id": "2", "output": "y"},
    ]
    said, *results = items_to_messages(items)
    assert (said["content"], [call["id"] for call in said["tool_calls"]]) == ("First a.\n\nThen b.", ["1", "2"])
    assert [result["tool_call_id"] for result in results] == ["1", "2"]


def test_cursors_own_tools_go_on_in_the_form_of_chat_completions_where_they_are_let_pass() -> None:
    flat = {"type": "custom", "name": "patch", "format": {"type": "text"}}
    nested = {"type": "function", "function": {"name": "look"}}
    made = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "…"}
    body = {"input": [made, {"type": "custom_tool_call_output", "call_id": "c", "output": "done"}], "tools": [flat, nested]}
    chat = chat_fields(body, for_chat=True)
    assert chat["tools"] == [{"type": "custom", "custom": {"name": "patch", "format": {"type": "text"}}}, nested]
    assert chat["messages"][0]["tool_calls"] == [{"id": "c", "type": "custom", "custom": {"name": "patch", "input": "…"}}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"previous_response_id": "resp_1"}, "keeps no responses"),
        ({"conversation": "conv_1"}, "keeps no responses"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "template"),
        ({"top_logprobs": 2}, "chat/completions only"),
        ({"include": ["message.output_text.logprobs"]}, "chat/completions only"),
        ({"tools": [{"type": "web_search"}]}, 'tools[0] is of the type "web_search"'),
        ({"tools": [{"type": "custom", "name": "x"}]}, 'tools[0] is of the type "custom"'),
        ({"tools": [{"type": "function"}]}, "tools[0].name must be a text"),
        ({"tools": {}}, "tools must be a list"),
        ({"tools": [{"type": "namespace", "tools": []}]}, "tools[0].name must be a text"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools must be a list"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [5]}]}, "tools[0].tools[0].name must be a text"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "x"}]}]}, "tools[0].tools[0] is of the type"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": "some"}, "tool_choice must be"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": ["function"]}}, "tool_choice must be"),
        ({"text": {"format": {"type": "yaml"}}}, 'text.format.type is "yaml"'),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"input": None}, "input must be"),
        ({"input": []}, "input says nothing"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, 'input[0] is of the type "item_reference"'),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0]: this server keeps no files",
        ),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x"}]}]}, "fetches none"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role must be one of"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(change, said) -> None:
    with pytest.raises(Invalid) as refused:
        chat_fields({"model": "m", "input": "x", **change})
    assert said in refused.value.message


def test_a_chat_sent_as_one_of_the_responses_api_is_understood_and_any_other_body_left_alone() -> None:
    sent = {"model": "m", "input": "x", "messages": [], "stream_options": {"include_usage": True}, "store": False}
    assert json.loads(as_chat(json.dumps(sent).encode()) or b"") == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "stream_options": {"include_usage": True},
    }
    for other in (b'{"messages":[{"role":"user"}],"input":"x"}', b'{"model":"m"}', b"[]", b"{", b"\xff"):
        assert as_chat(other) is None


@given(json_values)
def test_tools_are_changed_only_where_some_have_the_flat_form(tools) -> None:
    raw = msgspec.Raw(json.dumps(tools).encode())
    changed = nested_tools(raw)
    assert changed is raw or any("name" in tool for tool in tools)


def test_flat_tools_among_nested_ones_are_put_right() -> None:
    nested = {"type": "function", "function": {"name": "look"}}
    flat = {"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": None}
    custom = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}
    other = {"type": "web_search", "name": "w"}
    found = json.loads(bytes(nested_tools(msgspec.Raw(json.dumps([nested, flat, custom, other]).encode()))))
    assert found == [
        nested,
        {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}},
        {
            "type": "custom",
            "custom": {"name": "patch", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}},
        },
        other,
    ]
