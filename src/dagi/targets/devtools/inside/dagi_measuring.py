"""Coverage: what was executed, told from the file that the measurement has left."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import coverage

from dagi_reporting import Reporter

WRITTEN = "/tmp/coverage.json"
SHOWN_FILES = 300


def tell(report: Reporter) -> None:
    """The percentage of each file, and of all."""
    try:
        said = json.loads(Path(WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name, file in list(said.get("files", {}).items())[:SHOWN_FILES]:
        summary = file["summary"]
        report.tell("covered", id=name, percent=round(summary["percent_covered"], 2), missing=summary["missing_lines"])
    report.insist("coverage", percent=round(said["totals"]["percent_covered"], 2))


T = TypeVar("T")


def measured(work: Callable[[], T]) -> T:
    """Do the work while coverage.py measures the workspace."""
    measurement = coverage.Coverage(source=["."])
    measurement.start()
    try:
        return work()
    finally:
        measurement.stop()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(coverage.CoverageException):
            # A file of the workspace that is no Python, or is gone again, is left out.
            measurement.json_report(outfile=WRITTEN, ignore_errors=True)
