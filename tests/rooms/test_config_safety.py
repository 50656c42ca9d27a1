from pathlib import Path

import pytest

from dagi.config import Loaded, load
from dagi.errors import ConfigError


def loaded(folder: Path, text: str, profile: str = "prod", **environ: str) -> Loaded:
    (folder / "my.yml").write_text(text)
    return load(profile, Path("my.yml"), environ=environ, cwd=folder)


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("debug: true", "my.yml:2 debug: is for development alone; set debug: false"),
        ("dao: {demo: true}", "my.yml:2 dao.demo: seeds a DAO whose members everybody knows; set dao.demo: false"),
        (
            "database: {url: 'postgresql://dagi:dagi@db/dagi'}",
            "my.yml:2 database.url: has a password everybody knows; give the database user",
        ),
        (
            "database: {url: 'postgresql://app:changeme@db/dagi'}",
            "my.yml:2 database.url: has a password everybody knows; give the database",
        ),
    ],
)
def test_an_open_door_is_told_with_what_to_set(tmp_path: Path, environment: str, text: str, told: str) -> None:
    [line] = loaded(tmp_path, f"environment: {environment}\n{text}").unsafe()

    assert line.startswith(told)
    assert line.endswith(f"(environment is {environment})")


def test_a_placeholder_in_place_of_a_key_is_told_without_it(tmp_path: Path) -> None:
    [line] = loaded(tmp_path, "", DEEPSEEK_API_KEY="your-key-here").unsafe()

    assert line.startswith("dagi/config/defaults.yml:")
    assert "llm_providers[1].config.api_key_env: leads to a placeholder instead of a key" in line
    assert "your-key-here" not in line


def test_development_may_have_its_doors_open(tmp_path: Path) -> None:
    assert loaded(tmp_path, "debug: true\ndatabase: {url: 'postgresql://dagi:dagi@db/dagi'}", "dev").unsafe() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])  # noqa: S104 - refused here
def test_development_does_not_listen_beyond_its_machine(tmp_path: Path, host: str) -> None:
    [line] = loaded(tmp_path, f"server: {{host: '{host}'}}", "dev").unsafe()

    assert line.startswith("my.yml:1 server.host: development serves callers without a key")


def test_real_secrets_and_any_host_are_safe(tmp_path: Path) -> None:
    text = "server: {host: 0.0.0.0}\ndatabase: {url: 'postgresql://dagi:Zk3v@db/dagi'}"

    assert loaded(tmp_path, text, DEEPSEEK_API_KEY="sk-8f3a").unsafe() == []


@pytest.mark.parametrize(
    ("profile", "text", "told"),
    [
        ("prod", "routing_rules: []", "my.yml:1 routing_rules: there are no routing rules"),
        ("prod", "logging: {level: DEBUG}", "my.yml:1 logging.level: DEBUG costs speed"),
        ("dev", "version: '0.4.0'", "my.yml:1 version: was written for DAGI Stack 0.4.0"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path, profile: str, text: str, told: str) -> None:
    [line] = loaded(tmp_path, text, profile).warnings

    assert line.startswith(told)


@pytest.mark.parametrize(
    ("chain", "key"),
    [
        ("rpc_url: 'http://node.example:8545/s3cret'", "rpc_url"),
        ("rpc_url_env: NODE", "rpc_url_env"),
        ("rpc_url: 'https://node.example'", ""),
        ("rpc_url: 'http://127.0.0.1:8545'", ""),
        ("rpc_url_env: NOWHERE", ""),
    ],
)
def test_a_node_reached_in_the_clear_is_a_warning_beyond_development(tmp_path: Path, chain: str, key: str) -> None:
    text = f"chains: [{{name: main, chain_id: 1, {chain}}}]"
    told = loaded(tmp_path, text, NODE="http://10.0.0.7/s3cret").warnings
    assert [line.partition(" is ")[0] for line in told] == ([f"my.yml:1 chains[0].{key}:"] if key else [])
    assert "s3cret" not in str(told)
    assert loaded(tmp_path, text, "dev", NODE="http://10.0.0.7/s3cret").warnings == ()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1", "[::1]"])
def test_loopback_has_several_names(tmp_path: Path, host: str) -> None:
    assert loaded(tmp_path, f"server: {{host: '{host}'}}\nversion: '0.2'", "dev").warnings == ()


@pytest.mark.parametrize("url", ["postgresql://a:b@[x/y", "postgresql://a:s3c#ret@x/y"])
def test_a_database_address_that_cannot_be_read_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="database.url: cannot be read") as caught:
        loaded(tmp_path, f"database: {{url: '{url}'}}")
    assert "s3c" not in caught.value.message


def test_a_password_from_elsewhere_is_judged_as_one_in_the_address(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("postgres\n")
    found = loaded(tmp_path, "environment: production\ndatabase: {url: 'postgresql://a@x/y', password_file: password}").unsafe()
    assert any("database.password_file" in line and "everybody knows" in line for line in found)
    with pytest.raises(ConfigError, match="database.password_file"):
        loaded(tmp_path, "database: {url: 'postgresql://a@x/y', password_file: nowhere}")
    with pytest.raises(ConfigError, match="did you mean"):
        loaded(tmp_path, "database: {url: 'postgresql://a@x/y', password: s3cret}")


@pytest.mark.parametrize(
    ("url", "odd"),
    [
        ("postgresql://a@db.example/y", True),
        ("postgresql://a@db.example/y?sslmode=prefer", True),
        ("postgresql://a@db.example/y?sslmode=verify-full", False),
        ("postgresql://a@127.0.0.1/y", False),
        ("postgresql://a@/y?host=/run/postgresql", False),
    ],
)
def test_a_database_far_away_without_tls_is_worth_a_word(tmp_path: Path, url: str, odd: bool) -> None:
    found = loaded(tmp_path, f"environment: production\ndatabase: {{url: '{url}'}}").advice()
    assert any("TLS" in hazard.what for hazard in found) == odd
