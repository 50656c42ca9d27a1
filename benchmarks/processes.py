"""Other processes: started on a core of their own, measured, ended by their pid."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from figures import Skipped

MIB = 1024 * 1024
GRACE_S = 15.0


def cores() -> tuple[int, int]:
    """The core of what is measured, and the core of what loads it; the same one where there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)]


def needs(*tools: str) -> None:
    """Raise Skipped unless all these programs are installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise Skipped(f"{' and '.join(missing)} not installed")


def free_port() -> int:
    """A loopback port nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Program:
    """A program that runs until the context is left.

    Args:
        core: where it and its children may run; None for anywhere.
        output: the file that takes what it prints.
    """

    def __init__(self, command: Sequence[str], output: Path, *, core: int | None = None) -> None:
        self.output = output
        self._command = [*(() if core is None else ("taskset", "-c", str(core))), *command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the program itself."""
        if self._process is None:
            raise RuntimeError("it has not been started")
        return self._process.pid

    def __enter__(self) -> Self:
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=self.output.parent
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is None:
            return
        family = [] if self._process.poll() is not None else tree(self.pid)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        for left in family:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        self._process.wait()

    def check(self) -> None:
        """Raise RuntimeError with its last words if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            said = self.output.read_text(errors="replace").strip()[-2000:]
            raise RuntimeError(f"{self._command[0]} ended with status {self._process.returncode}: {said}")

    def wait_for(self, port: int, patience_s: float = 30.0) -> None:
        """Wait until somebody listens on the port."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            self.check()
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.005)
        raise RuntimeError(f"nobody listens on port {port} after {patience_s:g} s")


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_ns(processes: Iterable[psutil.Process]) -> int:
    """CPU nanoseconds all threads of the processes have used, as the kernel's scheduler counted them."""
    total = 0
    for process in processes:
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            with suppress(OSError):
                total += int((thread / "schedstat").read_text().split()[0])
    return total


def rss_mib(processes: Iterable[psutil.Process]) -> float:
    """Resident memory of the processes; pages they share count for each."""
    return sum(process.memory_info().rss for process in processes) / MIB


def machine() -> str:
    """One line about where this runs."""
    model = "unknown processor"
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    memory = psutil.virtual_memory().total / 1024**3
    return f"{len(os.sched_getaffinity(0))} vCPU {model}, {memory:.0f} GiB, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}"
