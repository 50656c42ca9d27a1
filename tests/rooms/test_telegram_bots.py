"""The bots of a configuration: what is wrong with them is said, and their secrets never are."""

from pathlib import Path

import pytest
import yaml

from dagi.assemble.bots import BotPlan, read_bots
from dagi.assemble.installation import Choice, Installation
from dagi.assemble.platforms import read_platforms
from dagi.config.channel_schema import TelegramBot
from dagi.errors import ConfigError
from dagi.services.gateway.telegram import Hook
from dagi.testing.telegram import SECRET, TOKEN


def refused(tmp_path: Path, bots: str) -> str:
    """What is said about a configuration with these bots."""
    file = tmp_path / "dagi.yml"
    file.write_text(f"channels:\n  telegram:\n    bots:\n{bots}", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_bots(Installation.of(Choice(config=str(file))).loaded)
    return caught.value.message


def test_two_bots_of_one_token_are_a_mistake_and_neither_token_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", TOKEN)
    monkeypatch.setenv("OTHER", TOKEN)
    bots = "".join(f"      - {{name: {name.lower()}, dao_id: a-dao, token_env: {name}, mode: polling}}\n" for name in ("ONE", "OTHER"))
    said = refused(tmp_path, bots)
    assert "its token is that of the bot one, too" in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    "wrong", [f'token: "{TOKEN}"', "chats: {-100123: {mention_only: false}}", 'username: "@a b"', 'chats: {"-1001": {token: x}}']
)
def test_a_mistake_is_told_at_its_line_without_what_may_be_a_secret(tmp_path: Path, wrong: str) -> None:
    said = refused(tmp_path, f"      - name: main\n        dao_id: a-dao\n        {wrong}\n")
    assert "dagi.yml:6" in said
    assert TOKEN not in said


@pytest.mark.parametrize("name", ["a/b", "a b", "a:b", "a@b"])
def test_a_name_that_no_address_leads_to_is_a_mistake(tmp_path: Path, name: str) -> None:
    said = refused(tmp_path, f'      - {{name: "{name}", dao_id: a-dao, mode: polling}}\n')
    assert "name" in said
    assert "letters, digits" in said


def test_where_one_bot_is_polled_the_others_and_discord_are_off_whatever_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", TOKEN)
    file = tmp_path / "dagi.yml"
    bots = [{"name": "one", "dao_id": "a-dao", "token_env": "ONE"}, {"name": "two", "dao_id": "a-dao", "token_env": "NONE"}]
    application = {"name": "x", "dao_id": "a-dao", "application_id": "1" * 19, "public_key": "0" * 64, "bot_token_env": "NONE"}
    file.write_text(yaml.safe_dump({"channels": {"telegram": {"bots": bots}, "discord": {"applications": [application]}}}))
    with pytest.raises(ConfigError, match="NONE is not set"):
        read_platforms(Installation.read(Choice(config=str(file))))
    found = read_platforms(Installation.read(Choice(config=str(file), poll="one")))
    assert (found.ways, [*found.notes]) == (("fetches from Telegram (one)",), [])


def test_nobody_reads_a_secret_where_a_bot_is_shown() -> None:
    settings = TelegramBot(name="main", dao_id="a-dao")
    shown = f"{Hook(bot='main', secret=SECRET.encode())!r} {BotPlan(settings=settings, token=TOKEN, secret=SECRET)!r}"
    assert SECRET not in shown
    assert TOKEN not in shown
