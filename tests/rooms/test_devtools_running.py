"""What is asked of a test run, and what is believed of what it tells."""

from collections.abc import Mapping
from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dagi.errors import Invalid, Missing
from dagi.targets.devtools.notebooks.forms import ExecuteNotebook, NotebookDone
from dagi.targets.devtools.running.forms import RunTests, TestsDone
from dagi.targets.devtools.running.outcome import outcome_of
from dagi.targets.devtools.running.plan import job_of
from dagi.targets.devtools.running.report import Report
from dagi.targets.devtools.running.tap import Tap
from dagi.targets.devtools.sandbox.job import Bounds, Finished, Place
from dagi.targets.devtools.texts import Told, clipped, limited, plain

COMMANDS = {"lint": ("ruff", "check")}
PYTEST = {"kind": "start", "framework": "pytest"}
KINDS = ["start", "collected", "begin", "test", "broken", "refused", "covered", "coverage", "finish", "what", ""]


def planned(**params: object) -> dict[str, object]:
    job = job_of(msgspec.convert(params, RunTests), COMMANDS, Place(), Bounds(wall_s=60))
    return {**msgspec.json.decode(job.command[2]), "wall_s": job.bounds.wall_s}


def ended(status: int | None = 0, ending: str = "exit") -> Finished:
    finished = {"ending": ending, "status": status, "stdout": b"", "stderr": b"", "cut": False, "wall_s": 1.0, "root": -1}
    return msgspec.convert(finished, Finished)


def told(*lines: object) -> Report:
    report = Report(lambda _: None)
    for line in lines:
        report.line(line if isinstance(line, bytes) else msgspec.json.encode(line))
    return report


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"paths": ["../secrets"]}, "params.paths[0]"),
        ({"paths": ["a.py", "/etc/passwd"]}, "params.paths[1]"),
        ({"paths": ["--rootdir=/"]}, "params.paths[0]"),
        ({"paths": ["@arguments"]}, "params.paths[0]"),
        ({"paths": ["a/../../b::test"]}, "params.paths[0]"),
        ({"paths": ["::test"]}, "params.paths[0]"),
        ({"paths": ["a\x00b"]}, "params.paths[0]"),
        ({"paths": ["a\nb"]}, "params.paths[0]"),
        ({"keyword": "a\x1b[2J"}, "params.keyword"),
        ({"environment": {"A": "b\x00c"}}, "params.environment.A"),
        ({"timeout_s": 61}, "params.timeout_s"),
        ({"framework": "command"}, "params.command"),
        ({"framework": "pytest", "command": "lint"}, "params.command"),
        ({"command": "lint", "paths": ["a.py"]}, "params.command"),
        ({"paths": ["д" * 500] * 100, "environment": {f"N{n}": "д" * 2000 for n in range(32)}}, "params.paths"),
    ],
)
def test_what_cannot_be_run_is_refused_by_the_name_of_the_parameter(params: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        planned(**params)
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize(
    "params", [{"environment": {"A B": "c"}}, {"environment": {"": "c"}}, {"paths": [""]}, {"shell": "sh"}, {"timeout_s": 0}]
)
def test_what_has_no_such_form_is_refused_before_it_is_looked_at(params: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        planned(**params)


def test_a_command_that_the_workspace_does_not_have_is_told_with_those_it_has() -> None:
    with pytest.raises(Missing, match="It has: lint"):
        planned(command="deploy")
    assert planned(command="lint", timeout_s=5)["command"] == ["ruff", "check"]


@pytest.mark.parametrize(
    ("lines", "status", "outcome"),
    [
        ([], 0, "crashed"),
        ([{"kind": "start", "framework": "pytest"}, {"kind": "begin", "id": "a"}], 0, "crashed"),
        ([{"kind": "test", "outcome": "passed"}, {"kind": "finish", "status": 0}], 0, "passed"),
        ([{"kind": "test", "outcome": "passed"}, {"kind": "finish", "status": 0}], 1, "crashed"),
        ([{"kind": "finish", "status": 0}], 0, "no_tests"),
        ([PYTEST, {"kind": "test", "outcome": "passed"}, {"kind": "finish", "status": 0, "totals": {"collected": 2}}], 0, "crashed"),
        ([PYTEST, {"kind": "collected", "count": 1}, {"kind": "finish", "status": 0}], 0, "crashed"),
        ([{"kind": "finish", "status": 5}], 5, "no_tests"),
        ([{"kind": "test", "outcome": "failed"}, {"kind": "finish", "status": 0}], 0, "failed"),
        ([{"kind": "finish", "status": 0, "totals": {"failed": 3}}], 0, "failed"),
        ([{"kind": "broken", "id": "a"}, {"kind": "finish", "status": 2}], 2, "errors"),
        ([{"kind": "finish", "status": 4}], 4, "errors"),
        ([{"kind": "start", "framework": "command"}, {"kind": "finish", "status": 0}], 0, "passed"),
        ([{"kind": "start", "framework": "command"}, {"kind": "finish", "status": 7}], 7, "failed"),
        ([{"kind": "refused", "message": "no npm"}, {"kind": "finish", "status": 0}], 0, "errors"),
    ],
)
def test_a_run_has_passed_only_where_its_end_was_told_and_nothing_has_failed(lines: list[object], status: int, outcome: str) -> None:
    assert outcome_of(ended(status), told(*lines)) == outcome


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [("time", "timed_out"), ("memory", "out_of_memory"), ("output", "output_limit"), ("disk", "disk_limit"), ("gone", "crashed")],
)
def test_a_run_that_was_stopped_is_called_by_its_bound_whatever_it_told(ending: str, outcome: str) -> None:
    report = told({"kind": "test", "outcome": "passed"}, {"kind": "finish", "status": 0})
    assert outcome_of(ended(None, ending), report) == outcome


def test_of_very_many_tests_those_that_failed_are_listed_and_all_are_counted() -> None:
    report = Report(lambda _: None)
    for number in range(7000):
        report.line(b'{"kind":"begin","id":"%d"}' % number)
        report.line(b'{"kind":"test","outcome":"%s"}' % (b"failed" if number >= 6900 else b"passed"))
    assert (report.totals.passed, report.totals.failed, len(report.tests)) == (6900, 100, 4100)
    assert report.tests[-1].id == "6999"


def test_what_very_many_failures_say_is_told_up_to_a_bound() -> None:
    long = "why " * 900
    failed = {"kind": "test", "outcome": "failed", "message": long, "traceback": long, "stdout": long, "stderr": long}
    report = told(*[failed] * 2000)
    assert report.tests[0].stderr.startswith("why why")
    assert (report.tests[-1].message[:7], report.tests[-1].traceback) == ("why why", "")
    assert len(msgspec.json.encode(report.tests)) < 4 << 20


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)


@given(
    st.lists(
        st.binary()
        | st.dictionaries(st.sampled_from(["id", "message", "seconds", "totals", "count"]), JSON).flatmap(
            lambda facts: st.sampled_from(KINDS).map(lambda kind: {**facts, "kind": kind})
        )
    )
)
@example([b"[" * 100_000, b'{"kind":"start","framework":' + b"[" * 100_000, b"\xff", b'{"kind":"begin","id":"\\ud800"}', b'{"kind":1e999}'])
def test_no_line_of_a_report_is_more_than_a_line(lines: list[object]) -> None:
    report = told(*lines)
    assert len(report.framework) <= 60
    assert len(report.running or "") <= 600
    assert report.totals.collected <= 10_000_000


TAP = b"""
> votes@1.0.0 test
> node --test

TAP version 13
# hello
# Subtest: adds \\# both
ok 1 - adds \\# both
  ---
  duration_ms: 7.65
  ...
# Subtest: quorum
    # Subtest: holds
    not ok 1 - holds
      ---
      duration_ms: 1
      location: '/workspace/a.test.js:3:1'
      failureType: 'testCodeFailure'
      error: |-
        it does not
        hold
      stack: |-
        Test.run (a.js:1:1)
      ...
    ok 2 - later # SKIP not today
    1..2
not ok 2 - quorum
  ---
  type: 'suite'
  failureType: 'subtestsFailed'
  ...
not ok 3 - wish # TODO
ok 4 - granted # TODO
1..4
"""


@given(st.lists(st.integers(min_value=0, max_value=len(TAP)), max_size=20))
def test_what_node_writes_is_read_the_same_however_it_is_cut(cuts: list[int]) -> None:
    tap, places = Tap(), sorted({0, *cuts, len(TAP)})
    tests = [test for begin, end in pairwise(places) for test in tap.feed(TAP[begin:end])] + tap.end()
    assert [(test.id, test.outcome, test.message, test.seconds) for test in tests] == [
        ("adds # both", "passed", "", 0.0077),
        ("quorum > holds", "failed", "it does not\nhold", 0.001),
        ("quorum > later", "skipped", "not today", 0.0),
        ("wish", "xfailed", "", 0.0),
        ("granted", "xpassed", "", 0.0),
    ]
    assert tests[1].traceback == "/workspace/a.test.js:3:1\nTest.run (a.js:1:1)"


@given(
    st.lists(
        st.sampled_from([b"ok", b" " * 400, b"# Subtest: ", b"\n", b"---", b"...", b"\xff", b"- x # TODO", b"x" * 9000, b"a: |-"]),
        max_size=60,
    )
)
def test_no_output_is_too_odd_to_be_read_as_tap(pieces: list[bytes]) -> None:
    tap = Tap()
    tests = [test for piece in pieces for test in tap.feed(piece)] + tap.end()
    assert all(len(test.id) < 600 for test in tests)


def test_a_name_that_node_was_told_moves_no_terminal_where_its_test_never_ends() -> None:
    tap = Tap()
    tap.feed(
        b"# Subtest: \x1b]0;title\x07evil\n" + b"".join(b" " * 4 * deep + b"# Subtest: " + b"x" * 3900 + b"\n" for deep in range(1, 20))
    )
    running = tap.running or ""
    assert (running.startswith("evil > x"), "\x1b" in running, "\x07" in running, len(running) < 600) == (True, False, False, True)


@given(st.text(), st.integers(min_value=10, max_value=50))
@example("\x1b[31mred\x1b[0m \x1b]0;title\x07 \u202eturned \r\n next\rback \x07", 500)
def test_a_text_of_others_is_bounded_and_moves_no_terminal(text: str, limit: int) -> None:
    shown = clipped(text, limit)
    assert len(shown) <= limit + 20
    assert not any(character in plain(text) for character in "\x1b\x07\r\u202e\x00\x9b")


def test_output_is_told_while_it_comes_up_to_its_bound_and_then_no_more() -> None:
    heard: list[Mapping[str, object]] = []
    stream = Told("stdout", heard.append, 10)
    for piece in ("ж".encode()[:1], "ж".encode()[1:], b"1234567", b"890", b"more"):
        stream.feed(piece)
    assert "".join(str(event["text"]) for event in heard).startswith("ж1234567")
    assert heard[-1] == {"kind": "output", "stream": "stdout", "text": "", "cut": True}


def test_who_tells_without_end_is_heard_up_to_a_bound() -> None:
    heard: list[Mapping[str, object]] = []
    hear = limited(heard.append, 3)
    for number in range(10):
        hear({"kind": "test", "number": number})
    assert [event["number"] for event in heard] == [0, 1, 2]


@pytest.mark.parametrize("form", [RunTests, TestsDone, ExecuteNotebook, NotebookDone])
def test_what_the_tools_take_and_give_has_a_schema(form: type) -> None:
    assert msgspec.json.schema(form)["$ref"] == f"#/$defs/{form.__name__}"
