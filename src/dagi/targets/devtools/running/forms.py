"""What `run_tests` takes and gives."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dagi.targets.devtools.tool import InWorkspace

Framework = Literal["auto", "pytest", "unittest", "npm", "command"]
Outcome = Literal["passed", "failed", "errors", "no_tests", "timed_out", "out_of_memory", "output_limit", "disk_limit", "crashed"]
TestOutcome = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed"]

Path = Annotated[str, Meta(min_length=1, max_length=500)]
Name = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Value = Annotated[str, Meta(max_length=2000)]


class RunTests(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A test run."""

    framework: Annotated[
        Framework,
        Meta(description="auto: pytest where there are Python tests (those of unittest too), else npm test where there is a package.json."),
    ] = "auto"
    command: Annotated[str, Meta(max_length=64, description="The name of one of the workspace's commands, instead of a framework.")] = ""
    paths: Annotated[
        list[Path],
        Meta(
            max_length=100,
            description="Files, directories or ids of tests (tests/test_a.py::test_b), relative to the workspace. All where empty.",
        ),
    ] = msgspec.field(default_factory=list[str])
    keyword: Annotated[str, Meta(max_length=500, description="Only tests whose names match: pytest's -k, unittest's -k.")] = ""
    coverage: Annotated[bool, Meta(description="Measure which lines of the workspace's Python code are executed.")] = False
    timeout_s: (
        Annotated[float, Meta(gt=0, description="Stop the run after so many seconds. As long as is allowed where left out.")] | None
    ) = None
    max_failures: Annotated[int, Meta(ge=0, le=10_000, description="Stop after so many failures; 0 goes on to the end.")] = 0
    environment: Annotated[dict[Name, Value], Meta(max_length=32, description="Environment variables of the run.")] = msgspec.field(
        default_factory=dict[str, str]
    )


class Totals(msgspec.Struct, kw_only=True):
    """How many tests there were, and what became of them. `broken` are modules that cannot be loaded."""

    collected: int = 0
    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0
    broken: int = 0


class TestDone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One test. What it printed is told where it did not pass."""

    __test__ = False

    id: str
    outcome: TestOutcome
    seconds: float
    message: str = ""
    traceback: str = ""
    stdout: str = ""
    stderr: str = ""


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A module that cannot be loaded, so that none of its tests was run."""

    id: str
    message: str
    traceback: str


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What the run has printed. `cut`: there was more."""

    stdout: str
    stderr: str
    cut: bool


class CoveredFile(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a file was executed; `missing` counts its other lines."""

    path: str
    percent: float
    missing: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the workspace's code was executed."""

    percent: float
    files: list[CoveredFile]


class TestsDone(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test run. All of it was told by the code that ran.

    Attributes:
        summary: the outcome in a sentence.
        framework: what was run; empty where it did not come to that.
        tests: in their order; where there are very many, those that did not pass before those that did.
        left_out: so many tests are counted in the totals but not listed.
        running: the test that had begun and did not end.
        exit_status: None where it did not end by itself.
    """

    __test__ = False

    outcome: Outcome
    summary: str
    framework: str
    totals: Totals
    tests: list[TestDone]
    left_out: int
    broken: list[Broken]
    running: str | None
    output: Output
    coverage: Coverage | None
    exit_status: int | None
    wall_s: float
