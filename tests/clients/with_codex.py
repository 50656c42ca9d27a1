"""OpenAI's coding agent Codex, which speaks the Responses API alone, against a running router: part of `make test-clients`."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
CODEX = Path(__file__).parents[2] / ".clients" / "codex" / "node_modules" / ".bin" / "codex"
SSE = {"Content-Type": "text/event-stream"}
# As docs/openai.md has it, but for the address, and one attempt.
CONFIG = """
model = "dagi-stack"
model_provider = "dagi"
web_search = "disabled"

[model_providers.dagi]
name = "DAGI Stack"
base_url = "{url}/v1"
env_key = "DAGI_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


async def asked(stack, home: Path, config: str = CONFIG) -> tuple[int, list[dict]]:
    work = home / "work"
    work.mkdir()
    (home / "config.toml").write_text(config.format(url=stack.url))
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home), "DAGI_KEY": await stack.key("member")}
    # Not in a sandbox of Codex's own: where bubblewrap is installed it cannot find itself in there, and what it runs is our `echo`.
    command = (str(CODEX), "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--json", "Say it.")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=work, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]


def calling(name: str, *pieces: str, identity: str) -> Answer:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    head = {"index": 0, "id": identity, "type": "function", "function": {"name": name, "arguments": ""}}
    deltas = [head, *({"index": 0, "function": {"arguments": piece}} for piece in pieces)]
    choices: list[dict[str, object]] = [{"index": 0, "delta": {"tool_calls": [delta]}, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    frames = [json.dumps({**chunk, "choices": [choice]}) for choice in choices]
    return Answer(body="".join(f"data: {frame}\n\n" for frame in [*frames, "[DONE]"]).encode(), headers=SSE)


async def test_it_runs_a_command_and_a_tool_of_a_namespace_and_says_the_answer(stack, tmp_path: Path) -> None:
    stack.upstream.script(
        calling("exec_command", '{"cmd":"echo hel', 'lo"}', identity="call_1"),
        calling("multi_agent_v1__close_agent", '{"target":"none"}', identity="call_2"),
        Answer(text="hello"),
    )
    status, events = await asked(stack, tmp_path)
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    assert (status, items[-1]["text"]) == (0, "hello"), events
    assert [item["exit_code"] for item in items if item["type"] == "command_execution"] == [0]
    first, _, last = (heard.body["messages"] for heard in stack.upstream.heard)
    assert {message["role"] for message in first} == {"system", "user"}
    ran, closed = [message for message in last if message["role"] == "tool"]
    assert ("hello" in ran["content"], "invalid agent id" in closed["content"]) == (True, True)


async def test_the_search_it_would_have_the_server_do_is_refused_by_name(stack, tmp_path: Path) -> None:
    status, events = await asked(stack, tmp_path, CONFIG.replace('web_search = "disabled"\n', ""))
    assert (status, "web_search" in events[-1]["error"]["message"]) == (1, True), events
    assert stack.upstream.heard == []
