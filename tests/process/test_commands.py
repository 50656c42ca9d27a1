"""Commands as an operator types them, beside a stack that runs in the test's own process."""

import asyncio
import os
import pty
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

from dagi.assemble.installation import Running, born
from dagi.cli.output import table
from dagi.testing.upstream import Answer, Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.process]
STEERING = "a\x1b[2Jb\x9bc\u202ed\x07\te"


async def command(*arguments: str, stdout: int = subprocess.PIPE, key: str | None = None) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGI")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dagi",
        *arguments,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**environment, **({"DAGI_KEY": key} if key else {})},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, (out or b"").decode(), err.decode()


def own(tmp_path: Path, **changes: object) -> tuple[str, ...]:
    path = tmp_path / "own.yml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "own"), **changes}), encoding="utf-8")
    return ("--config", str(path), "--profile", "dev")


async def test_what_a_model_says_cannot_steer_a_terminal_and_reaches_a_pipe_whole(stack, tmp_path: Path) -> None:
    asked = ("ask", "Hi", "--dao", "greenfood-dao", "--as", "tg:12345", "--url", stack.url, *own(tmp_path))
    stack.upstream.script(Answer(text=STEERING), Answer(text=STEERING))
    assert (await command(*asked))[1] == STEERING + "\n"
    terminal, line = pty.openpty()
    status, _, err = await command(*asked, stdout=line)
    shown = os.read(terminal, 4096).decode()
    os.close(line)
    os.close(terminal)
    assert status == 0, err
    assert shown.replace("\r\n", "\n").expandtabs() == "a[2Jbcd\te\n".expandtabs()


async def test_square_brackets_are_shown_as_they_are_written(start, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table(("name",), [("My [/b] DAO",), ("[a-z]+ [red]x",)], empty="")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["name", "My [/b] DAO", "[a-z]+ [red]x"]

    def change(settings: dict[str, object]) -> None:
        settings["routing_rules"].insert(
            0, {"name": "odd", "priority": 0, "conditions": {"prompt_matches": "[/b][a-z]+"}, "use_provider": "model"}
        )

    async with start(change) as stack:
        status, out, err = await command("explain", "Hi", "--as", "tg:12345", "--url", stack.url, *own(tmp_path))
    assert status == 0, err
    assert "prompt_matches: [/b][a-z]+" in out


def told(url: str) -> bytes:
    """What a stack that runs in this process would say of itself."""
    return msgspec.json.encode(Running(os.getpid(), url, born=born(os.getpid()) or 0))


async def test_the_demo_key_is_for_the_installations_own_stack_and_a_named_key_for_whoever_is_named(tmp_path: Path) -> None:
    options = own(tmp_path)
    keys = tmp_path / "own" / "keys"
    keys.mkdir(parents=True)
    (keys / "demo.key").write_text("demo-secret")
    run = tmp_path / "own" / "run"
    run.mkdir()
    async with Upstream() as stranger:
        # What answers is no stack: only what it hears counts.
        (run / "serve.json").write_bytes(told("http://127.0.0.1:1"))
        await command("explain", "Hi", "--url", stranger.origin, *options)
        await command("explain", "Hi", "--url", stranger.origin, *options, key="from-variable")
        await command("explain", "Hi", "--url", stranger.origin, "--key", "from-option", *options)
        (run / "serve.json").write_bytes(told(stranger.origin))
        await command("explain", "Hi", "--url", stranger.origin + "/", *options)
        await command("explain", "Hi", *options)
        said = [{name.lower(): value for name, value in heard.headers.items()}.get("authorization") for heard in stranger.heard]
    assert said == [None, "Bearer from-variable", "Bearer from-option", "Bearer demo-secret", "Bearer demo-secret"]


async def test_documents_are_replaced_only_where_they_are_and_listed_only_of_daos_there_are(tmp_path: Path) -> None:
    options = own(tmp_path)
    (tmp_path / "new.md").write_text("# New\n\nWe repair bicycles.\n", encoding="utf-8")
    file = str(tmp_path / "new.md")
    await command("dao", "create", "blue", "--name", "My [/b] DAO", *options)
    assert "My [/b] DAO" in (await command("dao", "list", *options))[1]
    for arguments, expected in (
        (("list", "--dao", "nowhere"), 4),
        (("replace", file, "--dao", "nowhere"), 4),
        (("replace", file, "--dao", "blue", "--name", "about.md"), 4),
        (("add", file, "--dao", "blue", "--name", "about.md"), 0),
        (("replace", file, "--dao", "blue", "--name", "about.md"), 0),
        (("list", "--dao", "blue"), 0),
    ):
        status, _, err = await command("dao", "facts", *arguments, *options)
        assert status == expected, err
        assert "Traceback" not in err


async def test_a_membership_is_made_to_last_for_ever(tmp_path: Path) -> None:
    options = own(tmp_path)
    await command("dao", "create", "blue", "--name", "Blue", *options)
    await command("member", "create", "tg:7", "--dao", "blue", "--role", "member", "--expires", "90d", *options)
    status, out, err = await command("member", "update", "tg:7", "--dao", "blue", "--expires", "never", "--json", *options)
    assert status == 0, err
    assert '"expires_at": null' in out


async def test_a_wallet_is_a_member_in_either_spelling_and_a_wrong_digit_is_told(tmp_path: Path) -> None:
    options, wallet = own(tmp_path), "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    await command("dao", "create", "blue", "--name", "Blue", *options)
    status, out, err = await command("member", "create", f"eth:{wallet}", "--dao", "blue", "--role", "member", "--json", *options)
    assert (status, f"eth:{wallet.lower()}" in out) == (0, True), err
    assert (await command("member", "show", f"eth:{wallet}", "--dao", "blue", *options))[0] == 0
    status, _, err = await command("member", "create", f"eth:{wallet.replace('5aA', '5aa')}", "--dao", "blue", "--role", "member", *options)
    assert (status, "EIP-55" in err) == (2, True)
    assert (await command("member", "remove", f"eth:{wallet}", "--dao", "blue", "--yes", *options))[0] == 0


async def test_every_option_that_names_somebody_takes_a_wallet_in_either_spelling(tmp_path: Path) -> None:
    options, wallet = own(tmp_path), "eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    status, _, err = await command("init", "--dao-name", "Blue", "--admin", wallet, "--yes", *options)
    assert status == 0, err
    wanted = ("governance", "proposal", "add", "Bees", "--dao", "blue", "--closes", "5d", "--author")
    for arguments, answer in (
        (("audit", "list", "--user"), '"member.added"'),
        (("dialogs", "list", "--user"), '"began"'),
        (("spend", "--user"), "["),
        (wanted, wallet.lower()),
    ):
        status, out, err = await command(*arguments, wallet, "--json", *options)
        assert (status, answer in out) == (0, True), (arguments, out, err)
        status, _, err = await command(*arguments, wallet.replace("5aA", "5aa"), *options)
        assert (status, "EIP-55" in err) == (2, True), (arguments, err)


async def test_rights_are_told_in_the_profiles_own_dao_or_in_the_named_one(tmp_path: Path) -> None:
    options = own(tmp_path, dao={"default": "blue", "demo": False})
    await command("dao", "create", "blue", "--name", "Blue", "--open", *options)
    status, out, _ = await command("access", "why", "tg:7", "chat.use", *options)
    assert (status, "in blue" in out) == (0, True)
    status, _, err = await command("access", "why", "tg:7", "chat.use", *own(tmp_path, dao={"default": None}))
    assert (status, "--dao" in err) == (2, True)


async def test_a_check_of_the_configuration_refuses_a_database_that_serve_refuses(tmp_path: Path) -> None:
    status, _, err = await command("config", "check", *own(tmp_path, database={"url": "mysql://db/dagi"}))
    assert status == 78
    assert "own.yml:" in err
    assert "database.url" in err


async def test_the_cache_is_shown_and_emptied_and_an_explanation_tells_shares_and_parameters(start, tmp_path: Path) -> None:
    def change(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [
            {
                "name": "faq",
                "use_provider": [{"name": "model", "weight": 3}, {"name": "native", "weight": 1}],
                "parameters": {"temperature": 0.1},
                "cache": {"ttl_s": 60},
            }
        ]

    async with start(change) as stack:
        where = ("--url", stack.url, *own(tmp_path))
        await stack.route("Hello?")
        shown = await command("cache", "stats", *where)
        listed = await command("cache", "stats", "--json", *where)
        cleared = await command("cache", "clear", *where)
        explained = await command("explain", "Hello?", "--as", "tg:12345", *where)
    assert "Kept       1 answers of at most 1000" in shown[1], shown
    assert '"entries": 1' in listed[1]
    assert cleared[:2] == (0, "Forgot 1 answers.\n")
    assert "Share    model: 75.0% (weight 3)" in explained[1]
    assert "Model    temperature 0.1" in explained[1]
    assert "Cache    an answer is given again for 60 s" in explained[1]


async def test_a_command_whose_key_is_not_known_hears_where_commands_take_it_from(stack, tmp_path: Path) -> None:
    asked = ("ask", "Hi", "--dao", "greenfood-dao", "--as", "tg:12345", "--url", stack.url, *own(tmp_path))
    status, _, err = await command(*asked, key="dagi_nobody_knows")
    assert status == 3
    assert "--key or from the variable DAGI_KEY" in err
