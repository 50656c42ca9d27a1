from pathlib import Path

import pytest

from dagi.config import load, unknown_key, within
from dagi.errors import ConfigError


def refusal(folder: Path, text: str, **environ: str) -> list[str]:
    """What is said about a file that may not load."""
    (folder / "my.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(None, Path("my.yml"), environ=environ, cwd=folder)
    return caught.value.message.split("\n")


def test_an_unknown_key_is_told_with_line_path_nearest_and_allowed(tmp_path: Path) -> None:
    text = "debug: false\nllm_providers:\n  - name: x\n    typ: ollama\n"

    assert refusal(tmp_path, text) == [
        'my.yml:4 llm_providers[6].typ: unknown key; did you mean "type"? Allowed: config, name, selectable, type'
    ]


def test_an_unknown_key_at_the_top_is_told(tmp_path: Path) -> None:
    [line] = refusal(tmp_path, "loging: {}\n")

    assert line.startswith('my.yml:1 loging: unknown key; did you mean "logging"? Allowed: cache, chains, channels, dao, data_dir,')


def test_a_key_that_resembles_nothing_gets_no_guess(tmp_path: Path) -> None:
    assert refusal(tmp_path, "dao: {zzz: 1}\n") == ["my.yml:1 dao.zzz: unknown key; Allowed: default, demo"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("debug: yes", 'debug: must be true or false, not "yes"'),
        ("debug: 1", "debug: must be true or false, not 1"),
        ("server: {port: 70000}", "server.port: must be at most 65535, not 70000"),
        ("server: {port: -1}", "server.port: must be at least 0, not -1"),
        ("server: {port: true}", "server.port: must be a whole number, not true"),
        ("server: {port: 1.5}", "server.port: must be a whole number, not 1.5"),
        ('server: {port: "9102"}', 'server.port: must be a whole number, not "9102"'),
        ("server: {host: ''}", 'server.host: must not be empty, not ""'),
        ("server: [1]", "server: must be a mapping (key: value), not a list"),
        ("server:", "server: must be a mapping (key: value); nothing stands here: write a value, or remove the line"),
        ("version: 0.3", "version: must be text, not 0.3; put it in quotes"),
        ("version: latest", 'version: must be a version such as "0.3.0"'),
        ("environment: prod", 'environment: cannot be "prod"; did you mean "production"? Allowed: development, production, staging'),
        ("logging: {level: debug}", 'logging.level: cannot be "debug"; did you mean "DEBUG"? Allowed: DEBUG, ERROR, INFO, WARNING'),
        ("dialogs: {flush_ms: 0}", "dialogs.flush_ms: must be at least 1, not 0"),
        (
            "database: {url: 'mysql://a:hunter2@b/c'}",
            "database.url: must begin with postgresql:// or sqlite://, or be null for SQLite in data_dir",
        ),
        (
            'channels: {telegram: {bots: [{name: a, dao_id: b, chats: {"x": {}}}]}}',
            'channels.telegram.bots[0].chats.x: must be the id of a chat in quotes, such as "-1001234567890"',
        ),
        ("llm_providers: {a: 1}", "llm_providers: must be a list, not a mapping"),
        ("llm_providers: [x]", 'llm_providers[6]: must be a mapping (key: value), not "x"'),
        ("llm_providers: [{type: x}]", 'llm_providers[6].name: missing; every entry of this list needs "name"'),
        ("llm_providers: [{name: x, type: y, config: [1]}]", "llm_providers[6].config: must be a mapping (key: value), not a list"),
        ("routing_rules: [x]", 'routing_rules[0]: must be a mapping (key: value), not "x"'),
        ("routing_rules: [{priority: 1}]", "routing_rules[0].name: missing; a rule needs a name, which logs and answers tell"),
        ("routing_rules: [{name: 7}]", "routing_rules[0].name: must be text, not 7"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_wanted(tmp_path: Path, text: str, told: str) -> None:
    assert refusal(tmp_path, text) == [f"my.yml:1 {told}"]


@pytest.mark.parametrize("name", ["", "two words", "tab\\there", "-x", "x" * 65, "a\\u0000b", "ім'я"])
def test_a_name_that_cannot_stand_in_logs_and_headers_is_refused(tmp_path: Path, name: str) -> None:
    for key in ("llm_providers", "routing_rules"):
        lines = refusal(tmp_path, f'{key}: [{{name: "{name}", type: x}}]' if key == "llm_providers" else f'{key}: [{{name: "{name}"}}]')
        assert len(lines) == 1
        assert ".name: " in lines[0]


@pytest.mark.parametrize("name", ["prod_chat", "Prod-Chat.2", "qwen3:8b", "openai/gpt-5", "8ball"])
def test_names_of_models_are_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "my.yml").write_text(f"llm_providers: [{{name: '{name}', type: x}}]\nrouting_rules: [{{name: '{name}'}}]")

    assert load(None, Path("my.yml"), environ={}, cwd=tmp_path).settings.llm_providers[6].name == name


def test_all_mistakes_of_all_layers_are_told_at_once_in_order(tmp_path: Path) -> None:
    text = "server:\n  port: x\n  prt: 1\ndebug: maybe\nlogging: {rotation: {max_files: 0}}\nlogging: {}\n"

    lines = refusal(tmp_path, text, DAGI__DEBUGG="1", DAGI__RETENTION__DIALOGS_DAYS="0")

    assert [line.split(": ")[0] for line in lines] == [
        "my.yml:2 server.port",
        "my.yml:3 server.prt",
        "my.yml:4 debug",
        "my.yml:5 logging.rotation.max_files",
        "my.yml:6 logging",
        "env DAGI__DEBUGG debugg",
        "env DAGI__RETENTION__DIALOGS_DAYS retention.dialogs_days",
    ]


def test_very_many_mistakes_are_counted_rather_than_listed(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "".join(f"k{number}: 1\n" for number in range(500)))

    assert len(lines) == 51
    assert lines[-1] == "… and 450 more mistakes"


def test_a_name_used_twice_in_one_file_is_a_mistake(tmp_path: Path) -> None:
    text = "llm_providers:\n  - {name: a, type: x}\n  - {name: a, type: y}\n"

    assert refusal(tmp_path, text) == ['my.yml:3 llm_providers[1].name: "a" stands here twice, first in line 2; give one another name']


def test_two_broken_files_are_told_together(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "profiles"
    folder.mkdir(parents=True)
    (folder / "mine.yml").write_text("a: [1\n")
    (tmp_path / "my.yml").write_text("- 1\n")

    with pytest.raises(ConfigError) as caught:
        load("mine", Path("my.yml"), environ={}, cwd=tmp_path)

    first, second = caught.value.message.split("\n")
    assert first.startswith("config/profiles/mine.yml:2:1: this is not valid YAML: ")
    assert second == "my.yml:1: a configuration is a mapping (key: value) at the top"


def test_an_api_key_in_a_file_is_refused_everywhere_and_not_repeated(tmp_path: Path) -> None:
    text = "environment: development\nllm_providers:\n  - name: llm_remote_deepseek\n    config:\n      api_key: sk-hunter2\n"

    [line] = refusal(tmp_path, text)

    assert line.startswith("my.yml:5 llm_providers[1].config.api_key: a secret does not belong into the configuration; write api_key_env")
    assert "hunter2" not in line


def test_a_secret_file_that_is_missing_is_told_at_its_line(tmp_path: Path) -> None:
    text = "llm_providers:\n  - name: llm_remote_deepseek\n    config:\n      api_key_file: secrets/none\n"

    assert refusal(tmp_path, text) == [
        "my.yml:4 llm_providers[1].config.api_key_file: the file secrets/none of api_key_file: there is no such file"
    ]


def test_the_key_itself_in_place_of_a_variables_name_is_not_repeated(tmp_path: Path) -> None:
    [line] = refusal(tmp_path, "llm_providers: [{name: a, type: b, config: {api_key_env: sk-hunter2}}]")

    assert line.endswith("api_key_env takes the name of a variable, such as MY_API_KEY, not the secret itself")
    assert "hunter2" not in line


def test_values_that_hold_secrets_are_not_repeated(tmp_path: Path) -> None:
    text = """
server: {port: 'http://ann:hunter2@host/?token=hunter2', host: ['${MY_TOKEN}']}
debug: ${MY_TOKEN}
logging: {level: '${MY_TOKEN}'}
"""

    lines = refusal(tmp_path, text, MY_TOKEN="hunter2")

    assert len(lines) == 4
    assert not any("hunter2" in line for line in lines)


def test_what_others_find_wrong_is_told_in_the_same_form(tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text(
        "routing_rules:\n  - name: a\n    conditions:\n      mode: chatt\nllm_providers:\n  - {name: x, type: y}\n"
    )
    origins = load(None, Path("my.yml"), environ={}, cwd=tmp_path).origins

    error = origins.error(
        [
            ("llm_providers[6].config.base_url", "missing"),
            (within("routing_rules[0]", "conditions.mode"), "is no mode"),
            (("routing_rules", 0, "use_provider"), unknown_key("use_provder", ["use_provider"])),
        ]
    )

    assert error.message.split("\n") == [
        'my.yml:2 routing_rules[0].use_provider: unknown key; did you mean "use_provider"? Allowed: use_provider',
        "my.yml:4 routing_rules[0].conditions.mode: is no mode",
        "my.yml:6 llm_providers[6].config.base_url: missing",
    ]


def test_a_path_within_a_list_is_joined_without_a_dot() -> None:
    assert within("routing_rules[0]", "[1].x") == "routing_rules[0][1].x"
    assert within("routing_rules[0]", "") == "routing_rules[0]"
    assert within("", "x") == "x"
