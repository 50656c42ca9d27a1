"""What the pages about Telegram and Discord show is run against scripted servers of theirs, or is at least a command there is."""

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from tests.conftest import merged
from tests.docs.test_docs import blocks, commands, run
from typer.main import get_command

from dagi.cli import COMMANDS, build
from dagi.testing.discord_api import BOT_TOKEN, DiscordApi
from dagi.testing.discord_delivery import PUBLIC_KEY
from dagi.testing.telegram import SECRET, TOKEN, BotApi

PAGES = ("docs/channels.md", "docs/discord.md")
ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.anyio, pytest.mark.process]
# These run until somebody stops them, or need a stack that runs; the tests in tests/process prove them.
ELSEWHERE = ("dagi serve", "dagi telegram poll", "dagi discord set-endpoint", "dagi doctor")


def inline(page: str) -> list[str]:
    """Every command within the page's sentences, as far as its words go."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [re.sub(r"\s+", " ", found) for found in re.findall(r"`(dagi [^`]+)`", text)]


def whole(line: str) -> bool:
    """Whether it is all that has to be typed."""
    return (" " in line.removeprefix("dagi ") or line == "dagi doctor") and "…" not in line and "|" not in line


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_named_is_there(page: str) -> None:
    root = get_command(build(list(COMMANDS)))
    for line in inline(page):
        command, words = root, line.split()[1:]
        while words and (children := getattr(command, "commands", {})) and words[0] not in {"…", "--help"}:
            assert set(words[0].split("|")) <= set(children), line
            command = children[words.pop(0).partition("|")[0]]
        options = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
        assert {word for word in words if word.startswith("--")} <= options, line


async def test_the_steps_from_the_portals_to_the_first_answer_can_be_taken(tmp_path: Path) -> None:
    settings: dict[str, object] = {"knowledge": {"embedder": False}}
    for example in (blocks("docs/channels.md", "yaml")[1], blocks("docs/discord.md", "yaml")[0]):
        settings = merged(settings, yaml.safe_load(textwrap.dedent(example)))
    lines = [*inline(PAGES[0]), *commands(PAGES[0]), *inline(PAGES[1]), *commands(PAGES[1])]
    # A command without its arguments is only named.
    named = {"dagi channel bind", "dagi dialogs show"}
    typed = [line for line in lines if whole(line) and line not in named and not line.startswith(ELSEWHERE)]
    async with BotApi() as telegram, DiscordApi() as discord:
        text = yaml.safe_dump(settings).replace("https://api.telegram.org", telegram.url).replace("64 hexadecimal digits", PUBLIC_KEY)
        (tmp_path / "my.yml").write_text(text.replace("  discord:\n", f"  discord:\n    api_base_url: {discord.url}\n"), encoding="utf-8")
        secrets = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_WEBHOOK_SECRET": SECRET, "DISCORD_BOT_TOKEN": BOT_TOKEN}
        for line in ("dagi dao create greenfood-dao --name Green", "dagi dao create bees-dao --name Bees", *typed):
            status, out = await run(f"{line} --profile dev --config my.yml", tmp_path, 0, **secrets)
            assert status == 0, f"{line}\n{out}"
        assert {call.method for call in telegram.calls} >= {"setWebhook", "getWebhookInfo", "deleteWebhook"}
        assert discord.commands.names("1200000000000000001")
    assert len(typed) > 9


async def test_the_configuration_of_the_page_about_discord_is_right_once_it_has_a_key(tmp_path: Path) -> None:
    (example,) = blocks("docs/discord.md", "yaml")
    (tmp_path / "my.yml").write_text(textwrap.dedent(example).replace("64 hexadecimal digits", PUBLIC_KEY), encoding="utf-8")
    command = (sys.executable, "-m", "dagi", "config", "check", "--profile", "dev", "--config", "my.yml")
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert "DISCORD_BOT_TOKEN is not set" in out.decode()
