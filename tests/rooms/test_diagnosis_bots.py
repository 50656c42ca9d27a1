"""The doctor looks at bots: what keeps each from answering, with what to do about it, and without its token."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import yaml

from dagi.assemble.diagnosis.bots import about_bots
from dagi.assemble.installation import Choice, Installation
from dagi.channels.telegram.updates import ALLOWED
from dagi.testing.discord_api import BOT_TOKEN, DiscordApi
from dagi.testing.discord_delivery import PUBLIC_KEY
from dagi.testing.discord_payloads import APPLICATION_ID
from dagi.testing.telegram import SECRET, TOKEN, BotApi

pytestmark = pytest.mark.anyio
HOOK = "https://dao.example/telegram/webhook/main"


@pytest.fixture
async def telegram(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[BotApi]:
    """Telegram's servers, where everything is as it should be."""
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_SECRET", SECRET)
    async with BotApi() as api:
        api.webhook = {"url": HOOK}
        api.commands = {"": [{"command": "help"}]}
        yield api


async def found(tmp_path: Path, channels: dict[str, object]) -> list[tuple[str, str]]:
    """Severity and text of all that is found."""
    path = tmp_path / "my.yml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "channels": channels}), encoding="utf-8")
    installation = Installation.of(Choice(profile="dev", config=str(path)))
    reports = [report.finding async for report in about_bots(installation)]
    assert all(TOKEN not in one.what + one.fix for one in reports)
    return [(one.severity, f"{one.what} → {one.fix}") for one in reports]


async def of_telegram(tmp_path: Path, telegram: BotApi, **bot: object) -> list[tuple[str, str]]:
    main = {"name": "main", "dao_id": "green", "token_env": "BOT_TOKEN", "secret_env": "BOT_SECRET", **bot}
    return await found(tmp_path, {"telegram": {"api_base_url": telegram.url, "bots": [main]}})


async def test_a_bot_of_which_nothing_is_wrong_is_told_in_one_line(tmp_path: Path, telegram: BotApi) -> None:
    ((severity, told),) = await of_telegram(tmp_path, telegram)
    assert (severity, told.startswith(f"@dagi_test_bot; updates come by webhook to {HOOK}; 0 wait")) == ("ok", True)


async def test_what_keeps_a_bot_from_answering_is_an_error_that_says_what_to_do(
    tmp_path: Path, telegram: BotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    telegram.webhook = {}
    ((severity, told),) = await of_telegram(tmp_path, telegram)
    assert (severity, "dagi telegram set-webhook https://" in told) == ("error", True)
    monkeypatch.setenv("BOT_TOKEN", TOKEN[:-1] + "x")
    ((severity, told),) = await of_telegram(tmp_path, telegram)
    assert (severity, "BotFather" in told, TOKEN[:-1] in told) == ("error", True, False)
    monkeypatch.setenv("BOT_TOKEN", "nonsense")
    ((severity, told),) = await of_telegram(tmp_path, telegram)
    assert (severity, "not of the form BotFather gives" in told) == ("error", True)


async def test_what_is_odd_about_a_bot_is_told_beside_that_it_works(tmp_path: Path, telegram: BotApi) -> None:
    telegram.trouble = {"last_error_date": 1_790_000_000, "last_error_message": "Connection refused", "allowed_updates": [ALLOWED[0]]}
    telegram.commands = {}
    chats = {"-100": {"mention_only": False}}
    told = await of_telegram(tmp_path, telegram, username="other_bot", chats=chats)
    assert [severity for severity, _ in told] == ["ok", *["warning"] * 5]
    for words in ("@other_bot", "/setprivacy", "does not deliver", "Connection refused", "its commands"):
        assert any(words in line for _, line in told)
    telegram.reads_all = True
    assert not any("/setprivacy" in line for _, line in await of_telegram(tmp_path, telegram, chats=chats))


async def test_a_webhook_of_a_bot_that_fetches_and_a_server_that_is_not_there_are_told(tmp_path: Path, telegram: BotApi) -> None:
    told = await of_telegram(tmp_path, telegram, mode="polling")
    assert [(severity, "mode is polling" in line) for severity, line in told] == [("ok", False), ("warning", True)]
    main = {"name": "main", "dao_id": "green", "token_env": "BOT_TOKEN", "mode": "polling"}
    ((severity, line),) = await found(tmp_path, {"telegram": {"api_base_url": "http://127.0.0.1:9", "bots": [main]}})
    assert (severity, "did not answer" in line) == ("warning", True)


async def test_a_bot_without_a_token_is_off_and_the_doctor_says_so(tmp_path: Path, telegram: BotApi) -> None:
    ((severity, line),) = await of_telegram(tmp_path, telegram, token_env="NOBODY_SET_IT")
    assert (severity, "NOBODY_SET_IT is not set" in line) == ("warning", True)


async def test_what_is_wrong_with_an_application_of_discord_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD", BOT_TOKEN)
    async with DiscordApi() as discord:

        async def told(**changes: object) -> tuple[str, str]:
            main = {
                "name": "main",
                "dao_id": "green",
                "application_id": APPLICATION_ID,
                "public_key": PUBLIC_KEY,
                "bot_token_env": "DISCORD",
            }
            ((severity, line),) = await found(tmp_path, {"discord": {"api_base_url": discord.url, "applications": [{**main, **changes}]}})
            assert BOT_TOKEN not in line
            return severity, line

        severity, line = await told()
        assert (severity, "set-endpoint" in line) == ("warning", True)
        severity, line = await told(public_key="0" * 64)
        assert (severity, f"public_key: {PUBLIC_KEY}" in line) == ("error", True)
        severity, line = await told(application_id="1299999999999999999")
        assert (severity, f"that of the application {APPLICATION_ID}" in line) == ("error", True)
        monkeypatch.setenv("DISCORD", BOT_TOKEN[:-1] + "x")
        severity, line = await told()
        assert (severity, "developer portal" in line) == ("error", True)
