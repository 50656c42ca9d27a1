"""Logs and metrics."""

import asyncio
import errno
import json
import logging
import multiprocessing
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dagi.errors import ProviderError
from dagi.message import Attempt, Grant, Message, Sender, Usage
from dagi.observe.lines import Lines, RotatingFile
from dagi.observe.log import LogPlan, open_log
from dagi.observe.metrics import Metrics
from dagi.observe.observer import LoggingObserver
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Delta, End, Tried, Used, Waited
from dagi.testing.waiting import eventually


@pytest.fixture(autouse=True)
def _restore_logging() -> Generator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        if handler not in handlers:
            handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


def plan(tmp_path: Path, **changes: object) -> LogPlan:
    return LogPlan(**{"level": "INFO", "form": "json", "max_bytes": 10_000, "max_files": 3, "directory": tmp_path, **changes})


def exchange() -> Exchange:
    found = Exchange(
        Message(id="r1", sender=Sender(dao_id="green", user_id="tg:1"), prompt="the secret question"), at=datetime.now(UTC), started=0
    )
    found.grant = Grant(dao_id="green", user_id="tg:1", reason="role_grants")
    found.rule = "chat"
    for event in (
        Waited(2.0),
        Tried(Attempt(provider="a", outcome="PROVIDER_ERROR", ms=5.0, detail="a failed")),
        Delta("the secret answer"),
        Used(Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)),
        Tried(Attempt(provider="b", outcome="ok", ms=7.0)),
        End(provider="b", model="m"),
    ):
        found.hear(event)
    found.timings_ms["total"] = 20.0
    return found


def test_an_exchange_is_one_json_line_without_its_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LoggingObserver(open_log(plan(tmp_path), "router"), Metrics()).finished(exchange())
    on_terminal = capsys.readouterr().err
    in_file = (tmp_path / "router.log").read_text(encoding="utf-8")
    assert on_terminal == in_file
    line = json.loads(in_file)
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    assert line == {
        "event": "exchange",
        "level": "info",
        "service": "router",
        "request_id": "r1",
        "user_id": "tg:1",
        "dao_id": "green",
        "source": "api",
        "mode": "chat",
        "rule": "chat",
        "provider": "b",
        "attempts": ["a:PROVIDER_ERROR", "b:ok"],
        "details": ["a failed"],
        "reason": "role_grants",
        "cached": False,
        "duration_ms": 20.0,
        "status": "ok",
    }


def test_a_failed_exchange_is_a_warning_with_the_errors_code(tmp_path: Path) -> None:
    failed = exchange()
    failed.failed(ProviderError("b answered with HTTP 500.", provider="b", upstream_status=500))
    LoggingObserver(open_log(plan(tmp_path), "router"), Metrics()).finished(failed)
    line = json.loads((tmp_path / "router.log").read_text(encoding="utf-8"))
    assert (line["level"], line["status"]) == ("warning", "PROVIDER_ERROR")


def test_logs_rotate_by_size_and_only_so_many_files_are_kept(tmp_path: Path) -> None:
    log = open_log(plan(tmp_path, max_bytes=2_000, max_files=3), "router")
    for number in range(100):
        log.info("line", number=number)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["router.log", "router.log.1", "router.log.2"]
    assert all(path.stat().st_size <= 2_000 for path in tmp_path.iterdir())
    newest = (tmp_path / "router.log").read_text(encoding="utf-8").splitlines()
    assert json.loads(newest[-1])["number"] == 99


def test_a_single_log_file_keeps_its_size_too(tmp_path: Path) -> None:
    log = open_log(plan(tmp_path, max_bytes=2_000, max_files=1), "router")
    for number in range(100):
        log.info("line", number=number)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= 2_000
    assert json.loads(file.read_text(encoding="utf-8").splitlines()[-1])["number"] == 99


def test_an_account_that_cannot_be_right_is_logged_and_counted_all_the_same(tmp_path: Path) -> None:
    metrics, odd = Metrics(), exchange()
    odd.usage = Usage(prompt_tokens=-1, completion_tokens=10**400, total_tokens=1)
    odd.timings_ms["total"] = -1.0
    LoggingObserver(open_log(plan(tmp_path), "router"), metrics).finished(odd)
    assert json.loads((tmp_path / "router.log").read_text(encoding="utf-8"))["status"] == "ok"
    assert 'dagi_tokens_total{kind="prompt",provider="b"} 0.0' in metrics.exposition().decode()


def test_the_form_for_people_is_no_json_and_the_level_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(plan(tmp_path, form="console", level="WARNING"), "router")
    log.info("quiet")
    log.warning("loud", provider="b")
    shown = capsys.readouterr().err
    assert "loud" in shown
    assert "provider=b" in shown
    assert "quiet" not in shown
    assert json.loads((tmp_path / "router.log").read_text(encoding="utf-8"))["event"] == "loud"


def test_lines_of_libraries_join_ours_as_json(tmp_path: Path) -> None:
    open_log(plan(tmp_path), "router")
    logging.getLogger("somebody.else").warning("careful: %s", "\x1b[31mred")
    line = json.loads((tmp_path / "router.log").read_text(encoding="utf-8"))
    assert (line["event"], line["level"]) == ("careful: \x1b[31mred", "warning")


def test_the_account_of_an_exchange_adds_up() -> None:
    reply = exchange().reply()
    assert (reply.text, reply.provider, reply.model, reply.usage.total_tokens) == ("the secret answer", "b", "m", 7)
    assert (reply.timings_ms["queue"], reply.timings_ms["provider"]) == (2.0, 12.0)


def test_metrics_count_exchanges_attempts_tokens_and_events() -> None:
    metrics = Metrics()
    metrics.finished(exchange())
    metrics.note("breaker_opened")
    metrics.gauge("dagi_waiting", "Waiting", lambda: 3.0)
    text = metrics.exposition().decode()
    for line in (
        'dagi_requests_total{mode="chat",outcome="ok",provider="b",rule="chat"} 1.0',
        'dagi_attempts_total{outcome="PROVIDER_ERROR",provider="a"} 1.0',
        'dagi_tokens_total{kind="completion",provider="b"} 4.0',
        'dagi_events_total{event="breaker_opened"} 1.0',
        "dagi_waiting 3.0",
    ):
        assert line in text


class Picky:
    """A place that takes lines only when it is told to."""

    def __init__(self) -> None:
        self.full = False
        self.taken: list[bytes] = []

    def write(self, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.taken.append(data)


def test_a_full_disk_stops_nothing_and_what_it_cost_is_told_afterwards() -> None:
    disk, terminal = Picky(), Picky()
    lines = Lines([disk, terminal])
    disk.full = True
    lines.add(b"one")
    lines.add(b"two")
    disk.full = False
    lines.add(b"three")
    assert terminal.taken == [b"one\n", b"two\n", b"three\n"]
    assert json.loads(disk.taken[0]) == {"event": "log_lines_lost", "level": "warning", "count": 2}
    assert disk.taken[1:] == [b"three\n"]


@pytest.mark.anyio
async def test_a_thread_that_writes_leaves_the_timer_of_the_loop_to_the_loop() -> None:
    place = Picky()
    lines = Lines([place])
    lines.add(b"one")
    await asyncio.to_thread(lines.add, b"two")
    assert place.taken == [b"one\ntwo\n"]
    lines.add(b"three")
    await eventually(lambda: place.taken[1:] == [b"three\n"])


@pytest.mark.anyio
async def test_lines_of_one_moment_go_out_together_and_urgent_ones_at_once() -> None:
    place = Picky()
    lines = Lines([place])
    lines.add(b"one")
    lines.add(b"two")
    assert place.taken == []
    await eventually(lambda: place.taken == [b"one\ntwo\n"])
    lines.add(b"three")
    lines.add(b"four", urgent=True)
    assert place.taken[1:] == [b"three\nfour\n"]


def _write_many(path: Path, name: str, number: int) -> None:
    file = RotatingFile(path, max_bytes=4_000, max_files=500)
    for count in range(number):
        file.write(json.dumps({"writer": name, "count": count, "padding": "x" * 50}).encode() + b"\n")


def test_several_processes_write_and_rotate_one_log_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "router.log"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, name, 400)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    lines = [json.loads(line) for file in tmp_path.iterdir() for line in file.read_bytes().splitlines()]
    assert sorted((line["writer"], line["count"]) for line in lines) == [(name, count) for name in "abc" for count in range(400)]
    assert len(list(tmp_path.iterdir())) > 10


def test_a_log_that_somebody_moved_away_is_begun_anew(tmp_path: Path) -> None:
    log = open_log(plan(tmp_path), "router")
    log.info("before")
    (tmp_path / "router.log").rename(tmp_path / "kept")
    log.info("after")
    assert json.loads((tmp_path / "router.log").read_text(encoding="utf-8"))["event"] == "after"
    assert json.loads((tmp_path / "kept").read_text(encoding="utf-8"))["event"] == "before"


def test_one_line_longer_than_a_file_may_be_is_kept(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "router.log", max_bytes=100, max_files=3)
    for data in (b"a" * 20 + b"\n", b"b" * 200 + b"\n" + b"c" * 20 + b"\n"):
        file.write(data)
    sizes = [(tmp_path / name).stat().st_size for name in ("router.log.2", "router.log.1", "router.log")]
    assert sizes == [21, 201, 21]


def test_an_error_of_ours_is_logged_with_its_trace_and_without_its_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "console"):
        observer = LoggingObserver(open_log(plan(tmp_path, form=form), form), Metrics())
        try:
            secret = "a member's words"
            raise RuntimeError(len(secret))
        except RuntimeError as error:
            observer.note("internal_error", level="error", exc_info=error)
        text = (tmp_path / f"{form}.log").read_text(encoding="utf-8")
        assert "RuntimeError" in text
        assert "a member's words" not in text
    assert "RuntimeError" in capsys.readouterr().err


def test_nothing_that_is_logged_steers_the_terminal_it_is_shown_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(plan(tmp_path, form="console"), "router")
    log.warning("odd", path="\x1b]0;t\x07x", why="\x9b2J\nforged")
    logging.getLogger("library").warning("odd %s", "\x1b[2J\nforged")
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 2
    assert all(line.isprintable() for line in shown)
