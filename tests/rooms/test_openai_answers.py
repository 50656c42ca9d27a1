"""OpenAI's form of answers: what is passed on, mended, made."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.errors import CannotDo, NotConfigured, ProviderError
from dagi.message import Grant, Message, Sender, Turn, Usage
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Delta, End, Event, Other, Thought, ToolCall, Used
from dagi.services.openai.answers import whole_answer
from dagi.services.openai.frames import ChatFrames
from dagi.targets.resilience.fallback import Fallback
from dagi.testing.clock import FakeClock
from dagi.testing.targets import ScriptedTarget

MESSAGE = Message(id="r1", sender=Sender(dao_id="d", user_id="u"), prompt="Hi", conversation=(Turn("user", "Hi, who are you?"),))
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PROPER: dict[str, object] = {
    "id": "u1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def exchange(*events: Event) -> Exchange:
    made = Exchange(MESSAGE, at=datetime(2026, 11, 22, tzinfo=UTC), started=0.0)
    for event in events:
        made.hear(event)
    return made


def told(raw: object, *events: Event) -> dict[str, object]:
    data = json.dumps(raw).encode()
    return json.loads(whole_answer(exchange(*events, End(provider="p", model="m", raw=data)), "asked"))


def test_a_proper_answer_is_not_touched() -> None:
    data = json.dumps(PROPER, indent=1).encode()
    assert whole_answer(exchange(ToolCall(index=0, id="c", name="f"), End(provider="p", model="m", raw=data)), "asked") is data


@pytest.mark.parametrize("missing", ["id", "object", "created", "model", "usage"])
def test_what_is_missing_is_put_there_and_nothing_else_changes(missing: str) -> None:
    counted = Used(Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3))
    mended = told({name: value for name, value in PROPER.items() if name != missing}, counted)
    assert mended.keys() == PROPER.keys()
    assert {name: value for name, value in mended.items() if name != missing} == {name: PROPER[name] for name in PROPER if name != missing}


def test_calls_get_ids_texts_as_arguments_and_their_reason() -> None:
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"id": "", "function": {"name": "g"}}]
    answer = told({**PROPER, "choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]})
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_r1_0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "call_r1_1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_an_answer_of_events_alone_is_made() -> None:
    events = [Thought("hm"), ToolCall(index=1, name="f", arguments='{"a"'), ToolCall(index=1, arguments=":1}"), Used(Usage(total_tokens=3))]
    made = json.loads(whole_answer(exchange(*events, End(provider="p", model="m")), "asked"))
    assert made == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1795305600,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "hm",
                    "tool_calls": [{"id": "call_r1_0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 3},
    }


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.sampled_from(["message", "tool_calls", "function", "choices", "id"]), one),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*PROPER]), ODD), st.binary(max_size=20))
def test_whatever_the_upstream_sends_the_answer_can_be_read(odd: dict[str, object], tail: bytes) -> None:
    for raw in (json.dumps({**PROPER, **odd}).encode(), json.dumps(odd).encode() + tail):
        answer = json.loads(whole_answer(exchange(Delta("Hi"), End(provider="p", model="m", raw=raw)), "asked"))
        assert answer["object"] == "chat.completion"
        assert answer["usage"]


PIECES = st.one_of(
    st.builds(Delta, st.text(max_size=3)),
    st.builds(Thought, st.text(max_size=3)),
    st.builds(
        ToolCall,
        index=st.integers(0, 2),
        id=st.sampled_from(["", "a", "b"]),
        name=st.sampled_from(["", "f"]),
        arguments=st.text(max_size=3),
    ),
)


@given(st.lists(PIECES, max_size=8), st.sampled_from(["stop", "length", "odd"]), st.booleans())
def test_any_events_give_a_stream_in_order(events: list[Event], reason: str, usage: bool) -> None:
    made = exchange(*events)
    frames = ChatFrames(made, "asked", usage_asked=usage)
    stream = b"".join(frames.frame(event) or b"" for event in events)
    end = End(provider="p", model="m", finish_reason=reason)
    made.hear(end)
    assert frames.frame(end) is None
    *parts, done, rest = (stream + frames.ending(made)).decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    told = [json.loads(part.removeprefix("data: ")) for part in parts]
    deltas = [frame["choices"][0]["delta"] for frame in told if frame["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert not any("role" in delta for delta in deltas[1:])
    text = "".join(event.text for event in events if isinstance(event, Delta))
    assert "".join(delta.get("content") or "" for delta in deltas) == text
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    ids = [call["id"] for call in calls if "id" in call]
    assert len(ids) == len(set(ids)) == len({call["index"] for call in calls})
    assert bool(told[-1].get("usage")) is usage


def test_a_piece_without_a_name_is_passed_on_after_the_role() -> None:
    frames = ChatFrames(exchange(), "asked", usage_asked=False)
    first, second, rest = (frames.frame(Other(b'{"x":1}')) or b"").split(b"\n\n")
    assert b'"role":"assistant"' in first
    assert (second, rest) == (b'data: {"x":1}', b"")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("others", "tells"),
    [
        ([NotConfigured("no key", provider="b")], CannotDo),
        ([ProviderError("down", provider="b")], ProviderError),
        ([CannotDo("neither", provider="b", field="n")], CannotDo),
    ],
)
async def test_who_cannot_do_it_tells_less_than_who_could_and_failed(others: list[Exception], tells: type[Exception]) -> None:
    scripts = [CannotDo("cannot", provider="a", field="n"), *others]
    chain = Fallback([(f"t{place}", ScriptedTarget([error])) for place, error in enumerate(scripts)], FakeClock())
    with pytest.raises(tells) as caught:
        _ = [event async for event in chain.open(MESSAGE, Grant(dao_id="d", user_id="u"))]
    assert caught.value.field if hasattr(caught.value, "field") else caught.value.facts


def test_the_record_of_an_answer_without_text_is_what_was_to_be_called() -> None:
    assert exchange(ToolCall(index=0, name="f", arguments="{}")).record == "f({})"
    assert exchange(Delta("a"), ToolCall(index=0, name="f", arguments="{}")).record == "a"


def test_a_frame_is_json_whatever_stands_in_its_head() -> None:
    frames = ChatFrames(exchange(), 'a"\n', usage_asked=True)
    frame = frames.frame(Delta("x")) or b""
    assert [msgspec.json.decode(one.removeprefix(b"data: "))["model"] for one in frame.split(b"\n\n")[:-1]] == ['a"\n', 'a"\n']
