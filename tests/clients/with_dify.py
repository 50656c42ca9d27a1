"""Dify's own class for OpenAI-compatible models against a running router. `make test-clients` runs this where a Python 3.12 is found."""

import asyncio
import json
from pathlib import Path

import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".clients" / "dify" / "bin" / "python"
SSE = {"Content-Type": "text/event-stream"}


async def asked(stack, scenario: str, *, path: str = "/v1", key: str | None = None) -> dict:
    command = (str(PYTHON), str(Path(__file__).with_name("dify_model.py")), stack.url + path, key or await stack.key("member"), scenario)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return json.loads(out.decode().strip().splitlines()[-1])


def frame(delta: dict[str, object], finish_reason: str | None = None) -> bytes:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    return b"data: " + json.dumps({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}).encode() + b"\n\n"


@pytest.mark.parametrize("path", ["/v1", "/v1/", ""])
async def test_the_model_is_saved_whatever_base_url_was_written(stack, path: str) -> None:
    assert await asked(stack, "save", path=path) == {"saved": True}


async def test_a_wrong_key_is_told_when_saving(stack) -> None:
    told = await asked(stack, "save", key="dagi_wrong")
    assert told["raised"] == "CredentialsValidateFailedError"
    assert "401" in told["says"]


async def test_a_whole_answer(stack) -> None:
    stack.upstream.script(Answer(text="Hello, Dify."))
    assert await asked(stack, "whole") == {"text": "Hello, Dify.", "usage": [7, 2]}


async def test_a_stream_with_its_end_and_its_usage(stack) -> None:
    stack.upstream.script(Answer(text="Hello, dear Dify."))
    assert await asked(stack, "stream") == {"text": "Hello, dear Dify.", "calls": [], "finish_reason": "stop", "usage": [7, 3]}


async def test_tools_are_called_and_what_they_say_is_heard(stack) -> None:
    head = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "vote", "arguments": ""}}
    parts = [{"index": 0, "function": {"arguments": part}} for part in ('{"proposal"', ": 7}")]
    told = frame({"role": "assistant", "content": None, "tool_calls": [head]})
    told += b"".join(frame({"tool_calls": [part]}) for part in parts)
    stack.upstream.script(Answer(body=told + frame({}, "tool_calls") + b"data: [DONE]\n\n", headers=SSE), Answer(text="You voted."))
    result = await asked(stack, "tools")
    assert result["asked"]["calls"] == [["call_a", "vote", '{"proposal": 7}']]
    assert (result["asked"]["finish_reason"], result["then"]["text"]) == ("tool_calls", "You voted.")
    turns = stack.upstream.heard[-1].body["messages"][-3:]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool"]
    assert turns[2]["tool_call_id"] == "call_a"


async def test_texts_become_vectors(start) -> None:
    def with_embeddings(settings: dict[str, object]) -> None:
        for provider in settings["llm_providers"]:
            provider["config"]["embedding_model"] = "vectors"

    async with start(with_embeddings) as stack:
        assert await asked(stack, "embed") == {"vectors": [[1, 0, 0, 0], [3, 0, 0, 0], [2, 0, 0, 0]], "tokens": 9}
        # Saving the model, then each text by itself.
        assert [heard.body["input"] for heard in stack.upstream.heard] == [["ping"], ["a"], ["bbb"], ["cc"]]


async def test_an_answer_that_breaks_off_is_an_error(stack) -> None:
    stack.upstream.script(Answer(text="One two three.", reset_after=1))
    told = await asked(stack, "stream")
    assert "raised" in told, told


async def test_a_refusal_says_in_dify_what_happened(stack) -> None:
    told = await asked(stack, "whole", key="dagi_wrong")
    assert told["raised"].startswith("Invoke")
    assert "The key is unknown, revoked or expired." in told["says"]
