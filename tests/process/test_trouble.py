"""What operators fear, done to a real `dagi serve`: a full disk, a locked database, a storm of reloads. Nothing is lost or doubled."""

import asyncio
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from dagi.testing.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.process]
SPACE = "size=8m"


class Served:
    """A stack in processes of its own, over a scripted model."""

    def __init__(self, config: Path, data: Path, front: psutil.Process, http: httpx.AsyncClient) -> None:
        self.config = config
        self.data = data
        self.front = front
        self.http = http

    async def ask(self, prompt: str) -> httpx.Response:
        """POST /route as a member."""
        return await self.http.post("/route", json={"prompt": prompt, "metadata": {"user_id": "tg:12345"}})

    def log(self) -> list[dict[str, object]]:
        """Every line the front has logged; each is one."""
        return [json.loads(line) for line in (self.data / "logs" / "router.log").read_text(encoding="utf-8").splitlines()]

    def recorded(self) -> list[str]:
        """The prompts in the database, in order."""
        with closing(sqlite3.connect(self.data / "dagi.sqlite")) as connection:
            return [row[0] for row in connection.execute("SELECT prompt FROM exchange ORDER BY id")]

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """A command beside the stack."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dagi", *arguments, "--config", str(self.config), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def served(tmp_path: Path, data: Path, **changes: object) -> AsyncGenerator[Served]:
    async with Upstream() as upstream:
        file = tmp_path / "my.yml"
        model = {"name": "model", "type": "openai_compatible", "config": {"base_url": upstream.v1, "model": "scripted"}}
        settings = {
            "environment": "development",
            "data_dir": str(data),
            "dao": {"demo": True, "default": "greenfood-dao"},
            "server": {"port": 0},
            "knowledge": {"embedder": False},
            "devtools": {"enabled": False},
            "llm_providers": [model],
            "routing_rules": [{"name": "chat", "use_provider": "model", "context": False}],
            **changes,
        }
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = (sys.executable, "-m", "dagi", "serve", "--config", str(file))
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            url = await asyncio.wait_for(_address(process), 60)
            (front,) = psutil.Process(process.pid).children()
            async with httpx.AsyncClient(base_url=url, timeout=30) as http:
                yield Served(file, data, front, http)
        finally:
            process.terminate()
            await asyncio.wait_for(process.communicate(), 60)


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if line.startswith("router"):
            return line.split()[1]
    raise AssertionError("the stack did not start")


async def until(condition: Callable[[], object], within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of its own where that may be mounted; else a plain one, see `full`."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    mounted = (
        os.getuid() == 0 and mount is not None and unmount is not None and quiet(mount, "-t", "tmpfs", "-o", SPACE, "tmpfs", str(place))
    )
    yield place
    if mounted:
        assert quiet(str(unmount), "-l", str(place))


def quiet(*command: str) -> bool:
    """Run a program; whether it went well."""
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0  # noqa: S603 - a command of ours


@contextmanager
def full(place: Path, process: psutil.Process) -> Iterator[None]:
    """Leave no byte of the disk; on a disk that is not ours, let the process write no file."""
    with ExitStack() as afterwards:
        if place.is_mount():
            filler = place / "filler"
            afterwards.callback(filler.unlink)
            with filler.open("wb", buffering=0) as file, closing(file):
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass
        else:
            afterwards.callback(process.rlimit, psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            process.rlimit(psutil.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        yield


async def test_a_full_disk_keeps_records_in_memory_then_refuses_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    async with served(tmp_path, small_disk / "data", dialogs={"buffer": 20}) as stack:
        asked = {"before": (await stack.ask("before")).status_code}
        await until(lambda: stack.recorded() == ["before"])
        with full(small_disk, stack.front):
            for number in range(60):
                asked[f"q{number}"] = (await stack.ask(f"q{number}")).status_code
            refused = await stack.ask("refused")
            assert (refused.status_code, refused.json()["code"]) == (503, "QUEUE_FULL")
            assert int(refused.headers["retry-after"]) >= 1
            ready = (await stack.http.get("/ready")).json()
            down = {one["name"]: one["detail"] for one in ready["dependencies"] if one["state"] == "down"}
            assert (ready["status"], set(down)) == ("not_ready", {"record_room", "records"})
            assert "wait in memory" in down["records"]
            status, _, err = await stack.command("member", "create", "tg:9", "--dao", "greenfood-dao", "--role", "member")
            # Where only the stack's own disk is full, a command beside it can go on.
            assert status in {0, 78}, err
        assert Counter(asked.values()).keys() == {200, 503}
        async with asyncio.timeout(30):
            while (await stack.ask("after")).status_code != 200:
                await asyncio.sleep(0.05)
        wanted = [prompt for prompt, status in asked.items() if status == 200]
        await until(lambda: len(stack.recorded()) > len(wanted))
        assert stack.recorded() == [*wanted, "after"]
        assert (await stack.http.get("/ready")).json()["status"] == "ready"
        events = Counter(line["event"] for line in stack.log())
        assert events["exchanges_written_again"] == 1
        assert events["exchanges_unwritten"] <= 1


async def test_a_database_that_a_backup_keeps_locked_holds_up_no_answer_and_no_look(tmp_path: Path) -> None:
    async with served(tmp_path, tmp_path / "data") as stack:
        with closing(sqlite3.connect(stack.data / "dagi.sqlite", isolation_level=None)) as backup:
            backup.execute("BEGIN EXCLUSIVE")
            prompts = [f"q{number}" for number in range(30)]
            assert {(await stack.ask(prompt)).status_code for prompt in prompts} == {200}
            status, out, err = await stack.command("member", "list", "--dao", "greenfood-dao")
            assert (status, "tg:12345" in out) == (0, True), err
            status, _, err = await stack.command("member", "create", "tg:9", "--dao", "greenfood-dao", "--role", "member")
            assert status == 78
            assert "Another program holds it" in err
            status, out, _ = await stack.command("doctor")
            assert "kept dagi.sqlite locked" in out
            assert stack.recorded() == []
            # By now the writer has given up once, and said so once.
            await until(lambda: any(line["event"] == "exchanges_unwritten" for line in stack.log()))
            assert (await stack.http.get("/ready")).json()["status"] == "degraded"
            backup.execute("ROLLBACK")
        await until(lambda: len(stack.recorded()) == len(prompts))
        assert stack.recorded() == prompts


async def test_a_storm_of_hangups_reloads_as_often_as_it_can_and_drops_no_request(tmp_path: Path) -> None:
    async with served(tmp_path, tmp_path / "data") as stack:
        supervisor = stack.front.ppid()
        settings = yaml.safe_load(stack.config.read_text(encoding="utf-8"))
        statuses: Counter[int] = Counter()
        over = asyncio.Event()

        async def keep_asking() -> None:
            while not over.is_set():
                statuses[(await stack.ask("Hello?")).status_code] += 1

        callers = [asyncio.create_task(keep_asking()) for _ in range(4)]
        for number in range(20):
            settings["routing_rules"][0]["name"] = f"rule{number}"
            stack.config.write_text(yaml.safe_dump(settings) if number % 4 else "version: [", encoding="utf-8")
            for _ in range(50):
                os.kill(supervisor, signal.SIGHUP)
            reached = statuses.total() + 10
            await until(lambda reached=reached: statuses.total() >= reached)
        over.set()
        await asyncio.gather(*callers)
        assert set(statuses) == {200}
        status, _, err = await stack.command("config", "reload")
        assert status == 0, err
        assert (await stack.ask("Hello?")).json()["rule"] == "rule19"
        assert stack.front.is_running()
        assert stack.front.ppid() == supervisor
