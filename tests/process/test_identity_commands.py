"""`dagi identity` as an operator types it."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dagi.cli import build
from dagi.errors import DagiError
from dagi.testing.local_chain import ACCOUNTS, PRIVATE_KEYS, signed

pytestmark = pytest.mark.process
WALLET = f"eth:{ACCOUNTS[1].lower()}"


class Terminal:
    """Commands, one after the other, on one data directory."""

    def __init__(self, tmp_path: Path) -> None:
        self._file = tmp_path / "own.yml"
        settings = {"data_dir": str(tmp_path / "own"), "identities": {"siwe": {"domain": "dao.example"}}}
        self._file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self._app = build(["dao", "member", "identity"])

    def run(self, *words: str, answer: str = "") -> str:
        result = CliRunner().invoke(self._app, [*words, "--config", str(self._file), "--profile", "dev"], input=answer)
        if isinstance(result.exception, DagiError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    def accounts(self, user: str) -> dict[str, str]:
        found = json.loads(self.run("identity", "list", user, "--json"))
        return {one["id"]: one["proved_by"] for one in found["identities"]}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    found = Terminal(tmp_path)
    found.run("dao", "create", "green", "--name", "Green")
    found.run("member", "create", "tg:1", "--dao", "green", "--role", "admin")
    return found


def test_an_operator_links_moves_and_unlinks_accounts(terminal: Terminal) -> None:
    terminal.run("member", "create", "tg:2", "--dao", "green", "--role", "member")
    shown = terminal.run("identity", "link", "tg:1", "dc:9", answer="y\n")
    assert "tg:1: tg:1 (green: admin)" in shown
    assert "dc:9: known nowhere yet" in shown
    assert terminal.accounts("dc:9") == {"tg:1": "", "dc:9": "operator"}
    terminal.run("identity", "transfer", "dc:9", "--to", "tg:2", "--yes")
    assert terminal.accounts("tg:2") == {"tg:2": "", "dc:9": "operator"}
    assert "dc:9" not in terminal.run("identity", "unlink", "dc:9", "--yes")
    assert "Nobody is known" in terminal.run("identity", "list", "dc:9")


def test_a_wallet_signs_what_is_printed_and_is_linked(terminal: Terminal, tmp_path: Path) -> None:
    text = terminal.run("identity", "siwe", "tg:1", "--address", ACCOUNTS[1])
    file = tmp_path / "message.txt"
    file.write_text(text, encoding="utf-8")
    signature = signed(text, PRIVATE_KEYS[1])
    shown = terminal.run("identity", "siwe", "tg:1", "--message", str(file), "--signature", signature, answer="y\n")
    assert WALLET in shown
    assert terminal.accounts(f"eth:{ACCOUNTS[1]}") == {"tg:1": "", WALLET: "siwe"}


def test_a_code_is_printed_with_a_warning(terminal: Terminal) -> None:
    assert "Give it to nobody but that person" in terminal.run("identity", "code", "tg:1")
    assert len(json.loads(terminal.run("identity", "code", "tg:1", "--json"))["code"]) == 30


def test_mistakes_are_told(terminal: Terminal, tmp_path: Path) -> None:
    with pytest.raises(DagiError, match="only account"):
        terminal.run("identity", "unlink", "tg:1", "--yes")
    with pytest.raises(DagiError, match="capitals"):
        terminal.run("identity", "list", f"eth:{ACCOUNTS[1].replace('0x70', '0x71')}")
    with pytest.raises(DagiError, match="--address first"):
        terminal.run("identity", "siwe", "tg:1")
    with pytest.raises(DagiError, match="cannot be read"):
        terminal.run("identity", "siwe", "tg:1", "--message", str(tmp_path / "none"), "--signature", "0x00")
