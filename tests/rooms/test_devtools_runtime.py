"""The Python environment of the sandbox is found, or its absence is told with the command that makes it."""

import sys
from pathlib import Path

import pytest

from dagi.errors import SandboxUnavailable
from dagi.targets.devtools.runtime import found_runtime

HOME = f"{sys.base_prefix}/bin"


def environment(tmp_path: Path, *packages: str, home: str = HOME) -> Path:
    made = tmp_path / "made"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for package in packages:
        (made / "lib" / f"python{version}" / "site-packages" / package).mkdir(parents=True)
    (made / "pyvenv.cfg").write_text(f"home = {home}\nversion = {version}.7\n", encoding="utf-8")
    return made


def test_the_environment_beside_the_stacks_is_found_with_the_same_interpreter() -> None:
    found = found_runtime(Path(f"{sys.prefix}-sandbox"))
    assert found.environment == Path(f"{sys.prefix}-sandbox").resolve()
    assert found.version == f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("packages", "home", "said"),
    [
        ((), HOME, "lacks pytest, coverage, nbclient, ipykernel"),
        (("pytest", "coverage", "nbclient"), HOME, "lacks ipykernel"),
        (("pytest", "coverage", "nbclient", "ipykernel"), "/nowhere/bin", "another Python"),
    ],
)
def test_an_environment_that_is_not_whole_says_what_is_missing(packages: tuple[str, ...], home: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(SandboxUnavailable, match=said) as told:
        found_runtime(environment(tmp_path, *packages, home=home))
    assert "make serve" in str(told.value)
    assert str(tmp_path) not in str(told.value)
    assert "/nowhere" not in str(told.value)


@pytest.mark.parametrize("written", [None, b"", b"home = \n", b"\xff\xfe", b"home = /usr/bin\nversion = 2.7.1\n"])
def test_what_is_no_environment_is_told_with_the_command_that_makes_one(written: bytes | None, tmp_path: Path) -> None:
    if written is not None:
        (tmp_path / "pyvenv.cfg").write_bytes(written)
    with pytest.raises(SandboxUnavailable, match=r"scripts/sandbox\.sh") as told:
        found_runtime(tmp_path)
    assert str(tmp_path) not in str(told.value)
