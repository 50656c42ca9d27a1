"""unittest, with a result that tells what happens in the words of dagi_pytest.py."""

import io
import sys
import time
import traceback
import unittest
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import dagi_measuring
from dagi_reporting import MESSAGE, OUTPUT, TRACEBACK, Reporter

if TYPE_CHECKING:
    from unittest.runner import _WritelnDecorator as Stream  # pyright: ignore[reportPrivateUsage]

    from dagi_tests import Ran, Spec

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

NO_TESTS = 5


class Telling(unittest.TextTestResult):
    """Tells of every test as it begins and ends, and writes the usual text."""

    report: Reporter
    totals: Counter[str]
    max_failures = 0
    _running = False
    _outcome = "passed"
    _why: "str | ErrorInfo | None" = None
    _began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        """A test begins."""
        super().startTest(test)
        self._running, self._outcome, self._why, self._began = True, "passed", None, time.monotonic()
        self.report.tell("begin", id=test.id()[:500])

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """It has ended: its outcome is known."""
        seconds = time.monotonic() - self._began
        printed = {}
        if self._outcome in {"failed", "error"} and self.buffer:
            buffers = {"stdout": sys.stdout, "stderr": sys.stderr}
            texts = {name: buffer.getvalue() for name, buffer in buffers.items() if isinstance(buffer, io.StringIO)}
            printed = {name: self.report.text(text, OUTPUT) for name, text in texts.items() if text}
        super().stopTest(test)
        self._running = False
        self._tell(test, seconds, printed)
        if self.max_failures and self.totals["failed"] + self.totals["error"] >= self.max_failures:
            self.stop()

    def _tell(self, test: unittest.TestCase, seconds: float, printed: dict[str, str]) -> None:
        if type(test).__name__ == "_FailedTest":
            self.totals["broken"] += 1
            explained = self._explained()
            # unittest puts the whole traceback of the import into its own message; its last line says what is wrong.
            why = explained.get("traceback", "").strip().rpartition("\n")[2]
            self.report.tell(
                "broken", id=test.id().rpartition("_FailedTest.")[2][:500], **{**explained, "message": self.report.text(why, MESSAGE)}
            )
            return
        self.totals[self._outcome] += 1
        self.report.tell("test", outcome=self._outcome, seconds=round(seconds, 4), **self._explained(), **printed)

    def _explained(self) -> dict[str, str]:
        if isinstance(self._why, str):
            return {"message": self.report.text(self._why, MESSAGE)}
        kind, error, _ = self._why or (None, None, None)
        if kind is None or error is None:
            return {}
        lines = "".join(traceback.format_exception(error))
        # An exception may be unable to tell what it is.
        named = "".join(traceback.TracebackException(kind, error, None).format_exception_only()).strip()
        return {"message": self.report.text(named, MESSAGE), "traceback": self.report.text(lines, TRACEBACK)}

    def _note(self, test: unittest.TestCase, outcome: str, why: str | ErrorInfo | None = None) -> None:
        if self._running:
            self._outcome, self._why = outcome, why
            return
        # A class or a module that cannot be prepared: no test has begun.
        self._why = why
        self.totals[outcome] += 1
        self.report.tell("begin", id=str(test)[:500])
        self.report.tell("test", outcome=outcome, seconds=0.0, **self._explained())

    def addError(self, test: unittest.TestCase, err: ErrorInfo) -> None:  # noqa: N802
        """It could not be done."""
        super().addError(test, err)
        self._note(test, "error", err)

    def addFailure(self, test: unittest.TestCase, err: ErrorInfo) -> None:  # noqa: N802
        """An assertion does not hold."""
        super().addFailure(test, err)
        self._note(test, "failed", err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: ErrorInfo | None) -> None:  # noqa: N802
        """A part of a test: where it fails, the test has."""
        super().addSubTest(test, subtest, err)
        if err is not None and err[0] is not None:
            self._note(test, "failed" if issubclass(err[0], test.failureException) else "error", err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        """It is not wanted here."""
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: ErrorInfo) -> None:  # noqa: N802
        """It failed, as it was said to."""
        super().addExpectedFailure(test, err)
        self._note(test, "xfailed", err)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        """It passed, and was said to fail."""
        super().addUnexpectedSuccess(test)
        self._note(test, "xpassed")


def dotted(path: str) -> str:
    """`tests/test_a.py::Case::test_b` as unittest names it."""
    file, *names = path.split("::")
    module = ".".join(Path(file.removesuffix(".py")).parts)
    return ".".join([module, *names])


def made_loader(spec: "Spec") -> unittest.TestLoader:
    """A loader for one search: until Python 3.12 it remembers where the first one began, and fails in the next."""
    loader = unittest.TestLoader()
    if spec["keyword"]:
        loader.testNamePatterns = [f"*{spec['keyword']}*"]
    return loader


def collected(spec: "Spec") -> unittest.TestSuite:
    """The tests that are wanted."""
    if spec["paths"]:
        directories = [path for path in spec["paths"] if Path(path).is_dir()]
        files = [path for path in spec["paths"] if path not in directories]
        suites = [made_loader(spec).discover(path, top_level_dir="." if path == "." else None) for path in directories]
        return unittest.TestSuite([*suites, made_loader(spec).loadTestsFromNames([dotted(path) for path in files])])
    found = made_loader(spec).discover(".", top_level_dir=".")
    for directory in ("tests", "test"):
        # Without an __init__.py it is no package, and unittest does not look into it from above.
        if found.countTestCases() == 0 and Path(directory).is_dir():
            found = made_loader(spec).discover(directory)
    return found


def run(spec: "Spec", report: Reporter) -> "Ran":
    """Run them."""
    totals: Counter[str] = Counter()

    def result(stream: "Stream", descriptions: bool, verbosity: int) -> Telling:  # noqa: FBT001 - unittest's own form
        made = Telling(stream, descriptions, verbosity)
        made.report, made.totals, made.max_failures = report, totals, spec["max_failures"]
        return made

    def work() -> int:
        suite = collected(spec)
        totals["collected"] = suite.countTestCases()
        report.insist("collected", count=totals["collected"])
        done = unittest.TextTestRunner(resultclass=result, verbosity=2, buffer=True).run(suite)  # pyright: ignore[reportArgumentType] - only its constructor is called
        if totals["collected"] == 0:
            return NO_TESTS
        return 0 if done.wasSuccessful() else 1

    if not spec["coverage"]:
        return work(), dict(totals)
    status = dagi_measuring.measured(work)
    dagi_measuring.tell(report)
    return status, dict(totals)
