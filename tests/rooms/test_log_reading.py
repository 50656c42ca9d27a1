"""Reading the logs of several processes as one."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagi.observe.reading import LogFiles, Wanted, readable

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)


def line(second: int, event: str, **facts: object) -> str:
    at = (BEGIN + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    return json.dumps({"event": event, "level": "info", "timestamp": at, "service": "router", **facts}) + "\n"


def events(files: LogFiles, **options: bool) -> list[object]:
    return [entry.raw.decode("utf-8", "replace") if entry.event is None else entry.event["event"] for entry in files.past(**options)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "router.log.2").write_text(line(0, "a") + line(3, "d"), encoding="utf-8")
    (tmp_path / "router.log.1").write_text(line(4, "e"), encoding="utf-8")
    (tmp_path / "router.log.10").write_text(line(-5, "first"), encoding="utf-8")
    (tmp_path / "router.log").write_text(line(6, "g", request_id="r1", level="warning"), encoding="utf-8")
    (tmp_path / "embedder.log").write_text(
        line(1, "b", service="embedder")
        + line(2, "c", service="embedder", request_id="r1")
        + line(5, "f", service="embedder", level="error")
    )
    (tmp_path / "notes.txt").write_text("none of ours")
    return tmp_path


def test_all_files_of_all_processes_are_one_log_by_time(directory: Path) -> None:
    assert events(LogFiles(directory, Wanted())) == ["first", "a", "b", "c", "d", "e", "f", "g"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(request_id="r1"), ["c", "g"]),
        (Wanted(level="warning"), ["f", "g"]),
        (Wanted(level="error"), ["f"]),
        (Wanted(service="embedder"), ["b", "c", "f"]),
        (Wanted(since=BEGIN + timedelta(seconds=5)), ["f", "g"]),
        (Wanted(service="embedder", request_id="r1"), ["c"]),
        (Wanted(request_id="r"), []),
        (Wanted(service="nobody"), []),
    ],
)
def test_only_what_is_wanted_is_read(directory: Path, wanted: Wanted, found: list[str]) -> None:
    assert events(LogFiles(directory, wanted)) == found


def test_torn_and_foreign_lines_are_kept_at_their_place_and_never_stop_the_reading(tmp_path: Path) -> None:
    (tmp_path / "router.log").write_bytes(
        line(0, "a").encode()
        + b'{"event": "torn", "time\n\xff\xfe\n[1]\n\n'
        + line(2, "c").encode()
        + b"Traceback (most recent call last):"
    )
    (tmp_path / "other.log").write_text(line(1, "b", service="other"))
    assert events(LogFiles(tmp_path, Wanted())) == [
        "a",
        '{"event": "torn", "time',
        "��",
        "[1]",
        "b",
        "c",
        "Traceback (most recent call last):",
    ]
    assert events(LogFiles(tmp_path, Wanted(level="debug"))) == ["a", "b", "c"]
    assert events(LogFiles(tmp_path, Wanted()), unfinished=False)[-1] == "c"


def test_news_are_lines_that_were_finished_since_through_rotation_and_emptying(directory: Path) -> None:
    files = LogFiles(directory, Wanted())
    list(files.past(unfinished=False))
    assert files.news() == []
    current = directory / "router.log"
    with current.open("a") as file:
        file.write(line(7, "h") + line(8, "torn")[:-20])
    assert [entry.event["event"] for entry in files.news()] == ["h"]
    with current.open("a") as file:
        file.write(line(8, "torn")[-20:])
    current.rename(directory / "router.log.0")
    current.write_text(line(10, "i"))
    (directory / "new.log").write_text(line(9, "j", service="new"))
    assert [entry.event["event"] for entry in files.news()] == ["torn", "j", "i"]
    current.write_text("")
    assert files.news() == []
    current.write_text(line(9, "k"))
    assert [entry.event["event"] for entry in files.news()] == ["k"]


def test_lines_of_several_writers_in_one_file_are_put_in_order(tmp_path: Path) -> None:
    (tmp_path / "router.log").write_text(line(1, "b") + line(3, "d") + line(0, "a") + "torn\n" + line(2, "c"))
    assert events(LogFiles(tmp_path, Wanted())) == ["a", "torn", "b", "c", "d"]


def test_a_directory_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "nowhere", Wanted())
    assert (files.there, list(files.past()), files.news()) == (False, [], [])


def test_a_file_that_was_last_written_before_the_time_wanted_is_not_even_read(directory: Path) -> None:
    old = (BEGIN - timedelta(days=2)).timestamp()
    os.utime(directory / "router.log.2", (old, old))
    assert "a" not in events(LogFiles(directory, Wanted(since=BEGIN - timedelta(days=1))))


def test_a_line_for_people_tells_time_level_service_event_and_facts(directory: Path) -> None:
    (entry,) = LogFiles(directory, Wanted(request_id="r1", service="router")).past()
    assert readable(entry) == "2026-11-22 12:00:06.000 warning  router     g                    request_id=r1"
    problem = {"exc_type": "ValueError", "exc_value": "no", "frames": [{"filename": "a.py", "lineno": 3, "name": "f"}]}
    (directory / "router.log").write_text(line(1, "x", exception=[problem], why="two words", n=1, attempts=["a:ok"], rule=None))
    shown = readable(next(entry for entry in LogFiles(directory, Wanted()).past() if entry.event["event"] == "x"))
    assert 'why="two words" n=1 attempts=["a:ok"]' in shown
    assert shown.splitlines()[1:] == ["    ValueError: no", "      a.py:3 f"]


_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(st.sampled_from(["timestamp", "level", "service", "event", "exception", "request_id", "x"]), _values),
    st.binary(max_size=40),
)
def test_whatever_a_line_holds_it_can_be_shown(tmp_path: Path, event: dict[str, object], torn: bytes) -> None:
    (tmp_path / "router.log").write_bytes(json.dumps(event).encode() + b"\n" + torn)
    for entry in LogFiles(tmp_path, Wanted()).past():
        assert isinstance(readable(entry), str)


@pytest.mark.parametrize("odd", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday"])
def test_a_line_of_an_impossible_time_is_shown_at_the_time_of_the_line_before_it(tmp_path: Path, odd: str) -> None:
    (tmp_path / "router.log").write_text(line(1, "a") + json.dumps({"event": "odd", "timestamp": odd}) + "\n" + line(2, "b"))
    shown = [readable(entry) for entry in LogFiles(tmp_path, Wanted()).past()]
    assert [text.startswith("2026-11-22 12:00:01") for text in shown] == [True, True, False]
    assert "odd" in shown[1]
