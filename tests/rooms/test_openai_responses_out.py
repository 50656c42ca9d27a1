"""An answer is told by the events of the Responses API, in OpenAI's order; the official SDK's own types say what is of the right form."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from dagi.errors import Internal, ProviderError
from dagi.message import Usage
from dagi.ports.target import Delta, Thought, ToolCall, Used
from dagi.services.openai.responses_out import Ending, ResponseWriter

EVENT = TypeAdapter(ResponseStreamEvent)
COUNTS = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}
pieces = st.text(max_size=5)


@st.composite
def answers(draw) -> list[object]:
    """Events as providers give them: thoughts, words and calls in any order, a call's pieces together."""
    events: list[object] = []
    for index in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from([Thought, Delta, ToolCall]))
        said = draw(st.lists(pieces, min_size=1, max_size=3))
        if kind is not ToolCall:
            events += [kind(text) for text in said]
            continue
        named = draw(st.sampled_from(["", f"call_{index}"]))
        events += [
            ToolCall(index=index, id="" if place else named, name="" if place else "look", arguments=text)
            for place, text in enumerate(said)
        ]
    return events


def told(events, *, finish: str = "stop", asked: dict[str, object] | None = None) -> list[dict[str, object]]:
    writer = ResponseWriter("1", 1_700_000_000, {"model": "dagi-stack", **(asked or {})})
    return [
        *writer.begin(),
        *(one for event in events for one in writer.hear(event)),
        *writer.end(Ending(at=1_700_000_001, finish_reason=finish, usage=COUNTS)),
    ]


def kinds(events: list[dict[str, object]]) -> list[str]:
    return [str(event["type"]).removeprefix("response.") for event in events]


@given(answers(), st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
def test_every_event_is_of_the_sdks_own_form_and_they_are_counted(events, finish) -> None:
    found = told(events, finish=finish)
    for event in found:
        EVENT.validate_python(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))


@given(answers())
def test_the_pieces_of_every_item_are_its_whole_and_items_come_one_after_another(events) -> None:
    found = told(events)
    output = found[-1]["response"]["output"]
    middle = found[2:-1]
    assert [place for place, _ in groupby(event["output_index"] for event in middle)] == list(range(len(output)))
    for item in output:
        own = [event for event in middle if event["output_index"] == output.index(item)]
        assert (own[0]["type"], own[-1]["type"]) == ("response.output_item.added", "response.output_item.done")
        assert own[-1]["item"] == item
        text = "".join(event["delta"] for event in own if str(event["type"]).endswith("delta"))
        whole = {"reasoning": "summary", "message": "content"}.get(item["type"])
        assert text == (item["arguments"] if whole is None else item[whole][0]["text"])


@given(answers())
def test_nothing_of_the_answer_is_lost(events) -> None:
    response = Response.model_validate(told(events)[-1]["response"])
    assert response.output_text == "".join(event.text for event in events if isinstance(event, Delta))
    arguments = [
        "".join(piece.arguments for piece in group)
        for _, group in groupby((event for event in events if isinstance(event, ToolCall)), key=lambda call: call.index)
    ]
    assert [item.arguments for item in response.output if item.type == "function_call"] == [one or "{}" for one in arguments]


def test_words_are_told_in_openais_order() -> None:
    assert kinds(told([Thought("hm"), Delta("Hel"), Used(Usage()), Delta("lo")])) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_calls_are_told_in_openais_order_and_one_without_an_id_gets_one() -> None:
    found = told(
        [ToolCall(index=0, name="look", arguments='{"a"'), ToolCall(index=0, arguments=":1}"), ToolCall(index=1, id="c2", name="go")]
    )
    assert kinds(found)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    calls = [(item["call_id"], item["name"], item["arguments"]) for item in found[-1]["response"]["output"]]
    assert calls == [("call_1_0", "look", '{"a":1}'), ("c2", "go", "{}")]


def test_servers_that_number_every_call_the_same_are_understood_by_the_ids() -> None:
    found = told([ToolCall(index=0, id="a", name="look", arguments="1"), ToolCall(index=0, id="b", name="look", arguments="2")])
    assert [(item["call_id"], item["arguments"]) for item in found[-1]["response"]["output"]] == [("a", "1"), ("b", "2")]


def test_calls_whose_pieces_come_in_turns_are_told_one_after_another() -> None:
    pieces = [
        ToolCall(index=0, id="a", name="f", arguments='{"x"'),
        ToolCall(index=1, id="b", name="g", arguments='{"y"'),
        Delta("both"),
        ToolCall(index=0, arguments=":1}"),
        ToolCall(index=1, arguments=":2}"),
    ]
    found = told(pieces, finish="tool_calls")
    output = found[-1]["response"]["output"]
    assert [(item["type"], item.get("arguments"), item["status"]) for item in output] == [
        ("function_call", '{"x":1}', "completed"),
        ("function_call", '{"y":2}', "completed"),
        ("message", None, "completed"),
    ]
    assert [event["item"] for event in found if event["type"] == "response.output_item.done"] == output
    places = [event["output_index"] for event in found if "output_index" in event]
    assert places == sorted(places)


def test_calls_in_turns_that_are_cut_short_are_incomplete_where_they_are() -> None:
    pieces = [
        ToolCall(index=0, id="a", name="f", arguments='{"x"'),
        ToolCall(index=1, id="b", name="g"),
        ToolCall(index=2, id="c", name="h"),
    ]
    last = told(pieces, finish="length")[-1]
    assert [item["status"] for item in last["response"]["output"]] == ["incomplete", "completed", "incomplete"]


def test_a_call_of_a_tool_in_a_namespace_tells_both_names_apart_again() -> None:
    tools = [{"type": "namespace", "name": "agents", "description": "d", "tools": [{"type": "function", "name": "spawn"}]}]
    found = told([ToolCall(index=0, id="a", name="agents__spawn", arguments="{}")], asked={"tools": tools})
    (item,) = found[-1]["response"]["output"]
    assert (item["namespace"], item["name"]) == ("agents", "spawn")
    for event in found:
        EVENT.validate_python(event)


def test_a_call_that_goes_on_after_it_was_told_as_complete_is_an_error() -> None:
    with pytest.raises(ProviderError, match="went on"):
        told(
            [
                ToolCall(index=0, id="a", name="f", arguments="{}"),
                ToolCall(index=1, id="b", name="g"),
                ToolCall(index=0, arguments='{"x":1}'),
            ]
        )


def test_the_response_repeats_the_request_and_counts_tokens_under_its_own_names() -> None:
    asked = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "tools": [{"type": "function", "name": "f"}],
        "store": True,
        "truncation": "auto",
    }
    response = told([Delta("x")], asked=asked)[-1]["response"]
    assert {name: response[name] for name in asked} == {**asked, "store": False, "truncation": "disabled"}
    assert (response["id"], response["status"], response["model"]) == ("resp_1", "completed", "dagi-stack")
    assert response["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_short_is_incomplete_and_says_why(finish: str, reason: str) -> None:
    last = told([Delta("x")], finish=finish)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert last["response"]["incomplete_details"] == {"reason": reason}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_an_answer_that_broke_off_has_failed_and_a_defect_of_ours_tells_nothing_of_itself() -> None:
    writer = ResponseWriter("1", 1, {"model": "m"})
    heard = [*writer.begin(), *writer.hear(Delta("x"))]
    (last,) = writer.fail(Internal("a secret"), "1")
    EVENT.validate_python(last)
    assert (last["type"], last["sequence_number"], last["response"]["status"]) == ("response.failed", len(heard), "failed")
    assert last["response"]["error"]["code"] == "server_error"
    assert "secret" not in str(last)
