"""Logs and metrics."""

import json
import logging
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dagi.errors import ProviderError
from dagi.message import Attempt, Grant, Message, Sender, Usage
from dagi.observe.log import LogPlan, open_log
from dagi.observe.metrics import Metrics
from dagi.observe.observer import LoggingObserver
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Delta, End, Tried, Used, Waited


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
