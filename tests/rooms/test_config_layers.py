from pathlib import Path

import pytest

from dagi.config import Loaded, load, profiles
from dagi.errors import ConfigError

ROOT = Path(__file__).parents[2]

EXAMPLE = """\
version: "0.3.0"
environment: production            # development | staging | production
debug: false
llm_providers:
  - name: llm_prod_qwen3_8b
    type: ollama                   # facts | llama | ollama | openai | deepseek | openai_compatible | any_llm | a plugin's
    config:
      base_url: http://localhost:11434
      model: qwen3:8b
      max_tokens: 200
      temperature: 0.7
      timeout_ms: 5000
      max_concurrent: 3            # the request queue in front of the provider
      max_queue: 100
      queue_timeout_ms: 10000
      retry: {attempts: 2, delay_s: 1.0}   # attempts in all
routing_rules:
  - name: prod_chat
    priority: 10
    conditions: {mode: chat}
    use_provider: llm_prod_qwen3_8b   # or use_metadata: provider, or a weighted list
    timeout_ms: 5000
    fallback_provider: llm_remote_deepseek   # or a list
    requires: chat.use
    deadline_ms: 30000
    context: {facts: true, roles: true, history: true}
    cache: {ttl_s: 300}
logging:
  level: INFO
  format: json
  rotation: {max_size_mb: 100, max_files: 10}
"""


def loaded(folder: Path, text: str, profile: str | None = None, **environ: str) -> Loaded:
    (folder / "my.yml").write_text(text)
    return load(profile, Path("my.yml"), environ=environ, cwd=folder)


def names(found: Loaded) -> list[str]:
    return [provider.name for provider in found.settings.llm_providers]


def test_the_example_of_the_contract_loads_as_it_stands(tmp_path: Path) -> None:
    found = loaded(tmp_path, EXAMPLE)

    assert names(found) == [
        "llm_local_qwen3_8b",
        "llm_remote_deepseek",
        "llm_remote_openai",
        "dao_facts",
        "dao_devtools",
        "dao_devtools_agent",
        "llm_prod_qwen3_8b",
    ]
    assert found.settings.llm_providers[-1].config["retry"] == {"attempts": 2, "delay_s": 1.0}
    assert found.settings.routing_rules[0]["fallback_provider"] == "llm_remote_deepseek"
    assert str(found.origins.mark("llm_providers[6].config.temperature")) == "my.yml:11"
    assert found.warnings == ()
    assert found.unsafe() == []


def test_without_profile_and_file_the_profile_is_dev(tmp_path: Path) -> None:
    settings = load(environ={}, cwd=tmp_path).settings

    assert settings.environment == "development"
    assert (settings.dao.demo, settings.dao.default, settings.logging.format) == (True, "greenfood-dao", "console")
    assert settings.routing_rules[0]["fallback_provider"] == ["llm_remote_deepseek", "dao_facts"]


def test_a_file_without_a_profile_means_production(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "debug: false").settings

    assert settings.environment == "production"
    assert settings.dao.demo is False
    assert settings.routing_rules == ()


def test_a_file_may_say_another_environment(tmp_path: Path) -> None:
    assert loaded(tmp_path, "environment: staging").settings.environment == "staging"


def test_a_file_wins_over_the_profile_and_merges_with_it(tmp_path: Path) -> None:
    found = loaded(tmp_path, "logging: {level: ERROR}", "prod")

    assert (found.settings.logging.level, found.settings.logging.format) == ("ERROR", "json")
    assert str(found.origins.source("logging.level")) == "my.yml:1"
    assert found.origins.source("logging.format").file == "dagi/config/profiles/prod.yml"


def test_a_profile_in_the_working_directory_hides_the_packaged_one(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "profiles"
    folder.mkdir(parents=True)
    (folder / "dev.yml").write_text("environment: development\nserver: {port: 1234}\n")

    found = load("dev", environ={}, cwd=tmp_path)

    assert found.settings.server.port == 1234
    assert found.settings.dao.demo is False
    assert str(found.origins.source("server.port")) == "config/profiles/dev.yml:2"
    assert found.files[1] == folder / "dev.yml"


def test_a_provider_is_changed_by_repeating_its_name(tmp_path: Path) -> None:
    found = loaded(tmp_path, "llm_providers:\n  - name: llm_local_qwen3_8b\n    config: {model: 'qwen3:4b'}\n")

    assert names(found) == [
        "llm_local_qwen3_8b",
        "llm_remote_deepseek",
        "llm_remote_openai",
        "dao_facts",
        "dao_devtools",
        "dao_devtools_agent",
    ]
    provider = found.settings.llm_providers[0]
    assert provider.type == "ollama"
    assert provider.config.items() >= {"base_url": "http://127.0.0.1:11434", "model": "qwen3:4b"}.items()
    assert str(found.origins.source("llm_providers[0].config.model")) == "my.yml:3"
    assert found.origins.source("llm_providers[0].config.base_url").file == "dagi/config/defaults.yml"


def test_routing_rules_replace_as_a_whole(tmp_path: Path) -> None:
    found = loaded(tmp_path, "routing_rules: [{name: mine, priority: 1}]", "dev")

    assert found.settings.routing_rules == ({"name": "mine", "priority": 1},)


def test_a_variable_wins_over_the_file_and_an_option_over_both(tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text("server: {port: 1, host: file}")
    environ = {"DAGI__SERVER__PORT": "2", "DAGI__SERVER__MAX_BODY_BYTES": "4096"}

    found = load(None, Path("my.yml"), environ=environ, cwd=tmp_path, options={"server.port": 3})

    server = found.settings.server
    assert (server.port, server.max_body_bytes, server.host) == (3, 4096, "file")
    assert str(found.origins.source("server.port")) == "option server.port"
    assert str(found.origins.source("server.max_body_bytes")) == "env DAGI__SERVER__MAX_BODY_BYTES"
    assert str(found.origins.source("server.body_timeout_ms")) == "default"


def test_all_files_that_were_read_are_told_for_whoever_watches_them(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")

    found = loaded(tmp_path, "debug: false", "prod")

    assert [file.name for file in found.files] == ["defaults.yml", "prod.yml", "my.yml", ".env"]
    assert all(file.is_absolute() for file in found.files)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, "# nothing yet\n", "dev").settings == load("dev", environ={}, cwd=tmp_path).settings


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load(environ={}, cwd=tmp_path).settings

    with pytest.raises(ValueError, match="frozen"):
        settings.debug = True


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_every_packaged_profile_is_safe_and_draws_no_warning(tmp_path: Path, name: str) -> None:
    found = load(name, environ={}, cwd=tmp_path)

    assert found.unsafe() == []
    assert found.warnings == ()
    assert found.settings.environment == {"dev": "development", "staging": "staging", "prod": "production"}[name]


def test_packaged_profiles_name_packaged_providers_only(tmp_path: Path) -> None:
    for name in profiles(tmp_path):
        found = load(name, environ={}, cwd=tmp_path)
        for rule in found.settings.routing_rules:
            fallback = rule.get("fallback_provider", [])
            assert isinstance(fallback, list)
            assert {rule["use_provider"], *fallback} <= set(names(found))


def test_an_unknown_profile_names_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("production", environ={}, cwd=tmp_path)

    assert caught.value.message == ("--profile 'production': there is no such profile; did you mean \"prod\"? Allowed: dev, prod, staging")


def test_a_profile_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "evil.yml").write_text("debug: true")

    with pytest.raises(ConfigError, match="no such profile"):
        load("../../evil", environ={}, cwd=tmp_path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^gone\.yml: there is no such file$"):
        load(None, Path("gone.yml"), environ={}, cwd=tmp_path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.yml").mkdir()

    with pytest.raises(ConfigError, match=r"^folder\.yml: cannot be read: Is a directory$"):
        load(None, Path("folder.yml"), environ={}, cwd=tmp_path)


@pytest.mark.parametrize(("profile", "deadline_ms"), [("dev", 120_000), ("staging", 60_000), ("prod", 60_000)])
def test_a_packaged_rule_leaves_a_slow_model_the_time_it_needs(tmp_path: Path, profile: str, deadline_ms: int) -> None:
    settings = loaded(tmp_path, "debug: false", profile).settings
    assert [(rule.get("timeout_ms"), rule.get("deadline_ms")) for rule in settings.routing_rules] == [
        (None, deadline_ms),
        (None, None),
        (None, 360_000),
    ]
    limits = {
        provider.name: (provider.config.get("timeout_ms"), provider.config.get("idle_timeout_ms")) for provider in settings.llm_providers
    }
    remote = (60_000, 15_000)
    assert limits == {
        "llm_local_qwen3_8b": (120_000, 15_000),
        "llm_remote_deepseek": remote,
        "llm_remote_openai": remote,
        "dao_facts": (None, None),
        "dao_devtools": (400_000, None),
        "dao_devtools_agent": (360_000, None),
    }
