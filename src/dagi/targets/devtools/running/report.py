"""What a run tells of its tests, line by line. Every line may be forged: bounds hold whatever it says, and only its author is fooled."""

from collections.abc import Callable
from typing import Final, get_args

import msgspec

from dagi.ports.devtools import Hear
from dagi.targets.devtools.running.forms import Broken, Coverage, CoveredFile, TestDone, TestOutcome, Totals
from dagi.targets.devtools.texts import clipped

_OUTCOMES: Final = frozenset(get_args(TestOutcome))
_ID, _MESSAGE, _TRACEBACK, _PRINTED = 500, 2000, 8000, 4000
_LISTED, _LISTED_WHATEVER = 4000, 2000
_BROKEN, _FILES = 200, 300
# Characters of what tests say, in one result; the first of them in full.
_TEXTS = 2 << 20
_SHORT = 200
_MOST = 10_000_000


class _Line(msgspec.Struct, frozen=True):
    kind: str
    id: str = ""
    outcome: str = ""
    seconds: float = 0.0
    message: str = ""
    traceback: str = ""
    stdout: str = ""
    stderr: str = ""
    framework: str = ""
    count: int = 0
    percent: float = 0.0
    missing: int = 0
    status: int = 0
    totals: dict[str, int] = {}


_LINES = msgspec.json.Decoder(_Line)


class Report:
    """What was told so far.

    Attributes:
        running: the test that has begun and not ended.
        refused: why nothing was run.
        finished: the status it announced at its end; None where the end was not told.
    """

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self.framework = ""
        self.running: str | None = None
        self.last: str | None = None
        self.refused = ""
        self.finished: int | None = None
        self.totals = Totals()
        self.broken: list[Broken] = []
        self._tests: list[TestDone] = []
        self._room = _TEXTS
        self._percent: float | None = None
        self._files: list[CoveredFile] = []
        self._kinds: dict[str, Callable[[_Line], None]] = {
            "start": self._start,
            "collected": self._collected,
            "begin": self._begin,
            "test": self._ended,
            "broken": self._broke,
            "refused": self._refuse,
            "covered": self._cover,
            "coverage": self._measured,
            "finish": self._finish,
        }

    def line(self, line: bytes) -> None:
        """The next line; one that cannot be read says nothing."""
        try:
            said = _LINES.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if (told := self._kinds.get(said.kind)) is not None:
            told(said)

    def test(self, test: TestDone) -> None:
        """A test has ended."""
        count: int = getattr(self.totals, test.outcome)
        setattr(self.totals, test.outcome, count + 1)
        done = self.done
        # One that passed may be left out where there are very many; one that did not, later.
        if done <= _LISTED or (test.outcome != "passed" and len(self._tests) < _LISTED + _LISTED_WHATEVER):
            self._tests.append(self._fitted(test))
        self._hear(
            {"kind": "test", "id": test.id, "outcome": test.outcome, "seconds": test.seconds, "done": done, "of": self.totals.collected}
        )

    def _fitted(self, test: TestDone) -> TestDone:
        """With its texts as long as there is room for them."""
        self._room -= len(test.message) + len(test.traceback) + len(test.stdout) + len(test.stderr)
        if self._room >= 0:
            return test
        return msgspec.structs.replace(test, message=clipped(test.message, _SHORT), traceback="", stdout="", stderr="")

    @property
    def done(self) -> int:
        """How many tests have ended."""
        totals = self.totals
        return totals.passed + totals.failed + totals.error + totals.skipped + totals.xfailed + totals.xpassed

    @property
    def tests(self) -> list[TestDone]:
        """Those that are listed."""
        return self._tests

    @property
    def coverage(self) -> Coverage | None:
        """What was executed; None where it was not measured."""
        return None if self._percent is None else Coverage(percent=self._percent, files=self._files)

    def _start(self, said: _Line) -> None:
        self.framework = clipped(said.framework, 20)
        self._hear({"kind": "start", "framework": self.framework})

    def _collected(self, said: _Line) -> None:
        self.totals.collected = _bounded(said.count)
        self._hear({"kind": "collected", "count": self.totals.collected})

    def _begin(self, said: _Line) -> None:
        self.running = self.last = clipped(said.id, _ID)

    def _refuse(self, said: _Line) -> None:
        self.refused = clipped(said.message, _MESSAGE)

    def _cover(self, said: _Line) -> None:
        if len(self._files) < _FILES:
            self._files.append(CoveredFile(path=clipped(said.id, _ID), percent=_percent(said.percent), missing=_bounded(said.missing)))

    def _measured(self, said: _Line) -> None:
        self._percent = _percent(said.percent)

    def _ended(self, said: _Line) -> None:
        if said.outcome not in _OUTCOMES:
            return
        ended, self.running = self.running or self.last or "", None
        self.test(
            TestDone(
                id=ended,
                outcome=msgspec.convert(said.outcome, TestOutcome),
                seconds=min(max(said.seconds, 0.0), 1e6),
                message=clipped(said.message, _MESSAGE),
                traceback=clipped(said.traceback, _TRACEBACK),
                stdout=clipped(said.stdout, _PRINTED),
                stderr=clipped(said.stderr, _PRINTED),
            )
        )

    def _broke(self, said: _Line) -> None:
        self.running = None
        self.totals.broken += 1
        message = clipped(said.message, _MESSAGE)
        if len(self.broken) < _BROKEN:
            self.broken.append(Broken(id=clipped(said.id, _ID), message=message, traceback=clipped(said.traceback, _TRACEBACK)))
        self._hear({"kind": "broken", "id": clipped(said.id, _ID), "message": message})

    def _finish(self, said: _Line) -> None:
        self.finished = said.status
        # Its report has room for so many lines; what it has counted itself is complete.
        for name in Totals.__struct_fields__:
            count: int = getattr(self.totals, name)
            setattr(self.totals, name, max(count, _bounded(said.totals.get(name, 0))))


def _bounded(count: int) -> int:
    return min(max(count, 0), _MOST)


def _percent(said: float) -> float:
    return min(max(said, 0.0), 100.0)
