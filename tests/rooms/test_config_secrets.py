"""No value that holds a secret of the configuration shows it."""

import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.assemble.installation import Choice, Installation
from dagi.assemble.outside import Outside, read_outside
from dagi.assemble.providers import Configured, read_providers
from dagi.chain.rpc import Node
from dagi.config import load
from dagi.identities.discord import DiscordSettings
from dagi.identities.linking import Parts
from dagi.ports.provider import ProviderTools
from dagi.targets.models.failures import Failures

# Fields by whose name nobody expects a secret. Whoever adds a field of text decides here.
PLAIN = {"name", "client_id", "redirect_url", "api_url", "authorize_url", "type", "missing", "provider", "notes"}
OPEN = {
    Node: {"chain_id": 1},
    DiscordSettings: {},
    Outside: {},
    Parts: dict.fromkeys(("persons", "pending", "clock", "observer", "chance", "wallets", "discord")),
    ProviderTools: dict.fromkeys(("http", "facts", "clock")),
    Configured: {**dict.fromkeys(("provider", "settings", "resilience")), "selectable": False},
    Failures: {"now": None},
}


def texts(kind: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind) if field.type in {str, str | None} and field.name not in OPEN[kind]]


def test_every_kind_has_its_secrets() -> None:
    found = {kind.__name__: [name for name in texts(kind) if name not in PLAIN] for kind in OPEN}
    assert found == {
        "Node": ["url"],
        "DiscordSettings": ["client_secret"],
        "Outside": ["telegram_token", "discord_secret"],
        "Parts": ["telegram_token"],
        "ProviderTools": ["api_key"],
        "Configured": ["api_key"],
        "Failures": ["api_key"],
    }


@pytest.mark.parametrize("kind", OPEN, ids=lambda kind: kind.__name__)
@given(hidden=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=24, max_size=40))
def test_a_secret_is_not_in_what_is_shown(kind: Callable[..., object], hidden: str) -> None:
    values = {name: "plain" if name in PLAIN else f"s3cret{hidden}" for name in texts(kind)}
    assert f"s3cret{hidden}" not in repr(kind(**OPEN[kind], **values))
    assert "***" in repr(kind(**OPEN[kind], **values))


def test_the_whole_configuration_shows_none_of_its_secrets(tmp_path: Path) -> None:
    names = ("DATABASE", "PASSWORD", "COUNTERS", "KEY", "NODE", "TELEGRAM", "DISCORD", "HEADER")
    hidden = {name: secrets.token_hex(12) for name in names}
    (tmp_path / "node").write_text(f"https://node.example/{hidden['NODE']}file\n", encoding="utf-8")
    text = f"""
database: {{url: 'postgresql://dagi:${{DATABASE}}@db/dagi', password_env: PASSWORD}}
limits: {{url: 'redis://:{hidden["COUNTERS"]}@counters/0'}}
llm_providers:
  - {{name: mine, type: openai_compatible, config: {{base_url: 'https://a.example/{hidden["HEADER"]}', model: m, api_key_env: KEY}}}}
chains:
  - {{name: one, chain_id: 1, rpc_url_env: NODE}}
  - {{name: two, chain_id: 2, rpc_url: 'https://b.example/{hidden["NODE"]}'}}
  - {{name: three, chain_id: 3, rpc_url_file: node}}
identities: {{telegram: {{bot_token_env: TELEGRAM}}, discord: {{client_id: '1', client_secret_env: DISCORD}}}}
"""
    (tmp_path / "my.yml").write_text(text, encoding="utf-8")
    environ = {**hidden, "NODE": f"https://c.example/{hidden['NODE']}"}
    loaded = load(None, Path("my.yml"), cwd=tmp_path, environ=environ)
    outside = read_outside(loaded)
    assert (len(outside.nodes), outside.telegram_token, outside.notes) == (3, hidden["TELEGRAM"], ())
    told = repr((loaded, outside, Installation(loaded, tmp_path, Choice()), read_providers(loaded)))
    assert [name for name, secret in hidden.items() if secret in told] == []
