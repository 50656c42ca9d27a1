"""How a test run is to be called, and why."""

from collections.abc import Mapping
from typing import Final

from dagi.targets.devtools.running.forms import Outcome
from dagi.targets.devtools.running.report import Report
from dagi.targets.devtools.sandbox.job import Bounds, Ending, Finished

_STOPPED: Final[Mapping[Ending, Outcome]] = {
    "time": "timed_out",
    "memory": "out_of_memory",
    "output": "output_limit",
    "disk": "disk_limit",
    "gone": "crashed",
}
_NO_TESTS = 5


def outcome_of(finished: Finished, report: Report) -> Outcome:
    """The outcome. Without a word from its end, a run has not passed, whatever its status."""
    if (stopped := _STOPPED.get(finished.ending)) is not None:
        return stopped
    if report.finished is None or report.finished != finished.status:
        return "crashed"
    if report.refused:
        return "errors"
    totals = report.totals
    if totals.broken:
        return "errors"
    if totals.failed or totals.error:
        return "failed"
    if report.framework in {"npm", "command"}:
        return "passed" if finished.status == 0 else "failed"
    if report.framework == "pytest" and finished.status == 0 and report.done < totals.collected:
        # Something in it has ended it early and called that a success: pytest.exit("…", 0), or a hook in the tests' place.
        return "crashed"
    if finished.status == 0:
        return "passed" if report.done else "no_tests"
    # An unexpected success that is an error in unittest; in pytest nothing but errors of the run itself is left.
    return "no_tests" if finished.status == _NO_TESTS else "failed" if totals.xpassed else "errors"


def sentence(outcome: Outcome, finished: Finished, report: Report, bounds: Bounds) -> str:
    """The outcome in a sentence, for people."""
    during = f", during {report.running}" if report.running else f", after {report.last}" if report.last else ""
    stopped = {
        "timed_out": f"Stopped after {bounds.wall_s:g} s{during}.",
        "out_of_memory": f"Stopped for using more than {bounds.memory >> 20} MiB of memory{during}.",
        "output_limit": f"Stopped for printing more than {bounds.output >> 10} KiB{during}.",
        "disk_limit": f"Stopped for writing more than {bounds.disk >> 20} MiB or {bounds.files} files{during}.",
    }
    if outcome in stopped:
        return stopped[outcome]
    if outcome == "crashed":
        where = f" in {report.running}" if report.running else f" after {report.last}" if report.last else " before the first test"
        return f"It ended{where}, without having come to its end (status {finished.status})."
    return _ended(outcome, finished, report)


def _ended(outcome: Outcome, finished: Finished, report: Report) -> str:
    totals = report.totals
    if outcome == "no_tests":
        return "No tests were found."
    if report.refused:
        return report.refused
    if report.broken:
        return f"{report.broken[0].id} cannot be loaded: {report.broken[0].message}"
    if outcome == "errors":
        return f"The run itself failed (status {finished.status}); what it printed says why."
    wrong = totals.failed + totals.error
    if not report.done or (outcome == "failed" and not wrong):
        return f"It ended with status {finished.status}{_others(report)}."
    if outcome == "failed":
        return f"{wrong} of {max(report.done, totals.collected)} failed{_others(report)}."
    return f"{totals.passed} passed{_others(report)}."


def _others(report: Report) -> str:
    totals = report.totals
    return "".join(f", {count} {name}" for name in ("skipped", "xfailed", "xpassed") if (count := getattr(totals, name)))
