"""Providers in a stack of real processes: one from a package of its own, and one that has a process of its own."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from dagi.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.process]
EXAMPLE = Path(__file__).parents[2] / "examples" / "dagi-provider-echo"
RULE = {"name": "all", "use_provider": "mine", "context": False}


@asynccontextmanager
async def served(tmp_path: Path, provider: dict[str, object], packages: Path) -> AsyncGenerator[tuple[int, httpx.AsyncClient]]:
    """A stack with one provider, and with packages on its path: its process id, and a client."""
    file = tmp_path / "my.yml"
    settings = {"data_dir": str(tmp_path / "data"), "llm_providers": [{"name": "mine", **provider}], "routing_rules": [RULE]}
    file.write_text(yaml.safe_dump({**settings, "knowledge": {"embedder": False}}), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DAGI")}
    command = (sys.executable, "-m", "dagi", "serve", "--port", "0", "--profile", "dev", "--config", str(file))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env={**environment, "PYTHONPATH": str(packages)})
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while not (line := (await process.stdout.readline()).decode()).startswith("router"):
                assert line, "the stack did not start"
        async with httpx.AsyncClient(base_url=line.split()[1], timeout=30, headers={"connection": "close"}) as http:
            yield process.pid, http
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 30)


async def asked(http: httpx.AsyncClient, prompt: str) -> dict[str, object]:
    answer = await http.post("/route", json={"prompt": prompt, "metadata": {"user_id": "tg:12345"}})
    return dict(answer.json())


def model_process(pid: int) -> psutil.Process | None:
    found = psutil.Process(pid).children(recursive=True)
    return next((one for one in found if "llama_process" in " ".join(one.cmdline())), None)


async def test_the_example_package_is_found_by_its_entry_point_and_answers(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    shutil.copytree(EXAMPLE, tmp_path / "source")
    uv = Path(sys.executable).with_name("uv")
    install = (uv, "pip", "install", "--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable, "--target", packages)
    subprocess.run([*map(str, install), str(tmp_path / "source")], check=True, capture_output=True)  # noqa: ASYNC221, S603
    own = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "source"))
    tested = await asyncio.create_subprocess_exec(*own, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(packages)})
    assert await asyncio.wait_for(tested.wait(), 60) == 0
    async with served(tmp_path, {"type": "echo", "config": {"times": 2}}, packages) as (_, http):
        body = await asked(http, "one two")
        assert (body["response"], body["provider"], body["model"]) == ("one two one two", "mine", "echo")


@pytest.mark.parametrize("how", ["stopped", "front killed"])
async def test_a_models_process_ends_with_the_stack_however_that_ends(tmp_path: Path, tiny_model: Path, how: str) -> None:
    provider = {"type": "llama", "config": {"model_path": str(tiny_model), "context_tokens": 512, "max_tokens": 4, "temperature": 0.0}}
    async with served(tmp_path, provider, tmp_path) as (pid, http):
        assert (await asked(http, "Hi"))["provider"] == "mine"
        first = model_process(pid)
        assert first is not None
        if how == "front killed":
            front = first.parent()
            assert front is not None
            front.kill()
            await eventually(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE)
            async with asyncio.timeout(30):
                while (await _patiently(http)).get("provider") != "mine":
                    await asyncio.sleep(0.05)
            second = model_process(pid)
            assert second is not None
            first = second
    assert not first.is_running()


async def _patiently(http: httpx.AsyncClient) -> dict[str, object]:
    try:
        return await asked(http, "Hi again")
    except httpx.TransportError:
        return {}
