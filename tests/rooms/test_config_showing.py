import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from dagi.config import Loaded, as_data, as_text, load, origins_data

LETTERS = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(LETTERS, max_size=8)
    | st.sampled_from(["no", "1", "null", "${X}", "$${X}", "a: b", "- x", "# x", " x ", "it's", '"', "\u2028", "😀\x07", "1e3", "~", "<<"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS, min_size=1, max_size=5).filter("<<".__ne__), inner, max_size=3)
    ),
    max_leaves=8,
)
CONFIGS = st.dictionaries(st.sampled_from(["model", "a b", "1", "true", "options"]), VALUES, max_size=3)


def loaded(folder: Path, text: str, **environ: str) -> Loaded:
    (folder / "my.yml").write_text(text, encoding="utf-8")
    return load("prod", Path("my.yml"), environ=environ, cwd=folder)


def literal(value: object) -> object:
    """The value written so that nothing is filled in."""
    if isinstance(value, dict):
        return {key: literal(child) for key, child in value.items()}
    if isinstance(value, list):
        return [literal(child) for child in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


@given(CONFIGS, CONFIGS, st.sampled_from(["DEBUG", "INFO"]), st.integers(0, 65535))
def test_what_is_shown_loads_again_as_the_same(config: dict[str, object], rule: dict[str, object], level: str, port: int) -> None:
    written = {
        "llm_providers": [{"name": "mine", "type": "plugin", "config": config}],
        "routing_rules": [{**rule, "name": "one"}, {"name": "two"}],
        "logging": {"level": level},
        "server": {"port": port},
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        # JSON is YAML, but for the two halves in which JSON writes what lies outside the first plane.
        first = loaded(folder, json.dumps(literal(written), ensure_ascii=False).translate(ESCAPES))
        again = loaded(folder, as_text(first))

    assert first.settings.llm_providers[-1].config == config
    assert as_data(again) == as_data(first)
    assert again.settings == first.settings


ESCAPES = {code: f"\\u{code:04x}" for code in [*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF]}


def test_every_value_has_its_origin_beside_it(tmp_path: Path) -> None:
    found = loaded(tmp_path, "server:\n  port: ${PORT}\n  host: h\n", PORT="80", DAGI__DATA_DIR="/data")

    beside = {line.split("  #")[0].strip(): line.split("# ")[1] for line in as_text(found, with_origin=True).splitlines() if "# " in line}

    assert beside["port: 80"] == "my.yml:2 ${PORT}"
    assert beside["host: h"] == "my.yml:3"
    assert beside["data_dir: /data"] == "env DAGI__DATA_DIR"
    assert beside["flush_ms: 50"] == "default"
    assert origins_data(found)["server.port"] == "my.yml:2 ${PORT}"
    assert origins_data(found)["llm_providers[0].config.model"].startswith("dagi/config/defaults.yml:")


def test_text_with_origins_still_loads(tmp_path: Path) -> None:
    found = loaded(tmp_path, "")

    assert loaded(tmp_path, as_text(found, with_origin=True)).settings == found.settings


def test_no_secret_is_shown_anywhere(tmp_path: Path) -> None:
    text = """
database: {url: "postgresql://dagi:hunter2@db/dagi?password=hunter2"}
llm_providers:
  - name: mine
    type: plugin
    config:
      api_key_env: MINE
      headers: {Authorization: Bearer hunter2, x-api-key: hunter2}
      auth: {secret: hunter2, access_token: hunter2}
      note: ${OTHER_TOKEN}
      max_tokens: 200
      base_url: https://hunter2@example.org/v1?api_key=hunter2&x=1
"""
    found = loaded(tmp_path, text, MINE="hunter2", OTHER_TOKEN="hunter2", DEEPSEEK_API_KEY="hunter2")

    assert found.environment.secret(found.settings.llm_providers[-1].config) == "hunter2"
    for shown in (as_text(found), as_text(found, with_origin=True), json.dumps(as_data(found)), repr(found), repr(found.settings)):
        assert "hunter2" not in shown
    assert 'base_url: "https://***@example.org/v1?api_key=***&x=1"' in as_text(found)
    assert "max_tokens: 200" in as_text(found)
    assert "api_key_env: MINE" in as_text(found)
