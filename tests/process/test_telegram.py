"""Telegram's updates survive the death of the process that answers them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from tests.conftest import DAO, configuration, merged

from dagi.channels.conversation import COMMANDS
from dagi.ports.inbox import HELD_S
from dagi.testing.telegram import SECRET, TOKEN, BotApi
from dagi.testing.upstream import Answer, Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.process]
START_S = 60


@pytest.fixture
async def telegram() -> AsyncGenerator[BotApi]:
    async with BotApi() as api:
        yield api


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    async with Upstream() as server:
        yield server


class Served:
    """A stack in processes of its own."""

    def __init__(self, process: asyncio.subprocess.Process, urls: Mapping[str, str], told: str) -> None:
        self.process = process
        self.urls = urls
        self.told = told

    async def deliver(self, update: Mapping[str, object]) -> int:
        """What Telegram does with an update: again and again until it is taken."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        async with asyncio.timeout(START_S), httpx.AsyncClient(timeout=START_S) as http:
            while True:
                try:
                    return (await http.post(self.urls["gateway"] + "/telegram/webhook", json=update, headers=headers)).status_code
                except httpx.TransportError:
                    await asyncio.sleep(0.05)

    def kill_front(self) -> None:
        """End the process that answers as the kernel does when memory is short."""
        (front,) = [one for one in psutil.Process(self.process.pid).children() if '"front"' in " ".join(one.cmdline())]
        front.send_signal(signal.SIGKILL)


@asynccontextmanager
async def served(
    tmp_path: Path, telegram: BotApi, upstream: Upstream, database_url: str | None, name: str = "one", words: tuple[str, ...] = ("serve",)
) -> AsyncGenerator[Served]:
    bot = {"name": "main", "dao_id": DAO, "token_env": "TELEGRAM_BOT_TOKEN", "secret_env": "TELEGRAM_WEBHOOK_SECRET"}
    settings = merged(
        configuration(upstream, tmp_path / name),
        {"database": {"url": database_url}, "channels": {"telegram": {"api_base_url": telegram.url, "bots": [bot]}}},
    )
    file = tmp_path / f"{name}.yml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    environment = {**os.environ, "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_WEBHOOK_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    command = (sys.executable, "-m", "dagi", *words, "--port", "0", "--config", str(file))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
    assert process.stdout is not None
    urls: dict[str, str] = {}
    told = ""
    async with asyncio.timeout(START_S):
        while "gateway" not in urls:
            line = (await process.stdout.readline()).decode()
            assert line, "the stack did not start"
            told += line
            if line.startswith(("router", "rbac", "gateway")):
                urls[line.split()[0]] = line.split()[1]
    try:
        yield Served(process, urls, told)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def to_member(telegram: BotApi) -> list[str]:
    """What the member who asks was sent."""
    return [call.text for call in telegram.sent if call.parameters["chat_id"] == 12345]


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_updates_that_were_taken_are_answered_after_kill_9_of_the_process_that_had_them(
    tmp_path: Path, database_url: str | None, telegram: BotApi, upstream: Upstream
) -> None:
    async with served(tmp_path, telegram, upstream, database_url) as stack:
        # One is being answered and never will be, its chat's next one waits behind it, another chat's is answered.
        upstream.script(Answer(hang_after=0))
        hanging = telegram.message("One?")
        assert await stack.deliver(hanging) == 200
        await upstream.until(lambda: len(upstream.heard) == 1, START_S)
        assert await stack.deliver(telegram.message("Two?")) == 200
        assert await stack.deliver(telegram.message("/help", user=54321)) == 200
        await telegram.until(lambda: len(telegram.sent) == 1, START_S)
        upstream.script(Answer(text="first"), Answer(text="second"))
        stack.kill_front()
        # The other chat's answer may come twice: it may not have been written down yet that Telegram took it.
        await telegram.until(lambda: len(to_member(telegram)) == 2, START_S)
        # Telegram has not heard that it was taken, for all we know.
        assert await stack.deliver(hanging) == 200
        assert await stack.deliver(telegram.message("/whoami")) == 200
        await telegram.until(lambda: len(to_member(telegram)) == 3, START_S)
    assert to_member(telegram)[:2] == ["first", "second"]


async def test_two_processes_on_one_database_share_the_work_and_either_may_die(
    tmp_path: Path, postgres_url: str, telegram: BotApi, upstream: Upstream
) -> None:
    sharing = partial(served, tmp_path, telegram, upstream, postgres_url)
    async with sharing("one") as one, sharing("two") as two:
        for number in range(20):
            assert await (one, two)[number % 2].deliver(telegram.message("/help", user=1000 + number)) == 200
        await telegram.until(lambda: len(telegram.sent) == 20, START_S)
        one.process.send_signal(signal.SIGKILL)
        for number in range(10):
            assert await two.deliver(telegram.message("/help", user=2000 + number)) == 200
        await telegram.until(lambda: len(telegram.sent) == 30, START_S)
    assert sorted(call.parameters["chat_id"] for call in telegram.sent) == [*range(1000, 1020), *range(2000, 2010)]


async def test_a_process_that_is_told_to_stop_in_the_middle_of_an_answer_leaves_it_to_another_at_once(
    tmp_path: Path, postgres_url: str, telegram: BotApi, upstream: Upstream
) -> None:
    sharing = partial(served, tmp_path, telegram, upstream, postgres_url)
    async with sharing("one") as one:
        upstream.script(Answer(hang_after=0))
        assert await one.deliver(telegram.message("One?")) == 200
        await upstream.until(lambda: len(upstream.heard) == 1, START_S)
        upstream.script(Answer(text="first"))
        async with sharing("two"):
            one.process.terminate()
            await one.process.wait()
            # What was not given back would be free no sooner than this after it was last said to be kept.
            await telegram.until(lambda: telegram.sent, HELD_S / 2)
    assert to_member(telegram) == ["first"]


async def test_a_laptop_fetches_what_a_webhook_brought_until_somebody_presses_ctrl_c(
    tmp_path: Path, telegram: BotApi, upstream: Upstream
) -> None:
    telegram.webhook = {"url": "https://dao.example/telegram/webhook/main"}
    async with served(tmp_path, telegram, upstream, None, words=("telegram", "poll")) as stack:
        assert "dagi telegram set-webhook https://dao.example/telegram/webhook/main --bot main" in stack.told
        assert (telegram.webhook, [*stack.urls]) == ({}, ["router", "gateway"])
        telegram.queue(telegram.message("/whoami"))
        await telegram.until(lambda: telegram.sent, START_S)
        stack.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(START_S):
            assert await stack.process.wait() == 0


async def test_a_gateway_alone_answers_questions_and_says_what_it_hears(tmp_path: Path, telegram: BotApi, upstream: Upstream) -> None:
    async with served(tmp_path, telegram, upstream, None, words=("serve", "gateway")) as stack:
        assert "/telegram/webhook (main)" in stack.told
        async with httpx.AsyncClient() as http:
            state = (await http.get(stack.urls["gateway"] + "/ready")).json()
        assert {"database", "records", "telegram:main"} <= {one["name"] for one in state["dependencies"]}
        upstream.script(Answer(text="first"))
        assert await stack.deliver(telegram.message("One?")) == 200
        await telegram.until(lambda: telegram.sent, START_S)
    assert to_member(telegram) == ["first"]


async def dagi(
    tmp_path: Path, telegram: BotApi, *arguments: str, mode: str = "webhook", word: str = "telegram", **environment: str
) -> tuple[int, str, str]:
    """Run a command of ours about a bot: its exit status, what it says, and what it complains of."""
    bot = {"name": "main", "dao_id": DAO, "token_env": "TELEGRAM_BOT_TOKEN", "secret_env": "TELEGRAM_WEBHOOK_SECRET", "mode": mode}
    file = tmp_path / "bot.yml"
    settings = {"data_dir": str(tmp_path / "data"), "channels": {"telegram": {"api_base_url": telegram.url, "bots": [bot]}}}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    secrets = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_WEBHOOK_SECRET": SECRET, **environment}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", word, *arguments, "--config", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **secrets},
    )
    async with asyncio.timeout(START_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_bots_owner_sets_its_webhook_looks_at_it_and_takes_it_away(tmp_path: Path, telegram: BotApi) -> None:
    url = "https://dao.example/telegram/webhook/main"
    status, out, err = await dagi(tmp_path, telegram, "set-webhook", url)
    assert (status, err) == (0, "")
    assert url in out
    assert telegram.webhook["url"] == url
    assert telegram.webhook["secret_token"] == SECRET
    assert "callback_query" in telegram.webhook["allowed_updates"]
    offered = [call.parameters for call in telegram.calls if call.method == "setMyCommands"]
    assert {one.get("language_code") for one in offered} == {"uk", "en", None}
    assert {command["command"] for command in offered[0]["commands"]} == set(COMMANDS)
    status, out, _ = await dagi(tmp_path, telegram, "info", "--json")
    assert (status, json.loads(out)["url"]) == (0, url)
    assert url in (await dagi(tmp_path, telegram, "info"))[1]
    assert (await dagi(tmp_path, telegram, "delete"))[0] == 0
    assert telegram.webhook == {}


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("set-webhook", "http://dao.example/telegram/webhook"), {}, "HTTPS"),
        (("set-webhook", "https://dao.example:9300/telegram/webhook"), {}, "443, 80, 88 and 8443"),
        (("info", "--bot", "other"), {}, "There is no bot other"),
        (("poll", "--bot", "other"), {}, "There is no bot other"),
        (("poll",), {"TELEGRAM_BOT_TOKEN": ""}, "TELEGRAM_BOT_TOKEN is not set"),
        (("info",), {"TELEGRAM_BOT_TOKEN": ""}, "TELEGRAM_BOT_TOKEN is not set"),
        (("info",), {"TELEGRAM_BOT_TOKEN": "nonsense"}, "not of the form BotFather gives"),
        (("info",), {"TELEGRAM_BOT_TOKEN": TOKEN[:-1] + "x"}, "Telegram did not do it for the bot main: 401 Unauthorized"),
    ],
)
async def test_what_is_wrong_with_a_bot_is_told_without_its_token(
    tmp_path: Path, telegram: BotApi, arguments: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    status, out, err = await dagi(tmp_path, telegram, *arguments, **environment)
    assert status != 0
    assert says in err
    assert "Traceback" not in err
    assert TOKEN[:-1] not in out + err


async def test_an_operator_binds_a_chat_sees_it_and_lets_it_go(tmp_path: Path, telegram: BotApi) -> None:
    chat = ("telegram", "main", "-1001234567890")
    assert (await dagi(tmp_path, telegram, "create", "bees-dao", "--name", "Bees", word="dao"))[0] == 0
    status, out, err = await dagi(tmp_path, telegram, "bind", *chat, "--dao", "bees-dao", "--hear-all", word="channel")
    assert (status, err) == (0, "")
    assert "bees-dao" in out
    (bound,) = json.loads((await dagi(tmp_path, telegram, "list", "--dao", "bees-dao", "--json", word="channel"))[1])
    assert (bound["chat"], bound["dao_id"], bound["mention_only"], bound["created_by"][:4]) == (chat[2], "bees-dao", False, "cli:")
    status, out, _ = await dagi(tmp_path, telegram, "unbind", *chat, "--yes", word="channel")
    assert (status, DAO in out) == (0, True)
    status, _, err = await dagi(tmp_path, telegram, "bind", "telegram", "other", "5", "--dao", "bees-dao", word="channel")
    assert (status != 0, "'other'" in err) == (True, True)
