"""What the documentation shows is run here, as it is written; only ports and the data directory are a test's own."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/operating.md", "docs/dify-integration.md", "CONTRIBUTING.md")
pytestmark = [pytest.mark.anyio, pytest.mark.process]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def commands(page: str) -> list[str]:
    """Every command of the page's console blocks; those that run the stack or all tests are run by others."""
    joined = "\n".join(blocks(page, "console")).replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(("make ", "dagi serve", ".venv/bin/dagi serve"))]


async def run(line: str, directory: Path, port: int, **environ: str) -> tuple[int, str]:
    own = line.replace("127.0.0.1:9102", f"127.0.0.1:{port}")
    own = re.sub(r"^(\.venv/bin/)?dagi ", f"{sys.executable} -m dagi ", own)
    environment = {**os.environ, "DAGI__SERVER__PORT": str(port), **environ}
    process = await asyncio.create_subprocess_shell(own, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def start(directory: Path) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dagi", "serve", "--port", "0", cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while not (line := (await process.stdout.readline()).decode()).startswith("router"):
            assert line, "the stack did not start"
    return process, int(line.split()[1].rpartition(":")[2])


async def test_every_command_of_the_readme_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "about.md").write_text("# About\n\nWe repair bicycles.\n", encoding="utf-8")
    stack, port = await start(tmp_path)
    try:
        expected: dict[str, Sequence[str]] = {
            "Привіт": ("продовольчий кооператив", "Зелений кошик"),
            "Hi! What": ("Green Basket", "Source:"),
            "dagi explain": ("dev_chat", "role_grants"),
            "dagi doctor": ("the stack is running",),
            "curl -s http": ('"status":',),
            "curl -sN": ('"type":"end"',),
            "access why": ("Yes.",),
        }
        seen: set[str] = set()
        for line in commands("README.md"):
            status, out = await run(line, tmp_path, port)
            assert status == 0, f"{line}\n{out}"
            for start_of_line, told in expected.items():
                if start_of_line in line:
                    seen.add(start_of_line)
                    assert all(text in out for text in told), f"{line}\n{out}"
        assert seen == set(expected)
    finally:
        stack.terminate()
        await asyncio.wait_for(stack.communicate(), 30)


async def test_every_command_about_rights_does_what_it_says(tmp_path: Path) -> None:
    for line in ("dagi dao create my-dao --name Mine", "dagi member create tg:1 --dao my-dao --role admin", *commands("docs/access.md")):
        status, out = await run(line, tmp_path, 0)
        assert status == 0, f"{line}\n{out}"


async def test_the_steps_to_production_lead_to_a_stack_that_starts(tmp_path: Path) -> None:
    for line in commands("docs/operating.md"):
        status, out = await run(line, tmp_path, 0)
        assert status == 0, f"{line}\n{out}"
    status, out = await run("dagi doctor --profile prod", tmp_path, 0)
    assert "nothing in it that stops the start" in out


async def test_operators_link_accounts_as_the_page_says_and_its_configuration_is_good(tmp_path: Path) -> None:
    said = [await run(line, tmp_path, 0) for line in ["dagi dao create greenfood-dao --name Green", *commands("docs/identities.md")]]
    assert [status for status, _ in said] == [0] * 6
    assert all(text in said[4][1] for text in ("tg:111", "dc:222", "operator"))
    (example,) = blocks("docs/identities.md", "yaml")
    checking = checked(tmp_path, example)
    assert checking.returncode == 0, checking.stderr
    assert "identities.telegram: off, for TELEGRAM_BOT_TOKEN (bot_token) is not set" in checking.stderr


async def test_what_operators_are_told_to_ask_a_running_stack_works_on_one(tmp_path: Path) -> None:
    stack, port = await start(tmp_path)
    try:
        for line in "".join(blocks("docs/operating.md", "sh")).splitlines():
            status, out = await run(line, tmp_path, port)
            assert status == 0, f"{line}\n{out}"
    finally:
        stack.terminate()
        await asyncio.wait_for(stack.communicate(), 30)


async def test_what_dify_is_given_works_on_a_running_stack_with_the_key_that_was_made_for_it(tmp_path: Path) -> None:
    stack, port = await start(tmp_path)
    told: dict[str, str] = {}
    try:
        key = ""
        for line in commands("docs/dify-integration.md"):
            status, told[line] = await run(line, tmp_path, port, DAGI_KEY=key)
            assert status == 0, f"{line}\n{told[line]}"
            key = found[0] if (found := re.search(r"\bdagi_\S+", told[line])) and "key create" in line else key
    finally:
        stack.terminate()
        await asyncio.wait_for(stack.communicate(), 30)
    said = "\n".join(told.values())
    assert all(text in said for text in ('"object":"chat.completion"', '"dagi-stack"', f'"url":"http://127.0.0.1:{port}"', '"response":'))
    assert "http://host.docker.internal:9102" in (tmp_path / "dify.json").read_text()


async def test_tools_are_used_as_their_page_says_and_its_configuration_is_right(tmp_path: Path) -> None:
    stack, port = await start(tmp_path)
    try:
        said = [await run(line, tmp_path, port) for line in commands("docs/devtools.md")]
        # The others ask the agent, which needs a model.
        asked, *_ = blocks("docs/devtools.md", "sh")
        said.append(await run(asked.replace("\n", " "), tmp_path, port))
    finally:
        stack.terminate()
        await asyncio.wait_for(stack.communicate(), 30)
    assert [status for status, _ in said] == [0] * 7, said
    for (_, out), told in zip(said, ("template python", "run_tests", "path", "A small Python project", "passed", "main"), strict=False):
        assert told in out
    assert '"tool":"fs_list"' in said[-1][1]
    (example,) = blocks("docs/devtools.md", "yaml")
    done = checked(tmp_path, example)
    assert done.returncode == 0, done.stderr


def checked(tmp_path: Path, example: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "my.yml"
    file.write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "dagi", "config", "check", "--profile", "dev", "--config", str(file)]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)  # noqa: S603


def test_the_rule_for_dify_is_right(tmp_path: Path) -> None:
    (example,) = [block for block in blocks("docs/dify-integration.md", "yaml") if block.startswith("routing_rules:")]
    done = checked(tmp_path, example)
    assert done.returncode == 0, done.stderr


def test_the_configuration_in_the_readme_is_right(tmp_path: Path) -> None:
    (example,) = blocks("README.md", "yaml")
    done = checked(tmp_path, example)
    assert done.returncode == 0, done.stderr
    assert "MY_MODEL_KEY" in done.stderr + done.stdout


async def test_the_configurations_of_bots_are_right_and_say_which_secret_is_missing(tmp_path: Path) -> None:
    examples = blocks("docs/channels.md", "yaml")
    assert len(examples) == 2
    for example in examples:
        done = checked(tmp_path, textwrap.dedent(example))
        assert done.returncode == 0, done.stderr
        assert "TELEGRAM_BOT_TOKEN is not set" in done.stderr


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        "SECURITY.md",
        "CHANGELOG.md",
        "docs/configuration.md",
        "docs/http.md",
        "docs/dify-integration.md",
        "docs/benchmarks.md",
        "docs/channels.md",
        "docs/discord.md",
        "docs/devtools.md",
    ],
)
def test_every_link_within_the_repository_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in target]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def test_every_command_has_help_with_an_example() -> None:
    from typer.main import get_command

    from dagi.cli import COMMANDS, build

    root = get_command(build(list(COMMANDS)))
    lacking = []
    queue = [("dagi", root)]
    while queue:
        name, command = queue.pop()
        children = getattr(command, "commands", {})
        queue += [(f"{name} {word}", child) for word, child in children.items()]
        told = f"{command.help or ''} {command.epilog or ''}"
        if not children and "Example: dagi" not in told:
            lacking.append(name)
    assert lacking == []
