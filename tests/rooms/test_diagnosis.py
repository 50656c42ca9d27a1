"""The doctor: each thing that can be wrong with an installation is found and comes with what to do about it."""

import asyncio
import fcntl
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import yaml

from dagi.assemble.diagnosis import Report, diagnose, misconfigured
from dagi.assemble.files import ENOUGH_FILES, attainable_files, few_files, most_callers, raise_open_files
from dagi.assemble.installation import Choice, Installation, Running
from dagi.errors import ConfigError
from dagi.ports.clock import Clock
from dagi.stores.daos import Daos
from dagi.stores.examination import examine
from dagi.stores.keys import Keys
from dagi.stores.upgrade import upgrade
from dagi.testing.clock import FakeClock
from dagi.testing.upstream import Upstream

ANYWHERE = "0.0.0.0"  # noqa: S104 - read, not bound
pytestmark = pytest.mark.anyio


def installed(tmp_path: Path, profile: str = "dev", **changes: object) -> Installation:
    path = tmp_path / "my.yml"
    quiet = {"knowledge": {"embedder": False}, "server": {"port": 0}, "data_dir": str(tmp_path / "data"), "dao": {"default": None}}
    facts = [{"name": "facts", "use_provider": "dao_facts"}]
    path.write_text(yaml.safe_dump({**quiet, "routing_rules": facts, **changes}), encoding="utf-8")
    return Installation.of(Choice(profile=profile, config=str(path)))


async def made(installation: Installation) -> Path:
    """A new database with one DAO in it."""
    database = installation.database()
    await upgrade(database)
    await Daos(database, FakeClock()).create("green", "Green DAO")
    await database.close()
    return database.path


async def found(installation: Installation, about: str, clock: Clock | None = None) -> list[tuple[str, str]]:
    """Severity and text of everything that was found about something."""
    return [
        (report.finding.severity, f"{report.finding.what} → {report.finding.fix}")
        async for report in diagnose(installation, clock)
        if report.about == about
    ]


async def one(installation: Installation, about: str, severity: str, clock: Clock | None = None) -> str:
    """The text of the one finding of that severity about something."""
    (text,) = [text for kind, text in await found(installation, about, clock) if kind == severity]
    return text


async def test_an_installation_in_order_has_no_finding_but_that_it_is_in_order(tmp_path: Path) -> None:
    installation = installed(tmp_path)
    await made(installation)
    reports = [report async for report in diagnose(installation)]
    troubles = [report for report in reports if report.finding.severity != "ok" and not report.about.startswith("provider ")]
    assert troubles == []
    assert {report.about for report in reports} >= {"python", "memory", "open files", "data directory", "disk", "port", "database"}


async def test_every_finding_that_is_not_in_order_says_what_to_do(tmp_path: Path) -> None:
    installation = installed(tmp_path, "prod", server={"host": ANYWHERE, "port": 0}, debug=True)
    (installation.data_dir / "dagi.sqlite").write_bytes(b"no database at all " * 100)
    reports = [report async for report in diagnose(installation)]
    assert {report.finding.severity for report in reports} == {"ok", "warning", "error"}
    assert [report for report in reports if report.finding.severity != "ok" and not report.finding.fix] == []


@pytest.mark.parametrize("file", ["dagi.sqlite", "keys/demo.key", "logs/router.log"])
async def test_a_file_that_others_may_read_is_told_with_the_command_that_closes_it(tmp_path: Path, file: str) -> None:
    installation = installed(tmp_path)
    await made(installation)
    path = installation.data_dir / file
    path.parent.mkdir(exist_ok=True)
    path.touch()
    path.chmod(0o644)
    assert f"chmod 600 {path}" in await one(installation, "permissions", "warning")


async def test_secrets_beside_the_configuration_are_looked_at_too(tmp_path: Path) -> None:
    for name in (".env", "key.txt"):
        (Path.cwd() / name).write_text("")
        (Path.cwd() / name).chmod(0o640)
    provider = {"name": "remote", "type": "openai", "config": {"api_key_file": "key.txt"}}
    told = await found(installed(tmp_path, llm_providers=[provider]), "permissions")
    assert sorted(text.partition(" can be read")[0].rpartition("/")[2] for _, text in told) == [".env", "key.txt"]


async def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    installation = installed(tmp_path)
    (installation.data_dir / "logs").write_text("a file where the directory should be")
    assert "standard error alone" in await one(installation, "log", "warning")


async def test_a_damaged_database_is_found_before_anybody_asks_it(tmp_path: Path) -> None:
    installation = installed(tmp_path)
    path = await made(installation)
    with closing(sqlite3.connect(path)) as connection:
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'membership'").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(os.urandom(page_size))
    text = await one(installation, "database", "error")
    assert "is damaged" in text
    assert "restore a backup" in text


async def test_a_database_of_a_newer_version_is_no_candidate_for_an_upgrade(tmp_path: Path) -> None:
    installation = installed(tmp_path)
    with closing(sqlite3.connect(await made(installation), isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "start the version that wrote it" in await one(installation, "database", "error")


async def test_a_database_that_somebody_keeps_locked_is_told_and_looked_into_all_the_same(tmp_path: Path) -> None:
    installation = installed(tmp_path)
    with closing(sqlite3.connect(await made(installation), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        told = await found(installation, "database")
    assert [severity for severity, _ in told] == ["warning", "ok"]
    assert "fuser -v" in told[0][1]


async def test_a_database_that_is_only_held_or_closed_to_us_is_never_to_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagi.assemble.diagnosis.database.CHECK_S", 0.1)
    installation = installed(tmp_path)
    with closing(sqlite3.connect(await made(installation), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        held = await one(installation, "database", "error")
    assert "nothing in it is lost" in held
    path = installation.database().path
    path.rename(path.with_suffix(".aside"))
    path.mkdir()
    for text in (held, await one(installation, "database", "error")):
        assert "move the file away" not in text
        assert "restore" not in text


async def test_a_host_that_can_be_none_is_a_finding(tmp_path: Path) -> None:
    assert "server.host" in await one(installed(tmp_path, server={"host": "a..b", "port": 0}), "port", "error")


async def test_a_large_database_is_looked_through_for_as_long_as_there_is_time(tmp_path: Path) -> None:
    path = tmp_path / "large.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        numbers = "WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n LIMIT 200000)"
        connection.execute(f"CREATE TABLE t AS {numbers} SELECT x FROM n")  # noqa: S608 - a text of ours
    assert examine(path, check_s=0.0, lock_s=1.0).whole is False
    whole = examine(path, check_s=60.0, lock_s=1.0)
    assert (whole.whole, whole.damage, whole.locked) == (True, (), False)


async def test_a_clock_before_the_newest_record_or_before_the_release_is_told(tmp_path: Path) -> None:
    installation = installed(tmp_path)
    path = await made(installation)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        columns = "dao_id, of, holder, day, requests, tokens, micros, last_at"
        later = (now + timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S.%f")
        connection.execute(f"INSERT INTO spend ({columns}) VALUES ('green', 'dao', 'green', '2026-06-01', 1, 1, 1, ?)", (later,))  # noqa: S608
    assert "recorded at 2026-06-01 02:00" in await one(installation, "clock", "warning", FakeClock(now))
    assert await found(installation, "clock", FakeClock(now + timedelta(hours=2))) == []
    assert "before this version was made" in await one(installation, "clock", "error", FakeClock(datetime(1970, 1, 2, tzinfo=UTC)))


async def test_a_key_that_ends_soon_is_told_with_the_command_that_renews_it(tmp_path: Path) -> None:
    installation, clock = installed(tmp_path, "prod"), FakeClock()
    await made(installation)
    database = installation.database()
    key = await Keys(database, clock).create("green", "member", expires_at=clock.now() + timedelta(days=3))
    await database.close()
    assert f"dagi key rotate {key.id} --profile prod" in await one(installation, "keys", "warning", clock)
    clock.advance(4 * 86_400)
    assert "nobody could call" in await one(installation, "keys", "error", clock)


@contextmanager
def taken(installation: Installation, url: str, pid: int) -> Iterator[None]:
    """As if a stack ran on the data directory."""
    with installation.lock():
        installation.running_file.write_bytes(msgspec.json.encode(Running(pid, url, installation.choice)))
        yield


async def test_what_a_killed_stack_has_left_is_no_running_stack(tmp_path: Path) -> None:
    installation = installed(tmp_path)
    with taken(installation, "http://127.0.0.1:1", os.getpid()):
        pass
    assert "the next start replaces it" in await one(installation, "run files", "warning")
    assert [severity for severity, _ in await found(installation, "port")] == ["ok"]


async def test_a_stack_that_runs_and_does_not_answer_is_told(tmp_path: Path, stack) -> None:
    installation = installed(tmp_path)
    with taken(installation, "http://127.0.0.1:1", os.getpid()):
        assert "does not answer" in await one(installation, "port", "error")
    async with Upstream() as other:
        with taken(installation, other.origin, os.getpid()):
            assert "not ready" in await one(installation, "port", "error")
    with taken(installation, stack.url, os.getpid()):
        assert await found(installation, "port") == [("ok", f"the stack is running at {stack.url} → ")]
    with installation.lock():
        installation.running_file.unlink()
        assert "about to start" in await one(installation, "port", "warning")
    with (installation.data_dir / "run" / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_every_provider_is_asked_at_once_and_one_that_hangs_holds_up_no_other(tmp_path: Path, monkeypatch) -> None:
    import dagi.assemble.diagnosis.providers as asked

    monkeypatch.setattr(asked, "CHECK_S", 0.3)

    async def silent(_reader, writer) -> None:
        await held.wait()
        writer.close()

    held = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Upstream() as upstream:
        providers = [
            {"name": f"silent{number}", "type": "openai_compatible", "config": {"base_url": f"http://127.0.0.1:{port}/v1", "model": "x"}}
            for number in range(3)
        ]
        working = {"name": "works", "type": "openai_compatible", "config": {"base_url": upstream.v1, "model": "scripted"}}
        installation = installed(tmp_path, llm_providers=[*providers, working])
        reports = [report async for report in diagnose(installation) if report.about.startswith("provider ")]
        held.set()
    server.close()
    told = {report.about: report.finding for report in reports}
    assert told["provider works"].severity == "ok"
    assert all("did not answer within 0.3 s" in told[f"provider silent{number}"].what for number in range(3))


async def test_each_unsafe_setting_is_explained_with_its_place_the_reason_and_what_to_write(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "changeme")
    told = await found(installed(tmp_path, "prod", debug=True, dao={"demo": True, "default": None}), "safety")
    errors = [text for severity, text in told if severity == "error"]
    assert len(errors) == 3
    for key, why, write in (
        ("my.yml:5 debug", "shows it to strangers", "set debug: false"),
        ("dao.demo", "knows the identity of its admin", "set dao.demo: false"),
        ("llm_providers[1].config.api_key_env", "the provider refuses it", "set your own key"),
    ):
        assert any(key in text and why in text and write in text for text in errors), (key, errors)


async def test_production_is_advised_of_what_it_may_start_with_and_should_not_forget(tmp_path: Path, monkeypatch) -> None:
    (Path.cwd() / "key.txt").write_text("sk-real-0123456789")
    (Path.cwd() / "key.txt").chmod(0o600)
    remote = {
        "name": "remote",
        "type": "openai_compatible",
        "config": {"base_url": "http://models.example/v1", "model": "m", "api_key_file": "key.txt"},
    }
    installation = installed(tmp_path, "prod", server={"host": ANYWHERE, "port": 0}, llm_providers=[remote])
    loaded = installation.loaded
    advice = {hazard.what: hazard.write for hazard in loaded.advice()}
    assert "write https://" in advice["sends a key over plain HTTP"]
    assert "reverse proxy with TLS" in advice["is an address that other machines reach"]
    assert "limits.user.rpm" in advice["limit nobody"]
    assert "/var/lib/dagi" in advice["is a directory for temporary files"]
    assert loaded.unsafe() == []
    bounded = installed(tmp_path, "prod", limits={"dao": {"money_per_month": 25.0}})
    assert [hazard.what for hazard in bounded.loaded.advice()] == ["is a directory for temporary files"]
    assert installed(tmp_path, "dev").loaded.advice() == []


def test_each_mistake_of_a_configuration_that_cannot_be_read_is_a_finding_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        installed(tmp_path, logging={"levl": "INFO"}, servr={})
    told = [report for report in misconfigured(caught.value) if report.about == "configuration"]
    assert len(told) == 2
    assert all(_is_error_with_place(report) for report in told)


def _is_error_with_place(report: Report) -> bool:
    return report.finding.severity == "error" and "my.yml:" in report.finding.what


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Says what the system allows, without changing it for the tests beside this one."""
    limits = {"now": (0, 0)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.update(now=wanted))

    def allow(soft: int, hard: int) -> None:
        limits["now"] = (soft, hard)

    return allow


def test_a_process_asks_for_all_the_files_it_may_have_and_keeps_some_for_itself(files) -> None:
    for soft, hard, expected in (
        (1_024, 4_096, 4_096),
        (1_024, 1_024, 1_024),
        (1_024, resource.RLIM_INFINITY, 1_048_576),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1_048_576),
    ):
        files(soft, hard)
        assert attainable_files() == expected
        assert raise_open_files() == expected
        assert expected // 2 <= most_callers(expected) < expected
    assert "LimitNOFILE" in (few_files(1_024) or "")
    assert few_files(ENOUGH_FILES) is None


async def test_a_low_limit_of_open_files_is_told(tmp_path: Path, files) -> None:
    files(256, 1_024)
    text = await one(installed(tmp_path), "open files", "warning")
    assert "at most 768 callers" in text
    assert f"ulimit -Hn {ENOUGH_FILES}" in text
