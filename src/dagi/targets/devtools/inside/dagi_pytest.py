"""pytest, with a plugin that tells what happens.

{"kind":"collected","count":3}
{"kind":"begin","id":"tests/test_a.py::test_b"}
{"kind":"test","outcome":"failed","seconds":0.01,"message":"…","traceback":"…","stdout":"…","stderr":"…"}   of what began last
{"kind":"broken","id":"tests/test_c.py","message":"…","traceback":"…"}   cannot be collected
"""

from collections import Counter
from typing import TYPE_CHECKING

import pytest

import dagi_measuring
from dagi_reporting import MESSAGE, OUTPUT, TRACEBACK, Reporter

if TYPE_CHECKING:
    from dagi_tests import Ran, Spec


def explained(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Why it failed, in a line or a few."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message)
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    lines = str(report.longrepr or "").strip().splitlines()
    return lines[-1].removeprefix("E ").strip() if lines else ""


class Telling:
    """The plugin."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._phases: list[pytest.TestReport] = []
        self.totals: Counter[str] = Counter()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What will be run is known."""
        self.totals["collected"] = len(session.items)
        self._report.insist("collected", count=len(session.items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that cannot be imported, or wants to be skipped as a whole."""
        if report.failed:
            self.totals["broken"] += 1
            details = {
                "message": self._report.text(explained(report), MESSAGE),
                "traceback": self._report.text(report.longreprtext, TRACEBACK),
            }
            self._report.tell("broken", id=report.nodeid[:500], **details)
        elif report.skipped:
            self._report.tell("begin", id=report.nodeid[:500])
            self._tell_test("skipped", 0.0, message=explained(report))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._phases = []
        self._report.tell("begin", id=nodeid[:500])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Its preparation, the test itself, or its tidying up was done."""
        self._phases.append(report)

    def pytest_runtest_logfinish(self) -> None:
        """The test has ended."""
        phases, self._phases = self._phases, []
        decisive = next((phase for phase in phases if phase.failed), None) or next((phase for phase in phases if phase.skipped), None)
        seconds = sum(phase.duration for phase in phases)
        if decisive is not None and decisive.failed:
            sections = {"stdout": phases[-1].capstdout, "stderr": phases[-1].capstderr}
            printed = {name: self._report.text(text, OUTPUT) for name, text in sections.items() if text}
            outcome = "failed" if decisive.when == "call" else "error"
            self._tell_test(outcome, seconds, message=explained(decisive), traceback=decisive.longreprtext, **printed)
        elif decisive is not None:
            wrong = hasattr(decisive, "wasxfail")
            self._tell_test("xfailed" if wrong else "skipped", seconds, message=getattr(decisive, "wasxfail", None) or explained(decisive))
        else:
            right = any(hasattr(phase, "wasxfail") for phase in phases)
            self._tell_test("xpassed" if right else "passed", seconds)

    def _tell_test(self, outcome: str, seconds: float, *, message: str = "", traceback: str = "", **printed: str) -> None:
        self.totals[outcome] += 1
        details = {
            "message": self._report.text(message, MESSAGE),
            "traceback": self._report.text(traceback, TRACEBACK),
            **printed,
        }
        self._report.tell("test", outcome=outcome, seconds=round(seconds, 4), **{name: text for name, text in details.items() if text})


def run(spec: "Spec", report: Reporter) -> "Ran":
    """Run it; its own configuration in the workspace counts, its cache is kept out of there."""
    plugin = Telling(report)
    options = ["--tb=short", "--color=no", "-o", "cache_dir=/tmp/pytest"]
    if spec["keyword"]:
        options += ["-k", spec["keyword"]]
    if spec["max_failures"]:
        options += [f"--maxfail={spec['max_failures']}"]
    if spec["coverage"]:
        options += ["--cov=.", "--cov-report=json:/tmp/coverage.json"]
    status = pytest.main([*options, *spec["paths"]], plugins=[plugin])
    if spec["coverage"]:
        dagi_measuring.tell(report)
    return int(status), dict(plugin.totals)
