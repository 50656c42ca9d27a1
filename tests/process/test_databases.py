"""Several processes on one database, of either kind: changes of rights that meet, that are broken off by kill -9, that others notice;
and `dagi db` as an operator uses it."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from tests.process.workers import START_S, environment, place_of

from dagi.stores.audit import SqlAudit
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.inspection import check
from dagi.stores.members import MemberAdmin
from dagi.stores.postgres import Address
from dagi.testing.clock import FakeClock
from dagi.testing.postgres import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.process]

# Takes people in and lets every third one go again, for ever or so many times; says each change once it is made.
WORKER = """
import asyncio, sys
from pathlib import Path
from dagi.observe.clock import SystemClock
from dagi.stores.database import Database
from dagi.stores.members import MemberAdmin
from dagi.stores.postgres import Address

place, name, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def main():
    database = Database(Address(url=place) if place.startswith("postgresql") else Path(place))
    members = MemberAdmin(database, SystemClock())
    for number in range(turns):
        await members.create("green", f"tg:{name}-{number}", ["member"])
        print("+", f"tg:{name}-{number}", flush=True)
        if number % 3 == 0:
            await members.remove("green", f"tg:{name}-{number}")
            print("-", f"tg:{name}-{number}", flush=True)
        elif number % 3 == 1:
            await members.update("green", f"tg:{name}-{number}", roles=["contributor"])
            print("*", f"tg:{name}-{number}", flush=True)
    await database.close()

asyncio.run(main())
"""


async def worker(database: Database, name: str, turns: int) -> asyncio.subprocess.Process:
    arguments = (place_of(database), name, str(turns))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )


def roles_after(said: str) -> dict[str, list[str] | None]:
    """What the changes that were told leave of each account; None where nothing is."""
    meaning = {"+": ["member"], "*": ["contributor"], "-": None}
    return {account: meaning[sign] for sign, account in (line.split() for line in said.splitlines())}


async def roles_held(database: Database) -> dict[str, list[str]]:
    return {member.identities[0]: list(member.roles) for member in await MemberAdmin(database, FakeClock()).all("green")}


@pytest.fixture
async def green(database: Database) -> Database:
    await Daos(database, FakeClock()).create("green", "Green")
    return database


async def test_changes_of_several_processes_at_once_lose_nothing(green: Database) -> None:
    workers = [await worker(green, f"w{number}", 12) for number in range(3)]
    async with asyncio.timeout(START_S):
        ended = await asyncio.gather(*(one.communicate() for one in workers))
    assert [(one.returncode, err.decode()) for one, (_, err) in zip(workers, ended, strict=True)] == [(0, "")] * 3
    told = {account: roles for out, _ in ended for account, roles in roles_after(out.decode()).items()}
    assert len(told) == 36
    assert await roles_held(green) == {account: roles for account, roles in told.items() if roles is not None}
    found = await SqlAudit(green).verify()
    # One for the DAO; 12 times taken in, 4 times let go and 4 times changed, by each.
    assert (found.findings, found.records) == ((), 1 + 3 * 20)


async def test_after_kill_9_in_the_middle_of_changes_everything_that_was_told_is_there_and_it_goes_on(green: Database) -> None:
    told: dict[str, list[str] | None] = {}
    for turn in range(3):
        working = await worker(green, f"w{turn}", 10_000)
        assert working.stdout is not None
        async with asyncio.timeout(START_S):
            said = b"".join([await working.stdout.readline() for _ in range(5 + 7 * turn)])
        working.send_signal(signal.SIGKILL)
        out, _ = await working.communicate()
        whole = (said + out).decode().rpartition("\n")[0]
        told |= roles_after(whole)
        assert (await check(green)).problems == ()
        held = await roles_held(green)
        latest = whole.splitlines()[-1].split()[1]
        # The change after the last one that was told may have been made, too.
        assert {account: held.get(account) for account in told if account != latest} == {
            account: roles for account, roles in told.items() if account != latest
        }
        assert (await SqlAudit(green).verify()).findings == ()
    await MemberAdmin(green, FakeClock()).create("green", "tg:afterwards", ["member"])
    assert (await roles_held(green))["tg:afterwards"] == ["member"]


async def test_a_server_that_dies_in_the_middle_of_changes_comes_back_with_all_that_was_told(tmp_path: Path) -> None:
    from dagi.stores.upgrade import upgrade

    server = PostgresServer(durable=True)
    database = Database(Address(url=server.url(server.database())))
    await upgrade(database)
    await Daos(database, FakeClock()).create("green", "Green")
    working = await worker(database, "w", 10_000)
    assert working.stdout is not None
    async with asyncio.timeout(START_S):
        said = b"".join([await working.stdout.readline() for _ in range(10)])
    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(START_S):
        out, err = await working.communicate()
    assert "cannot be used" in err.decode()
    await asyncio.to_thread(server.start)
    told = roles_after((said + out).decode())
    held = await roles_held(database)
    latest = (said + out).decode().splitlines()[-1].split()[1]
    assert all(held.get(account) == roles for account, roles in told.items() if account != latest)
    assert (await check(database)).problems == ()
    assert (await SqlAudit(database).verify()).findings == ()
    await database.close()
    server.close()


async def command(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    async with asyncio.timeout(START_S):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def configured(tmp_path: Path, name: str, url: str | None) -> tuple[str, str, str, str]:
    """The options of an installation with a data directory of its own."""
    path = tmp_path / f"{name}.yml"
    quiet = {
        "knowledge": {"embedder": False},
        "logging": {"format": "json"},
        "routing_rules": [{"name": "facts", "use_provider": "dao_facts"}],
    }
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / name), "database": {"url": url}, **quiet}), encoding="utf-8")
    return ("--config", str(path), "--profile", "dev")


@asynccontextmanager
async def served(*options: str) -> AsyncGenerator[httpx.AsyncClient]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", "serve", "--port", "0", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            while not (line := (await process.stdout.readline()).decode()).startswith("router"):
                assert line, (await process.communicate())[1].decode()
        async with httpx.AsyncClient(base_url=line.split()[1], timeout=30) as http:
            yield http
    finally:
        process.terminate()
        async with asyncio.timeout(START_S):
            await process.communicate()


async def answered(http: httpx.AsyncClient, key: str, status: int) -> None:
    """Wait until the stack answers whoever has the key like this."""
    async with asyncio.timeout(5):
        while (await http.get("/info", headers={"authorization": f"Bearer {key}"})).status_code != status:
            await asyncio.sleep(0.02)


async def test_a_key_revoked_through_one_stack_is_refused_by_the_other_on_the_same_server(tmp_path: Path, postgres_url: str) -> None:
    one, other = (configured(tmp_path, name, postgres_url) for name in ("one", "other"))
    async with served(*one) as here, served(*other) as there:
        key = json.loads((await command("key", "create", "--dao", "greenfood-dao", "--role", "member", "--json", *one))[1])
        for http in (here, there):
            await answered(http, key["key"], 200)
        assert (await command("key", "revoke", key["id"], *one))[0] == 0
        for http in (here, there):
            await answered(http, key["key"], 401)


async def test_a_key_revoked_by_a_command_is_refused_by_a_stack_on_a_file(tmp_path: Path) -> None:
    own = configured(tmp_path, "own", None)
    async with served(*own) as http:
        key = json.loads((await command("key", "create", "--dao", "greenfood-dao", "--role", "member", "--json", *own))[1])
        await answered(http, key["key"], 200)
        assert (await command("key", "revoke", key["id"], *own))[0] == 0
        await answered(http, key["key"], 401)


async def test_an_installation_moves_from_a_file_to_a_server_and_back_again(tmp_path: Path, postgres: PostgresServer) -> None:
    name = postgres.database()
    file = configured(tmp_path, "own", None)
    async with served(*file):
        backup = tmp_path / "b.sqlite"
        status, out, err = await command("db", "backup", str(backup), "--json", *file)
        assert (status, json.loads(out)["rows"]["dao"]) == (0, 1), err
        status, _, err = await command("db", "restore", str(backup), "--replace", *file)
        assert (status, "Stop it first" in err) == (5, True)
        assert (await command("db", "backup", str(backup), *file))[0] == 5
    server = configured(tmp_path, "own", postgres.url(name))
    status, out, err = await command("db", "copy", *server)
    assert status == 0, err
    assert "Everything is there" in out
    status, out, _ = await command("db", "copy", *server)
    assert status == 5
    status, out, _ = await command("doctor", "--json", *server)
    about = {(report["about"], report["severity"]): report["what"] for report in json.loads(out)}
    assert "1 DAOs" in about["database", "ok"]
    assert ("database", "error") not in about
    status, out, _ = await command("db", "check", "--json", *server)
    assert (status, json.loads(out)["problems"]) == (0, [])
    async with served(*server) as http:
        assert (await http.get("/ready")).status_code == 200
    there = tmp_path / "server.sqlite"
    assert (await command("db", "backup", str(there), *server))[0] == 0
    assert (await command("db", "check", str(there)))[1].startswith(f"{there} is whole")
    status, _, err = await command("db", "restore", str(there), *configured(tmp_path, "own", None))
    assert (status, "--replace" in err) == (5, True)
    assert (await command("db", "restore", str(there), "--replace", *configured(tmp_path, "own", None)))[0] == 0
    assert (await command("dao", "show", "greenfood-dao", *configured(tmp_path, "own", None)))[0] == 0
    above = configured(tmp_path, "above", postgres.url(name, "postgres"))
    assert "superuser" in (await command("doctor", *above))[1]
    assert (await command("db", "downgrade", "base", "--yes", *server))[1] == "The database has no tables any more.\n"
    postgres.drop(name)


async def test_a_server_that_is_not_there_is_told_and_the_stack_does_not_start(tmp_path: Path) -> None:
    options = configured(tmp_path, "own", "postgresql://dagi:s3cret@127.0.0.1:1/dagi")
    for words in (("serve", "--port", "0"), ("dao", "list"), ("db", "check")):
        status, out, err = await command(*words, *options)
        assert status != 0
        assert "the server cannot be reached" in err
        assert "s3cret" not in out + err
        assert "Traceback" not in err
