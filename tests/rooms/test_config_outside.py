"""Chains and platforms in the configuration: what is read, what is refused, what is off."""

from pathlib import Path

import pytest

from dagi.assemble.outside import Outside, read_outside
from dagi.config import load
from dagi.errors import ConfigError

BASE = "https://node.example"


def read(tmp_path: Path, text: str, **environ: str) -> Outside:
    file = tmp_path / "my.yml"
    file.write_text(text, encoding="utf-8")
    return read_outside(load(None, file, cwd=tmp_path, environ=environ))


def refused(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text, **environ)
    return error.value.message


def test_a_chain_is_a_name_a_number_and_a_node(tmp_path: Path) -> None:
    (node,) = read(tmp_path, f"chains: [{{name: main, chain_id: 1, rpc_url: '{BASE}', timeout_ms: 250, max_batch: 1}}]\n").nodes
    assert (node.name, node.chain_id, node.url, node.timeout_s, node.most_at_once) == ("main", 1, BASE, 0.25, 1)


def test_the_address_of_a_node_may_be_a_secret(tmp_path: Path) -> None:
    text = "chains: [{name: main, chain_id: 1, rpc_url_env: NODE_URL}]\n"
    assert read(tmp_path, text, NODE_URL=f"{BASE}/v3/key").nodes[0].url == f"{BASE}/v3/key"
    off = read(tmp_path, text)
    assert off.nodes == ()
    assert off.notes == ("chains[0]: off, for NODE_URL (rpc_url) is not set",)


def test_chains_of_a_profile_and_of_a_file_merge_by_name(tmp_path: Path) -> None:
    profiles = tmp_path / "config" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "low.yml").write_text(f"chains: [{{name: main, chain_id: 1, rpc_url: '{BASE}'}}]\n", encoding="utf-8")
    file = tmp_path / "my.yml"
    file.write_text("chains: [{name: main, timeout_ms: 100}]\n", encoding="utf-8")
    (node,) = read_outside(load("low", file, cwd=tmp_path, environ={})).nodes
    assert (node.url, node.timeout_s) == (BASE, 0.1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chains: [{name: main, chain_id: 1}]", "my.yml:1 chains[0]: missing rpc_url"),
        ("chains: [{name: main, chain_id: 0, rpc_url: 'https://a'}]", "must be at least 1"),
        ("chains: [{name: main, chain_id: 1, rpc_url: 'ftp://a'}]", "must be an http:// or https:// address"),
        ("chains: [{name: main, chain_id: 1, rpc_url: 'https://u:p@a'}]", "must be an http:// or https:// address"),
        ("chains: [{name: a, chain_id: 1, rpc_url: 'http://a'}, {name: b, chain_id: 1, rpc_url: 'http://b'}]", "is that of a, too"),
        ("chains: [{name: a, chain_id: 1, rpc_url: 'http://a'}, {name: a, chain_id: 2, rpc_url: 'http://b'}]", "stands here twice"),
        ("identities: {telegram: {bot_token: '1:x'}}", 'unknown key; did you mean "bot_token_env"'),
        ("identities: {siwe: {domain: 'https://dao.example'}}", "must be the host of the page"),
        ("identities: {siwe: {domain: 'dao.example', statement: 'Привіт'}}", "must be one line of ASCII letters"),
        ("identities: {discord: {redirect_url: 'dao.example/callback'}}", "must be an http:// or https:// address"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(tmp_path, text + "\n")


def test_a_secret_that_is_none_is_refused_without_being_shown(tmp_path: Path) -> None:
    message = refused(tmp_path, "identities: {telegram: {bot_token_env: TOKEN}}\n", TOKEN="two words")
    assert "identities.telegram" in message
    assert "two words" not in message
