"""`dagi chat` on a real terminal and without one, beside a stack in the test's own process."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import yaml

from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.process]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x1b\][^\x07]*\x07")


def options(stack, tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "own.yml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "own")}), encoding="utf-8")
    return ("--dao", "greenfood-dao", "--as", "tg:12345", "--url", stack.url, "--config", str(path), "--profile", "dev")


def environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("DAGI")}, "TERM": "xterm"}


async def piped(stack, tmp_path: Path, stdin: str, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", "chat", *arguments, *options(stack, tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    return process.returncode or 0, out.decode(), err.decode()


class Terminal:
    """A person at a terminal: types, and waits until something is shown."""

    def __init__(self, line: int, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.shown = ""
        self.line = line
        self._looked = 0

    def receive(self) -> None:
        try:
            self.shown += os.read(self.line, 65536).decode("utf-8", "replace")
        except OSError:
            asyncio.get_running_loop().remove_reader(self.line)

    async def types(self, text: str) -> None:
        """Type once there is a prompt: what is typed before is the terminal's own to interpret."""
        await self.sees(">")
        os.write(self.line, text.encode())

    async def sees(self, text: str) -> None:
        """Wait until the text is shown after what was seen before."""
        async with asyncio.timeout(30):
            while (at := (read := ESCAPES.sub("", self.shown)).find(text, self._looked)) < 0:
                assert self.process.returncode is None or text in read[self._looked :], self.shown
                await asyncio.sleep(0.01)
        self._looked = at + len(text)


@asynccontextmanager
async def terminal(stack, tmp_path: Path, *arguments: str) -> AsyncGenerator[Terminal]:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", "chat", *arguments, *options(stack, tmp_path)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        start_new_session=True,
        # The terminal is the session's own, so that Ctrl-C reaches it as a signal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    found = Terminal(ours, process)
    asyncio.get_running_loop().add_reader(ours, found.receive)
    try:
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


def rows(stack, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(str(stack.database))) as connection:
        return connection.execute(query).fetchall()


async def test_a_conversation_on_a_terminal_remembers_can_be_interrupted_and_goes_on(stack, tmp_path: Path) -> None:
    stack.upstream.script(
        Answer(text="I am a \x1b[2Jmodel."), Answer(text="This takes for ever and ever", hang_after=3), Answer(text="Back again.")
    )
    async with terminal(stack, tmp_path) as person:
        await person.sees("/help tells")
        await person.types("Who are you?\r")
        await person.sees("I am a [2Jmodel.")
        await person.sees("model (scripted)")
        await person.types("Tell me\x1b\rmore\\\rand more\r")
        await person.sees("This takes for")
        os.write(person.line, b"\x03")
        await person.sees("(stopped)")
        await stack.upstream.until(lambda: stack.upstream.disconnects == 1)
        stack.upstream.release()
        await person.types("Still there?\r")
        await person.sees("Back again.")
        await person.types("thrown away\x03")
        await person.types("/nonsense\r")
        await person.sees("There is no command /nonsense")
        await person.types("/sessions\r")
        await person.sees("Who are you?")
        await person.types("\x04")
        assert await asyncio.wait_for(person.process.wait(), 10) == 0
    await eventually(lambda: len(rows(stack, "SELECT 1 FROM exchange")) == 3)
    told = rows(stack, "SELECT prompt, outcome, session_id FROM exchange ORDER BY id")
    assert [(prompt, outcome) for prompt, outcome, _ in told] == [
        ("Who are you?", "ok"),
        ("Tell me\nmore\nand more", "cancelled"),
        ("Still there?", "ok"),
    ]
    assert len({session for _, _, session in told}) == 1
    last = stack.upstream.heard[-1].body["messages"]
    assert [turn["content"] for turn in last[1:]] == ["Who are you?", "I am a \x1b[2Jmodel.", "Still there?"]


async def test_a_session_is_resumed_by_its_id_or_as_the_latest_and_shows_how_it_ended(stack, tmp_path: Path) -> None:
    stack.upstream.script(Answer(text="Noted."), Answer(text="Bees."))
    await stack.route("I keep bees.", metadata={"session_id": "cli-bees"})
    async with terminal(stack, tmp_path, "--resume") as person:
        await person.sees("Noted.")
        await person.sees("Session cli-bees")
        await person.types("What do I keep?\r")
        await person.sees("Bees.")
        await person.types("/new\r")
        await person.sees("Session cli-")
        await person.types("/resume cli-bees\r")
        await person.sees("What do I keep?")
        await person.types("/quit\r")
        assert await asyncio.wait_for(person.process.wait(), 10) == 0
    assert "I keep bees." in json.dumps(stack.upstream.heard[-1].body)
    status, _, err = await piped(stack, tmp_path, "", "--resume", "nobodys")
    assert (status, "no session of that id" in err) == (4, True)


async def test_without_a_terminal_every_line_is_a_question_and_only_answers_are_printed(stack, tmp_path: Path) -> None:
    stack.upstream.script(Answer(text="One."), Answer(text="Two."))
    status, out, err = await piped(stack, tmp_path, "first?\n\n  \nsecond?\n")
    assert (status, out) == (0, "One.\nTwo.\n"), err
    assert "first?" in json.dumps(stack.upstream.heard[-1].body)
    status, out, _ = await piped(stack, tmp_path, "", "--list", "--json")
    (session,) = json.loads(out)
    assert (session["title"], session["exchanges"]) == ("first?", 2)
    status, out, _ = await piped(stack, tmp_path, "/history\n//help\n/help\n/quit\nnever asked\n", "--resume", session["session_id"])
    assert status == 0
    assert "> first?\nOne." in out
    assert "/resume [ID]" in out
    assert stack.upstream.heard[-1].body["messages"][-1]["content"] == "/help"


async def test_a_question_that_fails_is_told_and_the_next_one_is_asked(stack, tmp_path: Path) -> None:
    long = "x" * 2_000_000
    status, out, err = await piped(stack, tmp_path, f"{long[:1_048_000]}{'y' * 2000}\nsecond?\n")
    assert "second?" in out
    assert status in {1, 2}
    assert "larger than" in err or "body" in err


async def test_an_interruption_without_a_terminal_ends_the_program_and_the_answer(stack, tmp_path: Path) -> None:
    stack.upstream.script(Answer(text="for ever and ever", hang_after=2))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", "chat", *options(stack, tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    process.stdin.write(b"first?\nsecond?\n")
    assert await asyncio.wait_for(process.stdout.read(3), 30) == b"for"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 10) == 130
    await eventually(lambda: rows(stack, "SELECT outcome FROM exchange") == [("cancelled",)])


async def test_a_chat_without_a_stack_or_with_options_that_do_not_go_together_says_so(stack, tmp_path: Path) -> None:
    stack.url = "http://127.0.0.1:1"
    status, _, err = await piped(stack, tmp_path, "hello\n")
    assert (status, "dagi serve" in err) == (1, True)
    for arguments in (("cli-x",), ("--json",)):
        status, _, err = await piped(stack, tmp_path, "", *arguments)
        assert (status, "Traceback" in err) == (2, False)
