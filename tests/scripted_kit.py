"""A kit of developer tools that does nothing but what its test says: small, and real to the toolbox around it."""

import asyncio
from typing import Annotated, Any

import msgspec

from dagi.errors import Missing
from dagi.targets.devtools.tool import Call, InWorkspace, Tool

MISSING = "missing.txt"


class Reading(InWorkspace):
    """What `fs_read` takes here."""

    path: Annotated[str, msgspec.Meta(description="A file's name.", min_length=1)]
    lines: Annotated[int, msgspec.Meta(description="How many.", ge=1, le=1000)] = 10


class Writing(InWorkspace):
    """What `fs_write` takes here."""

    path: str
    content: str


class Running(InWorkspace):
    """What `run_tests` takes here."""

    paths: tuple[str, ...] = ()


class Given(msgspec.Struct):
    """What each of them gives."""

    path: str
    text: str = ""


class Ran(msgspec.Struct):
    """What `run_tests` gives here."""

    outcome: str
    tests: list[str]


class ScriptedKit:
    """Three tools: one that reads, one that writes, one that runs.

    Attributes:
        calls: the calls that came, in order.
        go_on: `run_tests` waits for it.
        running: how many of them run now, and `most` at once; `ended` by being cancelled.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.running = self.most = self.ended = 0

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        """See `dagi.targets.devtools.tool.Kit`."""
        return (
            Tool(name="fs_read", summary="Read a file", takes=Reading, gives=Given, work=self.read),
            Tool(name="fs_write", summary="Write a file", takes=Writing, gives=Given, work=self.write),
            Tool(name="run_tests", summary="Run tests", takes=Running, gives=Ran, work=self.run, runs=True),
        )

    async def read(self, call: Call, takes: Reading) -> Given:
        """Give the file's name and some text; one file is not there."""
        self.calls.append(call)
        if takes.path == MISSING:
            raise Missing("There is no such file.", path=takes.path)
        if takes.path == "defect":
            raise ZeroDivisionError
        return Given(takes.path, f"{takes.lines} lines of {takes.path} in {call.grant.dao_id}/{takes.workspace}")

    async def write(self, call: Call, takes: Writing) -> Given:
        """Give back what is to be written."""
        self.calls.append(call)
        return Given(takes.path, takes.content)

    async def run(self, call: Call, takes: Running) -> Ran:
        """Tell of each path, wait, and give them all."""
        self.calls.append(call)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for path in takes.paths:
                call.hear({"kind": "test", "id": path})
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ended += 1
            raise
        finally:
            self.running -= 1
        return Ran("passed", list(takes.paths))
