"""OpenAI's SDK for Node against a running router. `make test-clients` runs this where Node is found."""

import asyncio
import json
from pathlib import Path

import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
SSE = {"Content-Type": "text/event-stream"}


async def asked(stack, scenario: str, *, key: str | None = None) -> dict:
    script = Path(__file__).with_name("openai_node.mjs")
    command = ("node", str(script), str(ROOT / ".clients" / "node"), f"{stack.url}/v1", key or await stack.key("member"), scenario)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return json.loads(out.decode().strip().splitlines()[-1])


async def test_models_are_listed_and_found(stack) -> None:
    told = await asked(stack, "models")
    assert "dagi-stack" in told["listed"]
    assert told["one"] == "dagi-stack"


async def test_a_whole_answer_with_its_request_id(stack) -> None:
    stack.upstream.script(Answer(text="Hello, Node."))
    told = await asked(stack, "whole")
    assert told.pop("request_id")
    assert told == {"text": "Hello, Node.", "finish_reason": "stop", "usage": 9}


async def test_a_stream_with_its_usage(stack) -> None:
    stack.upstream.script(Answer(text="Hello, dear Node."))
    assert await asked(stack, "stream") == {"text": "Hello, dear Node.", "finish_reason": "stop", "usage": 10}


async def test_the_helper_for_streams_puts_a_tool_call_together(stack) -> None:
    about = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    first = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "vote", "arguments": ""}}
    deltas: list[tuple[dict[str, object], str | None]] = [
        ({"role": "assistant", "content": None, "tool_calls": [first]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": '{"proposal"'}}]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": ": 7}"}}]}, None),
        ({}, "tool_calls"),
    ]
    chunks = [{**about, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas]
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    stack.upstream.script(Answer(body=body, headers=SSE))
    told = await asked(stack, "tools")
    assert told == {"id": "call_a", "name": "vote", "arguments": '{"proposal": 7}', "finish_reason": "tool_calls"}


@pytest.mark.parametrize(
    ("scenario", "key", "raised", "status"), [("whole", "dagi_wrong", "AuthenticationError", 401), ("absent", None, "NotFoundError", 404)]
)
async def test_errors_are_of_the_right_class(stack, scenario: str, key: str | None, raised: str, status: int) -> None:
    told = await asked(stack, scenario, key=key)
    assert (told["raised"], told["status"]) == (raised, status)


async def test_what_was_tried_already_is_not_tried_again(stack) -> None:
    stack.upstream.script(*[Answer(status=500)] * 20)
    told = await asked(stack, "alone")
    assert (told["raised"], told["status"]) == ("InternalServerError", 502)
    # As often as the provider's own `retry` says, and not three times that.
    assert len(stack.upstream.heard) == 2


async def test_a_stream_that_breaks_off_raises(stack) -> None:
    stack.upstream.script(Answer(text="One two three.", reset_after=1))
    assert "raised" in await asked(stack, "stream")


async def test_whoever_leaves_a_stream_stops_the_model(stack) -> None:
    stack.upstream.script(Answer(text="One two three.", hang_after=1))
    assert await asked(stack, "leave") == {"left": True}
    await stack.upstream.until(lambda: stack.upstream.disconnects == 1 and stack.upstream.active == 0)
