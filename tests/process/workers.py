"""Python programs of a test's own, each a process with its own connections to the test's database."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from dagi.stores.database import Database
from dagi.stores.postgres import Address

START_S = 60


def environment() -> dict[str, str]:
    """The test's own, without what configures a stack."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("DAGI")}, "PYTHONUNBUFFERED": "1"}


def place_of(database: Database) -> str:
    """What `opened` in a worker understands."""
    return database.place.url if isinstance(database.place, Address) else str(database.place)


def opened(place: str) -> Database:
    """The database, in a worker."""
    return Database(Address(url=place) if place.startswith("postgresql") else Path(place))


class Worker:
    """A process that says one line of JSON for each thing it has done."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def hears(self, word: str = "go") -> None:
        """Say something to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()

    async def said(self) -> list[object]:
        """The next line it says."""
        assert self._process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await self._process.stdout.readline()
        assert line, (await self._process.communicate())[1].decode()
        return json.loads(line)

    async def rest(self) -> list[list[object]]:
        """Every further line; it has to end by itself and well."""
        async with asyncio.timeout(START_S):
            out, err = await self._process.communicate()
        assert (self._process.returncode, err.decode()) == (0, "")
        return [json.loads(line) for line in out.splitlines()]

    async def killed(self) -> list[list[object]]:
        """Kill it with the signal that nobody can handle; whole lines it had said and nobody had read."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        out, _ = await self._process.communicate()
        return [json.loads(line) for line in out.rpartition(b"\n")[0].splitlines()]


@asynccontextmanager
async def working(script: str, *arguments: str) -> AsyncGenerator[Worker]:
    """Run a program until the context is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=Path(__file__).parents[2],
    )
    worker = Worker(process)
    try:
        yield worker
    finally:
        await worker.killed()
