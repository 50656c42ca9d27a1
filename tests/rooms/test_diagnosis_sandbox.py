"""What the doctor says of the developer tools where something stands in the way of the sandbox."""

import json
import socket
from pathlib import Path

import pytest

from dagi.assemble.diagnosis.report import Report
from dagi.assemble.diagnosis.sandbox import about_devtools, causes
from dagi.assemble.installation import Choice, Installation
from dagi.assemble.tools import why_no_code_is_run
from dagi.observe.clock import SystemClock

pytestmark = pytest.mark.anyio


async def reports(tmp_path: Path, **settings: object) -> list[Report]:
    file = tmp_path / "my.yml"
    file.write_text(json.dumps({"environment": "development", "data_dir": str(tmp_path), "devtools": settings}), encoding="utf-8")
    return [one async for one in about_devtools(Installation.of(Choice(config=str(file))), SystemClock())]


async def test_a_machine_without_bubblewrap_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (first, *_) = await reports(tmp_path)
    assert (first.finding.severity, "bwrap" in first.finding.what, "bubblewrap" in first.finding.fix) == ("warning", True, True)


async def test_at_the_start_it_is_told_that_no_code_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my.yml"
    file.write_text(json.dumps({"environment": "development", "data_dir": str(tmp_path)}), encoding="utf-8")
    installation = Installation.of(Choice(config=str(file)))
    assert await why_no_code_is_run(installation, SystemClock()) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    said = await why_no_code_is_run(installation, SystemClock()) or ""
    assert ("bwrap" in said, "dagi doctor" in said, "on files alone" in said) == (True, True, True)


async def test_without_its_python_the_sandbox_holds_and_says_what_is_missing(tmp_path: Path) -> None:
    found = await reports(tmp_path, runtime=str(tmp_path / "nothing"))
    assert [one.finding.severity for one in found] == ["ok", "warning"]
    assert "make serve" in found[1].finding.what


async def test_tools_that_are_off_or_elsewhere_are_not_looked_for_here(tmp_path: Path) -> None:
    (off,) = await reports(tmp_path, enabled=False)
    assert (off.finding.severity, "off" in off.finding.what) == ("ok", True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (gone,) = await reports(tmp_path, url=f"http://127.0.0.1:{port}")
    assert (gone.finding.severity, "dagi serve devtools" in gone.finding.fix) == ("error", True)


@pytest.mark.parametrize(
    ("file", "value", "says"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
        ("kernel/unprivileged_userns_clone", "0\n", "ordinary users"),
        ("user/max_user_namespaces", "0\n", "at all"),
    ],
)
def test_what_the_kernel_forbids_is_named_with_what_to_set(tmp_path: Path, file: str, value: str, says: str) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tdagi\nSeccomp:\t0\n", encoding="ascii")
    assert list(causes(tmp_path, status, as_root=False)) == []
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(value, encoding="ascii")
    (found,) = causes(tmp_path, status, as_root=False)
    assert (says in found.finding.what, "sysctl" in found.finding.fix) == (True, True)


def test_a_filter_of_system_calls_is_named(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Seccomp:\t2\n", encoding="ascii")
    (found,) = causes(tmp_path, status, as_root=True)
    assert ("Docker" in found.finding.what, "seccomp.json" in found.finding.fix) == (True, True)
