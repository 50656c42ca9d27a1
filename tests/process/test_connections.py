"""Very many connections of a real `dagi serve`: those that rest, those that dawdle, and those that come while there are too many."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from dagi.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.process]

HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
SLOW_HEAD = b"GET /health HTTP/1.1\r\nhost: lo"
SLOW_BODY = b"POST /route HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
Ends = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


class Served:
    """A stack in processes of its own, whose front may have so many files open."""

    def __init__(self, port: int, notes: list[str], front: psutil.Process, data: Path) -> None:
        self.port = port
        self.notes = notes
        self.front = front
        self._log = data / "logs" / "router.log"

    async def healthy(self) -> bool:
        """Whether a new caller is answered."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=30) as http:
            return (await http.get("/health")).status_code == 200

    def log(self) -> str:
        """Everything the front has logged."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def memory(self) -> int:
        """Bytes the front holds."""
        return self.front.memory_info().rss


@asynccontextmanager
async def served(tmp_path: Path, files: int | None = None, **server: object) -> AsyncGenerator[Served]:
    file = tmp_path / "my.yml"
    settings = {
        "data_dir": str(tmp_path / "data"),
        "server": {"port": 0, **server},
        "knowledge": {"embedder": False},
        "devtools": {"enabled": False},
    }
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "dagi", "serve", "--config", str(file), "--profile", "dev"]
    if files is not None:
        command = ["prlimit", f"--nofile={files}:{files}", *command]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(60):
            while not (line := (await process.stdout.readline()).decode()).startswith("Ask it"):
                assert line, lines
                lines.append(line)
        port = int(next(line for line in lines if line.startswith("router")).split()[1].rpartition(":")[2])
        (front,) = psutil.Process(process.pid).children()
        yield Served(port, [line for line in lines if line.startswith("note:")], front, tmp_path / "data")
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 60)


@pytest.fixture
def room() -> int:
    """How many connections this process and the stack may both have open: ten thousand, or what the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(10_000, hard - 1_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def connected(port: int, count: int, say: bytes) -> AsyncGenerator[Ends]:
    """So many connections, each of which has said the same; leaving closes them."""
    ends: Ends = []
    try:
        while len(ends) < count:
            some = min(500, count - len(ends))
            ends += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(some)))
            for _, writer in ends[-some:]:
                writer.write(say)
        yield ends
    finally:
        for _, writer in ends:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def answered(ends: Ends) -> None:
    for reader, _ in ends:
        await asyncio.wait_for(reader.readuntil(b'{"status":"ok"}'), 60)


async def until_ended(ends: Ends, count: int) -> int:
    """Wait until the other side has closed so many of them; how many it has closed then."""

    async def to_the_end(reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await reader.read()

    reading = [asyncio.create_task(to_the_end(reader)) for reader, _ in ends]
    try:
        await eventually(lambda: sum(task.done() for task in reading) >= count, within_s=30)
        return sum(task.done() for task in reading)
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def test_ten_thousand_connections_at_rest_cost_little_and_keep_nobody_out(tmp_path: Path, room: int) -> None:
    async with served(tmp_path) as stack:
        assert await stack.healthy()
        before = stack.memory()
        async with connected(stack.port, room, HEALTH) as ends:
            await answered(ends)
            assert len(stack.front.net_connections("tcp")) > room
            each = (stack.memory() - before) / room
            assert await stack.healthy()
            # All of them may still go on.
            for _, writer in ends:
                writer.write(HEALTH)
            await answered(ends)
        assert each < 16 * 1024, each


async def test_where_few_files_may_be_open_the_start_says_so_and_a_new_caller_takes_the_place_of_one_at_rest(tmp_path: Path) -> None:
    async with served(tmp_path, files=600) as stack:
        assert any("600 files" in note and "LimitNOFILE" in note for note in stack.notes), stack.notes
        async with connected(stack.port, 1_000, HEALTH) as ends:
            assert await stack.healthy()
            # Of 600 files the stack keeps 256 for itself.
            assert await until_ended(ends, 1_000 - (600 - 256)) < 1_000
        assert "connections_full" in stack.log()
        assert "few_open_files" in stack.log()
        assert stack.log().count("connections_full") < 10


@pytest.mark.parametrize("say", [SLOW_HEAD, SLOW_BODY], ids=["heads", "bodies"])
async def test_many_who_never_end_what_they_say_keep_nobody_out_and_are_ended(tmp_path: Path, say: bytes) -> None:
    async with served(tmp_path, body_timeout_ms=1_000) as stack, connected(stack.port, 1_000, say) as ends:
        assert await stack.healthy()
        for reader, writer in ends:
            assert await asyncio.wait_for(reader.read(12), 30) in {b"HTTP/1.1 408", b"HTTP/1.1 400"}
            writer.close()
        assert await stack.healthy()


@pytest.mark.parametrize("say", [SLOW_HEAD, SLOW_BODY], ids=["heads", "bodies"])
async def test_those_who_never_end_what_they_say_cannot_take_every_place(tmp_path: Path, say: bytes) -> None:
    async with served(tmp_path, files=600, body_timeout_ms=600_000) as stack, connected(stack.port, 1_000, say):
        assert await stack.healthy()
