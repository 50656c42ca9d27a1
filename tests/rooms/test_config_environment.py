from pathlib import Path

import pytest

from dagi.config import Environment, load
from dagi.errors import ConfigError


def refusal(folder: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load("prod", environ=environ, cwd=folder)
    return caught.value.message.split("\n")


@pytest.mark.parametrize(
    ("text", "meant"),
    [("greenfood", "greenfood"), ("null", None), ("", None), ('"null"', "null"), ("'8'", "8"), (" x ", "x")],
)
def test_a_variable_is_one_yaml_scalar(tmp_path: Path, text: str, meant: str | None) -> None:
    assert load("prod", environ={"DAGI__DAO__DEFAULT": text}, cwd=tmp_path).settings.dao.default == meant


def test_a_variable_reaches_any_depth(tmp_path: Path) -> None:
    found = load("prod", environ={"DAGI__LOGGING__ROTATION__MAX_FILES": "3"}, cwd=tmp_path)

    assert (found.settings.logging.rotation.max_files, found.settings.logging.rotation.max_size_mb) == (3, 100)


def test_a_variable_changes_a_provider_by_name(tmp_path: Path) -> None:
    environ = {
        "DAGI__LLM_PROVIDERS__LLM_LOCAL_QWEN3_8B__CONFIG__MODEL": "qwen3:4b",
        "DAGI__LLM_PROVIDERS__LLM_LOCAL_QWEN3_8B__CONFIG__RETRY__ATTEMPTS": "3",
    }

    found = load("prod", environ=environ, cwd=tmp_path)

    provider = found.settings.llm_providers[0]
    limits = {"max_tokens": 400, "timeout_ms": 120_000, "first_token_timeout_ms": 15_000, "idle_timeout_ms": 15_000}
    assert provider.config == {"base_url": "http://127.0.0.1:11434", "model": "qwen3:4b", **limits, "retry": {"attempts": 3}}
    assert str(found.origins.source("llm_providers[0].config.model")) == "env DAGI__LLM_PROVIDERS__LLM_LOCAL_QWEN3_8B__CONFIG__MODEL"
    assert found.origins.source("llm_providers[0].name").file == "dagi/config/defaults.yml"


def test_a_variable_spells_any_sign_of_a_name_as_an_underscore(tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text("llm_providers: [{name: 'my-qwen3:8b', type: ollama}]")
    environ = {"DAGI__LLM_PROVIDERS__MY_QWEN3_8B__SELECTABLE": "true"}

    assert load(None, Path("my.yml"), environ=environ, cwd=tmp_path).settings.llm_providers[6].selectable is True


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("DAGI__SERVR__PORT", 'env DAGI__SERVR__PORT servr: unknown key; did you mean "server"?'),
        ("DAGI__SERVER__PRT", 'env DAGI__SERVER__PRT server.prt: unknown key; did you mean "port"?'),
        ("DAGI__", "env DAGI__: name one setting"),
        ("DAGI__SERVER____PORT", "env DAGI__SERVER____PORT: name one setting"),
        ("DAGI__" + "__".join("A" * 40), "env DAGI__A__"),
        ("DAGI__ROUTING_RULES__0__NAME", "env DAGI__ROUTING_RULES__0__NAME: routing rules are replaced as a whole"),
        ("DAGI__LLM_PROVIDERS", "env DAGI__LLM_PROVIDERS: name the provider and one of its keys"),
        ("DAGI__LLM_PROVIDERS__DAO_FACTS", "env DAGI__LLM_PROVIDERS__DAO_FACTS: name the provider and one of its keys"),
        (
            "DAGI__LLM_PROVIDERS__DAO_FACT__TYPE",
            'env DAGI__LLM_PROVIDERS__DAO_FACT__TYPE: "dao_fact" is the name of no provider; did you mean "dao_facts"?',
        ),
        ("DAGI__DEBUG__X", "env DAGI__DEBUG__X debug: must be true or false, not a mapping"),
    ],
)
def test_a_variable_that_means_nothing_is_named(tmp_path: Path, name: str, told: str) -> None:
    [line] = refusal(tmp_path, **{name: "x"})

    assert line.startswith(told)


def test_a_variable_that_could_mean_two_providers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text("llm_providers: [{name: a-b, type: x}, {name: a.b, type: x}]")

    with pytest.raises(ConfigError, match='"a_b" may be any of several providers'):
        load(None, Path("my.yml"), environ={"DAGI__LLM_PROVIDERS__A_B__TYPE": "y"}, cwd=tmp_path)


@pytest.mark.parametrize("text", ["9" * 100, "\udcff", "a\0b"])
def test_a_variable_that_holds_no_value_is_named_without_its_text(tmp_path: Path, text: str) -> None:
    [line] = refusal(tmp_path, DAGI__DAO__DEFAULT=text)

    assert line.startswith("env DAGI__DAO__DEFAULT: ")
    assert text not in line


def test_other_variables_are_none_of_our_business(tmp_path: Path) -> None:
    assert load("prod", environ={"DAGI_HOME": "x", "dagi__debug": "x"}, cwd=tmp_path).settings.debug is False


def test_dotenv_is_read_and_the_real_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# ours\nDAGI__SERVER__PORT=1111\nexport DAGI__DAO__DEFAULT='green'\nA='p$ss${B}'\nEMPTY\n")

    found = load("prod", environ={"DAGI__SERVER__PORT": "2222"}, cwd=tmp_path)

    assert (found.settings.server.port, found.settings.dao.default) == (2222, "green")
    assert found.environment.get("A") == "p$ss${B}"
    assert found.environment.get("EMPTY") is None


def test_a_broken_line_of_dotenv_is_told_without_its_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nhunter2 is my key\n")

    with pytest.raises(ConfigError, match=r"^\.env:2: write NAME=value, one a line; text with spaces in quotes$"):
        load("prod", environ={}, cwd=tmp_path)


def test_the_process_environment_is_read_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGI__SERVER__PORT", "4711")
    monkeypatch.chdir(tmp_path)

    assert load("prod").settings.server.port == 4711


def test_a_secret_comes_from_its_variable(tmp_path: Path) -> None:
    environment = Environment({"KEY": "sk-1\n", "EMPTY": " "}, tmp_path)

    assert environment.secret({"api_key_env": "KEY"}) == "sk-1"
    assert environment.secret({"api_key_env": "EMPTY"}) is None
    assert environment.secret({"api_key_env": "UNSET"}) is None
    assert environment.secret({}) is None
    assert environment.secret({"token_env": "KEY"}, "token") == "sk-1"


def test_a_secret_that_stands_in_the_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write api_key_env: NAME_OF_A_VARIABLE or api_key_file: PATH instead"):
        Environment({}, tmp_path).secret({"api_key": "hunter2"})


def test_a_secret_file_wins_over_the_variable(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file\n")
    (tmp_path / "empty").write_text("\n")
    environment = Environment({"KEY": "sk-1"}, tmp_path)

    assert environment.secret({"api_key_env": "KEY", "api_key_file": "key"}) == "sk-file"
    assert environment.secret({"api_key_file": str(tmp_path / "key")}) == "sk-file"
    assert environment.secret({"api_key_file": "empty"}) is None


@pytest.mark.parametrize("text", ["sk hunter2", "sk\r\nX-Evil: hunter2", "hunter2ї", "hunter2\x7f"])
def test_a_secret_that_would_break_out_of_a_header_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Environment({"KEY": text}, tmp_path).secret({"api_key_env": "KEY"})

    assert caught.value.message == "the variable KEY of api_key_env holds a space, a line break or another character that no key has"


def test_a_snapshot_never_shows_what_it_holds(tmp_path: Path) -> None:
    values = {"KEY": "hunter2"}
    environment = Environment(values, tmp_path)
    values["KEY"] = "changed"

    assert "hunter2" not in repr(environment)
    assert environment.get("KEY") == "hunter2"
