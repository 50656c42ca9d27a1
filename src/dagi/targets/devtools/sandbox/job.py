"""What is to run in the sandbox, within which bounds, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

# Where things are inside. Everything else is the read-only base system, or not there.
WORKSPACE: Final = "/workspace"
HOME: Final = "/tmp/home"  # noqa: S108 - of the sandbox, where nobody else is
TOOLS: Final = "/opt/dagi"
REPORT_FD: Final = 3
# How many times as long as its output a report may be: it tells of every test, where output is cut.
REPORT_TIMES: Final = 16

# How a run ended: by itself, or at one of its bounds. `disk` are bytes and files together; `gone` is a process that died without a status.
Ending = Literal["exit", "time", "memory", "output", "disk", "gone"]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may take. Bytes and seconds.

    Attributes:
        wall_s: from its first instruction on.
        memory: of all its processes and its files together.
        output: of stdout and stderr each; its report may be REPORT_TIMES as long.
        disk, files: what may lie in its workspace, its temporary directory and its shared memory, each.
        file: the largest file.
    """

    wall_s: float = 300.0
    cpu_s: float = 300.0
    memory: int = 1 << 30
    processes: int = 128
    output: int = 1 << 20
    disk: int = 512 << 20
    files: int = 50_000
    file: int = 256 << 20
    open_files: int = 1024


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What the run finds in a directory of its own: a copy, which it may change.

    Attributes:
        path: inside, `/workspace` or below it.
        source: a directory of the host that nobody changes meanwhile; its regular files, directories and symbolic links are copied.
        files: further files by their relative names.
    """

    path: str = WORKSPACE
    source: Path | None = None
    files: Mapping[str, bytes] = {}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to run.

    Attributes:
        command: program and arguments, found by the sandbox's own PATH; `python` is the runtime's interpreter, with pytest and ipykernel.
        environment: variables beside PATH, HOME, LANG and the like. Nothing of the host's is passed on.
        network: the host's network, for a fixed program of ours that fetches what an operator allowed; never for code of others.
        directory: where the command begins.
    """

    command: Sequence[str]
    places: Sequence[Place] = ()
    environment: Mapping[str, str] = {}
    bounds: Bounds = Bounds()
    network: bool = False
    directory: str = WORKSPACE


class Ears(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears what while it runs. Must not wait and must not raise.

    Attributes:
        report: lines (without their end) that the command writes to file descriptor REPORT_FD; each at most 64 KiB.
        output: pieces of stdout and stderr as they come; they are in the result as well.
        begun: everything was copied in and the command begins; its sources may change from now on.
    """

    report: Callable[[bytes], None] = lambda _: None
    output: Callable[[Literal["stdout", "stderr"], bytes], None] = lambda _, __: None
    begun: Callable[[], None] = lambda: None


DEAF: Final = Ears()


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Everything in it was written by code of others.

    Attributes:
        status: the exit status, 128 + n for signal n; None where it did not end by itself.
        root: an open directory: `/workspace` as the run left it, in memory. No process is left that could change it, but names, links and
            sizes are as hostile as anything. Closed with the context the result came from.
        cut: the output was longer than its bound.
    """

    ending: Ending
    status: int | None
    stdout: bytes
    stderr: bytes
    cut: bool
    wall_s: float
    root: int


class Sandbox(Protocol):
    """Runs jobs."""

    async def check(self) -> None:
        """Make sure that it holds, by a test of its own; remembered for a while.

        Raises:
            SandboxUnavailable: it does not, and why.
        """
        ...

    def run(self, job: Job, ears: Ears = DEAF) -> AbstractAsyncContextManager[Finished]:
        """Run the job to its end. When the context is entered no process of it is left; leaving it frees what it left behind.

        Cancelling while it runs ends everything that runs.

        Raises:
            SandboxUnavailable: it cannot be set up.
        """
        ...
