"""What an application's owner does at Discord, from the command line."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import yaml
from tests.conftest import DAO, StackFactory

from dagi.catalogue import say
from dagi.channels.conversation import COMMANDS
from dagi.channels.discord.api import Api
from dagi.channels.discord.setup import commands, looked_at, register, registered, same
from dagi.outbound import Client
from dagi.testing.discord_api import BOT_TOKEN, DiscordApi
from dagi.testing.discord_delivery import PUBLIC_KEY
from dagi.testing.discord_payloads import APPLICATION_ID, GUILD

pytestmark = [pytest.mark.anyio, pytest.mark.process]
URL = "https://dao.example/discord/webhook"
APPLICATION = {
    "name": "main",
    "dao_id": DAO,
    "application_id": APPLICATION_ID,
    "public_key": PUBLIC_KEY,
    "bot_token_env": "DISCORD_BOT_TOKEN",
    "guilds": {GUILD: {}},
}


@pytest.fixture
async def discord() -> AsyncGenerator[DiscordApi]:
    async with DiscordApi() as api:
        yield api


async def dagi(
    tmp_path: Path, discord: DiscordApi, *arguments: str, environment: str = "production", token: str = BOT_TOKEN, **application: object
) -> tuple[int, str, str]:
    """Run a command of ours: its exit status, what it says, and what it complains of."""
    file = tmp_path / "discord.yml"
    section = {"api_base_url": discord.url, "applications": [{**APPLICATION, **application}]}
    settings = {"data_dir": str(tmp_path / "data"), "environment": environment, "channels": {"discord": section}}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", "discord", *arguments, "--config", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "DISCORD_BOT_TOKEN": token},
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_an_owner_registers_commands_once_and_says_where_interactions_go(
    tmp_path: Path, discord: DiscordApi, start: StackFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = await dagi(tmp_path, discord, "register", environment="development")
    assert (status, err, discord.commands.names()) == (0, "", [])
    assert f"in the server {GUILD}" in out
    status, out, err = await dagi(tmp_path, discord, "register")
    assert (status, err, discord.commands.names(GUILD)) == (0, "", [])
    assert {"ask", "help", "whoami", "proposal", "link"} <= set(discord.commands.names())
    writes = len([call for call in discord.calls if call.method == "PUT"])
    assert "unchanged" in (await dagi(tmp_path, discord, "register"))[1]
    assert len([call for call in discord.calls if call.method == "PUT"]) == writes
    monkeypatch.setenv("DISCORD_BOT_TOKEN", BOT_TOKEN)
    async with start(channels={"discord": {"api_base_url": discord.url, "applications": [APPLICATION]}}) as stack:
        discord.hosts["dao.example"] = stack.gateway_url
        status, out, err = await dagi(tmp_path, discord, "set-endpoint", f"{URL}/main")
    assert (status, err, discord.endpoint) == (0, "", f"{URL}/main")
    assert f"{URL}/main" in out
    found = json.loads((await dagi(tmp_path, discord, "info", "--json"))[1])
    assert (found["about"]["name"], found["wrong"]) == ("DAGI of tests", [])
    assert found["commands"] == {"": discord.commands.names(), GUILD: []}
    # The stack is gone by now.
    status, _, err = await dagi(tmp_path, discord, "set-endpoint", URL)
    assert (status != 0, "has to be running" in err) == (True, True)


@pytest.mark.parametrize(
    ("arguments", "token", "says"),
    [
        (("register", "--app", "other"), BOT_TOKEN, "There is no application other"),
        (("register", "--guild", "here"), BOT_TOKEN, "no id of a server"),
        (("set-endpoint", "http://dao.example/discord/webhook"), BOT_TOKEN, "HTTPS"),
        (("info",), BOT_TOKEN[:-1] + "x", "Discord did not do it for the application main: 401"),
        (("info",), "nonsense", "not of the form Discord gives"),
    ],
)
async def test_what_is_wrong_is_told_without_the_token(
    tmp_path: Path, discord: DiscordApi, arguments: tuple[str, ...], token: str, says: str
) -> None:
    status, out, err = await dagi(tmp_path, discord, *arguments, token=token)
    assert status != 0
    assert says in err
    assert "Traceback" not in err
    assert BOT_TOKEN[:-1] not in out + err


# --- what stands behind the commands


@pytest.fixture
async def api(discord: DiscordApi) -> AsyncGenerator[Api]:
    async with Client() as http:
        yield Api(http, discord.url, BOT_TOKEN)


async def test_what_the_conversation_does_not_know_is_not_offered() -> None:
    assert [one["name"] for one in commands(())] == ["ask"]
    assert [one["name"] for one in commands(("start", "help", "proposals"))] == ["ask", "help", "proposal"]


async def test_commands_speak_both_languages_and_are_known_again(discord: DiscordApi, api: Api) -> None:
    wanted = commands(COMMANDS)
    assert await register(api, APPLICATION_ID, wanted)
    there = await registered(api, APPLICATION_ID)
    ask = next(one for one in there if one["name"] == "ask")
    assert (ask["description"], ask["description_localizations"]) == (
        say("en", "discord.command.ask"),
        {"uk": say("uk", "discord.command.ask")},
    )
    assert ask["contexts"] == [0, 1]
    assert not await register(api, APPLICATION_ID, wanted)
    assert same(wanted, list(reversed(there)))
    assert not same(wanted, there[1:])
    ask["options"][0]["max_length"] = 100
    assert not same(wanted, there)
    assert discord.pace.invalid == 0


async def test_an_owner_hears_what_is_wrong(discord: DiscordApi, api: Api) -> None:
    found = await looked_at(api, APPLICATION_ID, "00" * 32, [GUILD], COMMANDS)
    assert [one.split(";")[0].split(",")[0] for one in found.wrong] == [
        "public_key is not the application's",
        "Discord does not know where this stack is",
        "no commands are registered",
    ]
    other = await looked_at(api, "1100000000000000002", PUBLIC_KEY, [GUILD], COMMANDS)
    assert f"the bot token is that of the application {APPLICATION_ID}" in other.wrong[0]
    for guild in ("", GUILD):
        await register(api, APPLICATION_ID, commands(COMMANDS, everywhere=not guild)[:2], guild)
    found = await looked_at(api, APPLICATION_ID, PUBLIC_KEY, [GUILD], COMMANDS)
    assert [one.split(";")[0].split(" for")[0] for one in found.wrong[1:]] == [
        "the commands everywhere are not those of this version",
        f"the commands in the server {GUILD} are not those of this version",
        f"members of the server {GUILD} see ask, help twice,",
    ]
    discord.commands.closed.add(GUILD)
    found = await looked_at(api, APPLICATION_ID, PUBLIC_KEY, [GUILD], COMMANDS)
    assert f"the bot is not in the server {GUILD}" in found.wrong[-1]
