"""The developer tools as an operator has them: commands on the data directory, and their service alone in a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from tests.conftest import DAO, Founded

from dagi.assemble.installation import Choice, Installation
from dagi.assemble.signing import grant_signer
from dagi.message import Grant
from dagi.observe.clock import SystemClock
from dagi.outbound import Client
from dagi.ports.devtools import Order
from dagi.remote.devtools import RemoteTools

pytestmark = [pytest.mark.anyio, pytest.mark.process]
START_S = 60


@pytest.fixture
def config(tmp_path: Path, founded: Founded) -> str:
    founded.copy("demo", tmp_path / "data")
    file = tmp_path / "my.yml"
    settings = {"environment": "development", "data_dir": str(tmp_path / "data"), "dao": {"default": DAO, "demo": False}}
    file.write_text(yaml.safe_dump({"version": "0.3.0", **settings}), encoding="utf-8")
    return str(file)


async def command(*arguments: str, config: str, stdin: bytes = b"") -> tuple[int, str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DAGI")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dagi", *arguments, "--config", config, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment,
    )  # fmt: skip
    async with asyncio.timeout(START_S):
        out, err = await process.communicate(stdin)
    return process.returncode or 0, out.decode(), err.decode()


async def test_an_operator_makes_a_workspace_runs_its_tests_and_finds_it_all_in_the_audit(config: str) -> None:
    status, _, err = await command("workspace", "create", "site\udcff", config=config)
    assert (status, err) == (2, "What was typed holds bytes that are no UTF-8.\n")
    status, out, err = await command("workspace", "create", "site", "--template", "python", config=config)
    assert (status, "template python" in out) == (0, True), err
    status, out, _ = await command("workspace", "command", "site", "check", "make", "check", "--json", config=config)
    assert (status, json.loads(out)["commands"]) == (0, {"check": ["make", "check"]})
    status, out, err = await command("tool", "run", "run_tests", "-w", "site", "--param", "paths=[]", "--json", config=config)
    assert (status, json.loads(out)["outcome"]) == (0, "passed"), err
    assert "test_accounts" in err
    status, _, err = await command("tool", "run", "run_tests", "-w", "nowhere", config=config)
    assert (status, "no workspace" in err) == (4, True)
    status, _, err = await command("tool", "run", "run_tests", "--json-params", "-", config=config, stdin=b'{"pths": []}')
    assert (status, "pths" in err, "Known:" in err) == (2, True, True)
    status, out, _ = await command("tool", "show", "run_tests", config=config)
    assert (status, "max_failures" in out) == (0, True)
    status, out, _ = await command("workspace", "delete", "site", "--yes", config=config)
    assert (status, out) == (0, "site is removed.\n")
    status, out, _ = await command("audit", "list", "--dao", DAO, "--json", config=config)
    told = [(one["action"], one["subject"], one["details"]["outcome"]) for one in json.loads(out) if one["actor"].startswith("cli:")]
    assert told == [
        ("workspace.deleted", "site", "ok"),
        ("devtools.run_tests", "main", "VALIDATION_ERROR"),
        ("devtools.run_tests", "nowhere", "NOT_FOUND"),
        ("devtools.run_tests", "site", "ok"),
        ("workspace.command_set", "site", "ok"),
        ("workspace.created", "site", "ok"),
    ]


async def test_the_service_runs_alone_and_takes_the_grants_that_a_router_elsewhere_signs(config: str) -> None:
    installation = Installation.of(Choice(config=config))
    # As an operator copies it from the machine of the router.
    signer = grant_signer(installation)
    (installation.data_dir / "keys" / "grant.key").unlink()
    words = ("-m", "dagi", "serve", "devtools", "--port", "0", "--config", config)
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            while not (line := (await process.stdout.readline()).decode()).startswith("devtools"):
                assert line, "the service did not start"
        url = line.split()[1]
        may = frozenset({"devtools.read", "devtools.run", "devtools.write", "git.commit"})
        grant = Grant(dao_id=DAO, user_id="tg:contributor001", entitlements=may)
        async with Client() as http, httpx.AsyncClient(base_url=url, timeout=30) as direct:
            made = await direct.post("/workspaces", json={"name": "main", "template": "python"})
            assert made.status_code == 200, made.text
            tools = RemoteTools(url, http, signer, SystemClock())
            heard: list[object] = []
            order = Order(id="r1", tool="run_tests", params={"keyword": "reserve"}, grant=grant)
            result = await tools.call(order, heard.append)
            assert result["outcome"] == "passed"
            assert any(isinstance(one, dict) and one["kind"] == "test" for one in heard)
            assert not (installation.data_dir / "keys" / "grant.key").exists()
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await process.communicate()
    assert process.returncode == 0
