"""Rights at the command line: explanations, roles, invitations and the audit, as an operator types them."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.anyio, pytest.mark.process]


class Shell:
    """Commands on an installation of their own, with the DAO `blue`, its admin `tg:1` and its member `tg:7`."""

    def __init__(self, directory: Path) -> None:
        self.database = directory / "own" / "dagi.sqlite"
        path = directory / "own.yml"
        settings = {"data_dir": str(directory / "own"), "dao": {"demo": False, "default": None}, "knowledge": {"embedder": False}}
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self.options = ("--config", str(path), "--profile", "dev")

    async def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGI")} | dict(environment or {})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dagi", *arguments, *self.options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def says(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        status, out, err = await self.run(*arguments, environment=environment)
        assert status == 0, err
        return out


@pytest.fixture
async def shell(tmp_path: Path) -> Shell:
    found = Shell(tmp_path)
    await found.says("dao", "create", "blue", "--name", "Blue DAO")
    await found.says("member", "create", "tg:1", "--dao", "blue", "--role", "admin")
    await found.says("member", "create", "tg:7", "--dao", "blue", "--role", "member")
    return found


async def test_an_explanation_says_why_not_and_what_to_do(shell: Shell) -> None:
    status, out, _ = await shell.run("access", "why", "tg:7", "devtools.write", "--dao", "blue")
    assert status == 3
    assert "tg:7 has no role that grants devtools.write. (roles: member; reason: role_lacks_entitlement)" in out
    assert "dagi member update tg:7 --dao blue --role contributor" in out
    assert "There is no DAO green" in (await shell.run("access", "why", "tg:7", "chat.use", "--dao", "green"))[1]
    assert "the role admin grants it" in await shell.says("access", "why", "tg:1", "audit.read", "--dao", "blue")
    told = json.loads((await shell.run("access", "why", "tg:9", "devtools.write", "--dao", "blue", "--json"))[1])
    assert (told["allow"], told["reason"], told["needs_one_of"]) == (False, "not_a_member", ["contributor", "admin"])


async def test_a_check_decides_as_the_service_does_and_a_refusal_is_on_record(shell: Shell) -> None:
    assert await shell.says("access", "check", "tg:1", "audit.read", "--dao", "blue") == "Yes. tg:1, audit.read in blue: role_grants.\n"
    assert json.loads(await shell.says("audit", "list", "--dao", "blue", "--denied", "--json")) == []
    status, out, _ = await shell.run("access", "check", "tg:7", "fs_write", "--dao", "blue", "--json")
    told = json.loads(out)
    assert (status, told["allow"], told["reason"], told["needs_one_of"]) == (3, False, "role_lacks_entitlement", ["contributor", "admin"])
    [record] = json.loads(await shell.says("audit", "list", "--dao", "blue", "--denied", "--json"))
    assert (record["actor"], record["action"], record["decision_id"]) == ("tg:7", "devtools.write", told["decision_id"])


async def test_what_an_explanation_tells_an_operator_to_type_takes_no_right_from_anybody(shell: Shell) -> None:
    async def why(user: str, entitlement: str, status: int = 3) -> str:
        found, out, err = await shell.run("access", "why", user, entitlement, "--dao", "blue")
        assert found == status, err
        return out + err

    await shell.says("role", "define", "moderator", "--dao", "blue", "--may", "chat.use", "--may", "member.manage")
    await shell.says("member", "update", "tg:7", "--dao", "blue", "--role", "member", "--role", "moderator")
    # A contributor may all that a member may, but not what a moderator may.
    assert "dagi member update tg:7 --dao blue --role moderator --role contributor\n" in await why("tg:7", "fs_write")
    await shell.says("identity", "link", "tg:1", "dc:1", "--yes")
    held = await why("dc:1", "member.manage")
    assert "reason: recently_linked" in held
    # A role changes nothing about that, and a weaker one than it has would be a loss.
    assert "--role" not in held
    await shell.says("member", "update", "tg:7", "--dao", "blue", "--suspend")
    assert "dagi member update tg:7 --dao blue --resume\n" in await why("tg:7", "chat.use")
    await shell.says("dao", "update", "blue", "--suspend")
    assert "dagi dao update blue --resume\n" in await why("tg:7", "chat.use")
    assert "neither an entitlement nor a tool. Did you mean devtools.write?" in await why("tg:7", "devtools.wirte", 2)


async def test_what_an_explanation_says_of_a_role_that_has_ended_and_of_a_key_helps(shell: Shell) -> None:
    await shell.says("member", "update", "tg:7", "--dao", "blue", "--role", "member", "--role", "contributor")
    with closing(sqlite3.connect(shell.database)) as connection:
        connection.execute("UPDATE membership SET expires_at = '2026-01-02 03:04:00.000000' WHERE role = 'contributor'")
        connection.commit()
    _, told, _ = await shell.run("access", "why", "tg:7", "devtools.write", "--dao", "blue")
    assert "contributor was given until 2026-01-02 03:04 UTC. " in told
    for line in told.strip().partition("03:04 UTC. ")[2].split(" && "):
        await shell.says(*line.split()[1:])
    assert "the role contributor grants it" in await shell.says("access", "why", "tg:7", "devtools.write", "--dao", "blue")
    key = json.loads(await shell.says("key", "create", "--dao", "blue", "--role", "member", "--json"))["id"]
    _, told, _ = await shell.run("access", "why", f"key:{key}", "devtools.write", "--dao", "blue")
    assert told.endswith("A key keeps its role; a new one: dagi key create --dao blue --role contributor\n")


async def test_an_operator_who_enters_a_vote_is_told_whose_vote_cannot_be(shell: Shell) -> None:
    await shell.says("governance", "proposal", "add", "Bees?", "--dao", "blue", "--closes", "5d")
    status, _, err = await shell.run("governance", "proposal", "vote", "1", "for", "--user", "tg:99", "--dao", "blue")
    assert (status, err) == (3, "tg:99 cannot vote on #1: not_a_member. dagi access why tg:99 proposal.vote --dao blue\n")


async def test_whoever_reads_has_had_enough_or_shows_no_cyrillic_and_nothing_breaks(shell: Shell) -> None:
    await shell.says("member", "create", "tg:8", "--dao", "blue", "--role", "member", "--name", "Олег")
    for arguments in (("audit", "export", "--dao", "blue"), ("member", "list", "--dao", "blue")):
        reading, writing = os.pipe()
        os.close(reading)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dagi", *arguments, *shell.options), stdout=writing, stderr=subprocess.PIPE
        )
        os.close(writing)
        assert (await process.communicate())[1] == b"", arguments
    ascii_alone = {"PYTHONIOENCODING": "ascii"}
    assert r"\u041e\u043b\u0435\u0433" in await shell.says("member", "list", "--dao", "blue", environment=ascii_alone)
    assert "Олег" in await shell.says("member", "list", "--dao", "blue", "--json", environment=ascii_alone)


async def test_roles_and_invitations_are_made_listed_and_ended(shell: Shell) -> None:
    await shell.says("role", "define", "moderator", "--dao", "blue", "--may", "chat.use", "--may", "member.read", "--may", "dialog.read")
    roles = {one["name"]: one for one in json.loads(await shell.says("role", "list", "--dao", "blue", "--json"))}
    assert roles["moderator"]["entitlements"] == ["chat.use", "dialog.read", "member.read"]
    made = json.loads(await shell.says("member", "invite", "--dao", "blue", "--role", "moderator", "--uses", "3", "--json"))
    assert made["code"].startswith(f"inv_{made['id']}_")
    assert (await shell.run("role", "remove", "moderator", "--dao", "blue", "--yes"))[0] == 5
    await shell.says("member", "withdraw", made["id"], "--dao", "blue")
    listed = json.loads(await shell.says("member", "invitations", "--dao", "blue", "--json"))
    assert (listed[0]["uses_left"], listed[0]["revoked_at"] is not None) == (3, True)
    await shell.says("role", "remove", "moderator", "--dao", "blue", "--yes")
    status, _, err = await shell.run("member", "remove", "tg:1", "--dao", "blue", "--yes")
    assert (status, "left without an admin" in err) == (5, True)


async def test_the_audit_is_listed_exported_verified_and_found_out_when_somebody_changed_it(shell: Shell, tmp_path: Path) -> None:
    assert "cli:" in await shell.says("audit", "list", "--dao", "blue")
    found = json.loads(await shell.says("audit", "list", "--dao", "blue", "--user", "tg:7", "--json"))
    assert [(one["action"], one["subject"]) for one in found] == [("member.added", "tg:7")]
    exported = tmp_path / "audit.jsonl"
    await shell.says("audit", "export", "--dao", "blue", "--out", str(exported))
    assert [json.loads(line)["seq"] for line in exported.read_text(encoding="utf-8").splitlines()] == [1, 2, 3]
    head = json.loads(await shell.says("audit", "verify", "--json"))["heads"]["blue"]
    # On a line of its own, as a whole and as --expect takes it.
    assert f"\nblue={head}\n" in await shell.says("audit", "verify", "--expect", f"blue={head}")
    with closing(sqlite3.connect(shell.database)) as connection:
        connection.executescript("DROP TRIGGER audit_kept; DELETE FROM audit WHERE seq = 3;")
    status, out, _ = await shell.run("audit", "verify", "--expect", f"blue={head}")
    assert status == 5
    assert "blue, record 2: the chain ends at record 2, but the newest one written was 3" in out
    assert "is not in the chain" in out


async def test_a_stack_without_a_router_says_so_to_whoever_asks_it_something(shell: Shell) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", "serve", "rbac", "--port", "0", *shell.options), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while not (await process.stdout.readline()).startswith(b"rbac"):
                pass
        status, _, err = await shell.run("ask", "Hello?", "--dao", "blue")
    finally:
        process.terminate()
        await process.communicate()
    assert status != 0
    assert "The stack that runs here is the rbac alone" in err
    assert "dagi serve" in err
