"""`run_tests`: a workspace's tests, run on a copy of it in the sandbox."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from dagi.ports.devtools import Hear
from dagi.targets.devtools.copying import reading_until
from dagi.targets.devtools.running.forms import Output, RunTests, TestsDone
from dagi.targets.devtools.running.outcome import outcome_of, sentence
from dagi.targets.devtools.running.plan import job_of
from dagi.targets.devtools.running.report import Report
from dagi.targets.devtools.running.tap import Tap
from dagi.targets.devtools.sandbox.job import Bounds, Ears, Finished, Job, Place, Sandbox
from dagi.targets.devtools.texts import Told, decoded, limited
from dagi.targets.devtools.tool import Call, Tool
from dagi.targets.devtools.workspaces.workspace import Workspace, Workspaces

# Characters of each stream that are told while it runs, and of each in the result.
_OUTPUT = 64 << 10

Commands = Callable[[Workspace], Awaitable[Mapping[str, Sequence[str]]]]


async def no_commands(_: Workspace) -> Mapping[str, Sequence[str]]:
    """A workspace without commands of its own."""
    return {}


class TestRuns:
    """The kit."""

    __test__ = False

    def __init__(self, sandbox: Sandbox, workspaces: Workspaces, *, bounds: Bounds | None = None, commands: Commands = no_commands) -> None:
        self._sandbox = sandbox
        self._workspaces = workspaces
        self._bounds = bounds or Bounds()
        self._commands = commands

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        """`run_tests`."""
        summary = "Run the workspace's tests (pytest, unittest, npm test, or a command of the workspace) and tell what became of each."
        return (Tool(name="run_tests", summary=summary, takes=RunTests, gives=TestsDone, work=self._run, runs=True),)

    async def _run(self, call: Call, wanted: RunTests) -> TestsDone:
        workspace = await self._workspaces.find(call.grant.dao_id, wanted.workspace)
        commands = await self._commands(workspace)
        watched = _Watched(limited(call.hear))

        def work() -> Awaitable[TestsDone]:
            job = job_of(wanted, commands, Place(source=workspace.tree), self._bounds)
            return self._ran(job, watched)

        return await reading_until(watched.begun, workspace, work)

    async def _ran(self, job: Job, watched: "_Watched") -> TestsDone:
        async with self._sandbox.run(job, Ears(report=watched.report_line, output=watched.output)) as finished:
            return watched.result(finished, job.bounds)


class _Watched:
    """One run, as it is heard."""

    def __init__(self, hear: Hear) -> None:
        self.begun = asyncio.Event()
        self._report = Report(hear)
        self._tap = Tap()
        self._told = {"stdout": Told("stdout", hear, _OUTPUT), "stderr": Told("stderr", hear, _OUTPUT)}

    def report_line(self, line: bytes) -> None:
        """A line of the report. The first one is told when the workspace has been copied."""
        self.begun.set()
        self._report.line(line)

    def output(self, stream: Literal["stdout", "stderr"], piece: bytes) -> None:
        """A piece of output."""
        self._told[stream].feed(piece)
        if stream == "stdout" and self._report.framework == "npm":
            for test in self._tap.feed(piece):
                self._report.test(test)
            self._report.running = self._tap.running

    def result(self, finished: Finished, bounds: Bounds) -> TestsDone:
        """What came of it."""
        report = self._report
        if report.framework == "npm":
            for test in self._tap.end():
                report.test(test)
        outcome = outcome_of(finished, report)
        if outcome in {"passed", "failed", "no_tests", "errors"}:
            report.running = None
        stdout, stdout_cut = decoded(finished.stdout, _OUTPUT)
        stderr, stderr_cut = decoded(finished.stderr, _OUTPUT)
        return TestsDone(
            outcome=outcome,
            summary=sentence(outcome, finished, report, bounds),
            framework=report.framework,
            totals=report.totals,
            tests=report.tests,
            left_out=max(0, report.done - len(report.tests)),
            broken=report.broken,
            running=report.running,
            output=Output(stdout=stdout, stderr=stderr, cut=finished.cut or stdout_cut or stderr_cut),
            coverage=report.coverage,
            exit_status=finished.status,
            wall_s=round(finished.wall_s, 3),
        )
