"""What Node's own test runner writes: TAP, version 14.

https://testanything.org/tap-version-14-specification.html
"""

import codecs
import re
from collections.abc import Iterator
from typing import Final

from dagi.targets.devtools.running.forms import TestDone, TestOutcome
from dagi.targets.devtools.texts import clipped

_POINT: Final = re.compile(r"^(?P<indent> *)(?P<not>not )?ok\b(?: \d+)?(?: -)? ?(?P<rest>.*)$")
_SUBTEST: Final = re.compile(r"^(?P<indent> *)# Subtest: (?P<name>.*)$")
_DIRECTIVE: Final = re.compile(r"(?<!\\) # (?P<word>skip|todo)\b ?(?P<why>.*)$", re.IGNORECASE)
_ESCAPED: Final = re.compile(r"\\([\\#])")
_LINE, _DEPTH, _YAML_LINES, _ID = 4000, 20, 100, 500
_STEP = 4


class _Point:
    def __init__(self, path: str, *, passed: bool, suite: bool) -> None:
        self.path = path
        self.passed = passed
        self.suite = suite
        self.directive = self.why = ""
        self.yaml: list[str] = []


class Tap:
    """Bytes in, tests out. Whatever is no TAP is passed over."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        # Names of the subtests that are open; that of depth n at n.
        self._names: list[str] = []
        # The deepest point since the last one of each depth: a suite is told by the points within it.
        self._within = 0
        self._point: _Point | None = None
        self._in_yaml = False

    @property
    def running(self) -> str | None:
        """The subtest that has begun and not ended."""
        return clipped(" > ".join(self._names), _ID) if self._names else None

    def feed(self, piece: bytes) -> list[TestDone]:
        """The next piece of output; the tests that ended with it."""
        lines = (self._line + self._decoder.decode(piece)).split("\n")
        # A line without an end is no TAP, and is not kept for long.
        self._line = lines.pop()[:_LINE]
        return [test for line in lines for test in self._read(line[:_LINE])]

    def end(self) -> list[TestDone]:
        """No more will come."""
        return list(self._tell())

    def _read(self, line: str) -> Iterator[TestDone]:
        if self._in_yaml and self._point is not None:
            if line.strip() == "...":
                yield from self._tell()
            elif len(self._point.yaml) < _YAML_LINES:
                self._point.yaml.append(line)
            return
        if line.strip() == "---" and self._point is not None:
            self._in_yaml = True
            return
        yield from self._tell()
        if begun := _SUBTEST.match(line):
            depth = len(begun["indent"]) // _STEP
            if depth < _DEPTH:
                self._names[depth:] = [_unescaped(begun["name"])[:_ID]]
        elif ended := _POINT.match(line):
            self._ended(ended)

    def _ended(self, point: re.Match[str]) -> None:
        depth = len(point["indent"]) // _STEP
        rest = point["rest"]
        directive = _DIRECTIVE.search(rest)
        name = _unescaped(rest[: directive.start()] if directive else rest)
        suite, self._within = self._within > depth, depth
        parents, self._names[depth:] = self._names[:depth], []
        self._point = _Point(" > ".join([*parents, name]), passed=point["not"] is None, suite=suite)
        if directive:
            self._point.directive, self._point.why = directive["word"].lower(), directive["why"]

    def _tell(self) -> Iterator[TestDone]:
        point, self._point, self._in_yaml = self._point, None, False
        if point is None:
            return
        said = _mapping(point.yaml)
        # A suite is no test, unless it failed beside its tests.
        if (point.suite or said.get("type") == "suite") and (point.passed or said.get("failureType") == "subtestsFailed"):
            return
        passed: TestOutcome = "xpassed" if point.directive == "todo" else "passed"
        failed: TestOutcome = "xfailed" if point.directive == "todo" else "failed"
        outcome: TestOutcome = "skipped" if point.directive == "skip" else passed if point.passed else failed
        message = "" if outcome == "passed" else said.get("error", point.why)
        where = [said[name] for name in ("location", "stack") if name in said]
        yield TestDone(
            id=clipped(point.path, _ID),
            outcome=outcome,
            seconds=_seconds(said.get("duration_ms", "")),
            message=clipped(message, 2000),
            traceback="" if outcome == "passed" else clipped("\n".join(where), 8000),
        )


def _mapping(lines: list[str]) -> dict[str, str]:
    """The entries of the little YAML that stands below a point: plain and quoted scalars, and blocks."""
    found: dict[str, str] = {}
    name, indent = "", 0
    for line in lines:
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if name and depth > indent:
            found[name] = f"{found[name]}\n{text}" if found[name] else text
        elif entry := re.match(r"(\w+): ?(.*)$", text):
            name, indent = entry[1], depth
            value = entry[2]
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[name] = "" if value in {"|-", "|", ">-", ">"} else value[1:-1].replace("''", "'") if quoted else value
    return found


def _seconds(milliseconds: str) -> float:
    return round(min(float(milliseconds) / 1000, 1e6), 4) if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", milliseconds) else 0.0


def _unescaped(name: str) -> str:
    return _ESCAPED.sub(r"\1", name).strip()
