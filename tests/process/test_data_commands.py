"""`dagi dialogs`, `dagi logs` and `dagi init`, as an operator uses them."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.process]


def environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("DAGI")}, "PYTHONUNBUFFERED": "1"}


async def command(*arguments: str, stdin: bytes | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 60)
    return process.returncode or 0, out.decode(), err.decode()


def own(tmp_path: Path, profile: str = "dev", **changes: object) -> tuple[str, ...]:
    path = tmp_path / "own.yml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "own"), **changes}), encoding="utf-8")
    return ("--config", str(path), "--profile", profile)


def same(stack) -> tuple[str, ...]:
    """The options that name the running stack's own installation."""
    return ("--config", stack.installation.choice.config)


async def test_a_persons_dialogs_are_listed_shown_given_out_and_erased_while_the_stack_runs(stack, tmp_path: Path) -> None:
    stack.upstream.script(Answer(text="Nice \x1b[2Jbees."), Answer(text="Hello."))
    await stack.route("I keep bees.", metadata={"session_id": "s"})
    await stack.route("Hi", user="tg:admin001")
    await eventually(lambda: stack.front.router.ports.dialogs.waiting == 0)
    status, out, _ = await command("dialogs", "list", "--user", "tg:12345", "--json", *same(stack))
    (dialog,) = json.loads(out)
    assert (status, dialog["title"], dialog["exchanges"]) == (0, "I keep bees.", 1)
    assert "tg:admin001" in (await command("dialogs", "list", *same(stack)))[1]
    shown = (await command("dialogs", "show", dialog["dialog_id"], *same(stack)))[1]
    assert "> I keep bees.\nNice" in shown
    out_file = tmp_path / "export.jsonl"
    status, _, err = await command("dialogs", "export", "--user", "tg:12345", "--out", str(out_file), *same(stack))
    assert (status, "1 dialogs" in err) == (0, True)
    assert stat.S_IMODE(out_file.stat().st_mode) == 0o600
    (line,) = out_file.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["prompts"] == ["I keep bees."]
    status, out, err = await command("dialogs", "erase", "--user", "tg:12345", *same(stack), stdin=b"n\n")
    assert (status, "Remove 1 exchanges, 1 sessions" in out + err) == (1, True)
    status, out, _ = await command("dialogs", "erase", "--user", "tg:12345", "--yes", *same(stack))
    removed = "Removed 1 exchanges, 1 sessions, 0 summaries, 0 opinions about answers, 0 messages on their way, and the names in"
    assert (status, removed in out) == (0, True)
    assert (await command("dialogs", "export", "--user", "tg:12345", *same(stack)))[1] == ""
    for file in (stack.installation.data_dir).glob("dagi.sqlite*"):
        assert b"bees" not in file.read_bytes()
    await stack.route("What do I keep?", metadata={"session_id": "s"})
    assert "bees" not in json.dumps(stack.upstream.heard[-1].body)


async def test_what_cannot_be_found_or_written_is_said(stack, tmp_path: Path) -> None:
    for arguments, expected in (
        (("show", "d99"), 4),
        (("export", "--user", "bob"), 2),
        (("erase", "--user", "", "--yes"), 2),
        (("export", "--user", "tg:1", "--out", str(tmp_path / "no" / "where")), 2),
        (("export", "--user", "tg:1"), 0),
    ):
        status, _, err = await command("dialogs", *arguments, *same(stack))
        assert (status, "Traceback" in err) == (expected, False), err


async def test_everything_of_one_request_is_found_in_the_logs(stack) -> None:
    answer = await stack.http.post(
        "/route", json={"prompt": "a", "metadata": {"user_id": "tg:12345"}}, headers={"x-request-id": "wanted-1"}
    )
    assert answer.status_code == 200
    await stack.route("another")
    status, out, err = await command("logs", "--request-id", "wanted-1", *same(stack))
    assert status == 0, err
    (line,) = out.splitlines()
    assert "exchange" in line
    assert "request_id=wanted-1" in line
    assert "user_id=tg:12345" in line
    out = (await command("logs", "--json", "--since", "1h", "-n", "1", *same(stack)))[1]
    assert json.loads(out)["event"] == "exchange"
    status, out, err = await command("logs", "--level", "error", *same(stack))
    assert (status, out, "No line" in err) == (0, "", True)
    for since in ("yesterday", "999999w", "0h"):
        assert (await command("logs", "--since", since, *same(stack)))[0] == 2


async def test_a_log_is_followed_through_a_rotation_until_somebody_has_seen_enough(stack) -> None:
    await stack.route("before")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", "logs", "--follow", "--json", *same(stack)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        # What a shell starts in the background has it ignored, and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )

    async def seen() -> str:
        return json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["event"]

    assert await seen() == "exchange"
    log = stack.installation.data_dir / "logs" / "other.log"
    log.write_text('{"event": "one", "timestamp": "2026-11-22T12:00:00Z", "level": "info"}\n')
    assert await seen() == "one"
    log.rename(log.with_name("other.log.1"))
    log.write_text('{"event": "two", "timestamp": "2026-11-22T12:00:01Z", "level": "info"}\n')
    assert await seen() == "two"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert (await process.stderr.read()) == b""


async def test_logs_that_are_not_there_are_not_made_up(tmp_path: Path) -> None:
    status, _, err = await command("logs", *own(tmp_path))
    assert (status, "dagi serve" in err) == (4, True)
    assert not (tmp_path / "own").exists()


async def test_the_first_run_founds_the_dao_and_answers_a_question_and_the_second_changes_nothing(tmp_path: Path) -> None:
    wish = ("init", "--dao-name", "Зелена Їжа", "--admin", "tg:77", "--about", "Кооператив, що вирощує гриби у Львові.", "--yes")
    status, out, err = await command(*wish, *own(tmp_path))
    assert status == 0, err
    assert "zelena-izha: founded" in out
    assert "гриби у Львові" in out.partition("> ")[2]
    assert "dagi ask" in out.partition("Next:")[2]
    assert "--dao zelena-izha --as tg:77" in out
    key = next(word for word in out.split() if word.startswith("dagi_"))
    before = {name: json.loads((await command(*words, "--json", *own(tmp_path)))[1]) for name, words in LISTS.items()}
    assert [one["id"] for one in before["keys"]] == [key.split("_")[1]]
    assert before["members"][0]["roles"] == ["admin"]
    status, out, err = await command(*wish, *own(tmp_path))
    assert status == 0, err
    assert "Nothing was changed" in out
    assert "dagi_" not in out
    assert {name: json.loads((await command(*words, "--json", *own(tmp_path)))[1]) for name, words in LISTS.items()} == before


LISTS = {
    "daos": ("dao", "list"),
    "members": ("member", "list", "--dao", "zelena-izha"),
    "keys": ("key", "list"),
    "facts": ("dao", "facts", "list", "--dao", "zelena-izha"),
}


async def test_what_is_there_already_is_kept_and_a_member_becomes_the_admin_that_was_named(tmp_path: Path) -> None:
    options = own(tmp_path)
    await command("dao", "create", "blue", "--name", "Blue", *options)
    await command("member", "create", "tg:7", "--dao", "blue", "--role", "contributor", *options)
    status, out, err = await command("init", "--dao-name", "Other", "--dao-id", "blue", "--admin", "tg:7", "--yes", "--json", *options)
    assert status == 0, err
    assert json.loads(out)["made"] == {"dao": False, "admin": True, "document": True, "key": True}
    shown = json.loads((await command("dao", "show", "blue", "--json", *options))[1])
    assert shown["name"] == "Blue"
    roles = json.loads((await command("member", "show", "tg:7", "--dao", "blue", "--json", *options))[1])[0]["roles"]
    assert sorted(roles) == ["admin", "contributor"]


async def test_a_first_run_that_cannot_ask_or_is_asked_nonsense_says_what_to_give(tmp_path: Path) -> None:
    for arguments, told in (
        ((), "--dao-name and --admin"),
        (("--dao-name", "Blue"), "--admin"),
        (("--dao-name", "黒", "--admin", "tg:1"), "--dao-id"),
        (("--dao-name", "Blue", "--admin", "bob"), "tg:12345"),
        (("--dao-name", "Blue", "--admin", "key:1"), "tg:12345"),
        (("--dao-name", " ", "--dao-id", "x", "--admin", "tg:1"), "printable"),
        (("--dao-name", "Blue", "--dao-id", "A B", "--admin", "tg:1"), "lower-case"),
    ):
        status, _, err = await command("init", *arguments, *own(tmp_path))
        assert (status, told in err) == (2, True), err
    assert json.loads((await command("dao", "list", "--json", *own(tmp_path)))[1]) == []


async def test_a_production_installation_starts_after_its_first_run(tmp_path: Path) -> None:
    provider = {"name": "docs", "type": "facts"}
    options = own(tmp_path, "prod", llm_providers=[provider], routing_rules=[{"name": "chat", "use_provider": "docs"}])
    status, out, err = await command("init", "--dao-name", "Blue", "--admin", "tg:1", "--yes", *options)
    assert status == 0, err
    assert "DAGI_KEY=" in out
    status, out, _ = await command("doctor", "--json", *options)
    assert [one["severity"] for one in json.loads(out) if one["about"] == "keys"] == ["ok"]
