"""Load from wrk, and the CPU time it costs those who answer."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

from processes import cores, cpu_ns

_SCRIPT = Path(__file__).with_name("load.lua")


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """What wrk counted in one run."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    bad_status: int
    broken: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One run, with the CPU microseconds a request cost the measured processes."""

    shot: Shot
    cpu_us: float

    @property
    def errors(self) -> int:
        """Answers that were no success, and connections that broke."""
        return self.shot.bad_status + self.shot.broken


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked what.

    Attributes:
        bodies: a file with one request body a line.
        key: sent as the bearer token.
        processes: whose CPU time counts.
        headers: sent beside the token.
    """

    url: str
    bodies: Path
    key: str
    processes: Sequence[psutil.Process]
    headers: Mapping[str, str] = {}


def fire(target: Target, connections: int, seconds: int) -> Cost:
    """Send requests over so many connections, each as soon as the last one is answered.

    Raises:
        RuntimeError: wrk failed, or nothing was answered.
    """
    _, core = cores()
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT)]
    arguments = [str(target.bodies), target.key, *(part for header in target.headers.items() for part in header)]
    before = cpu_ns(target.processes)
    done = subprocess.run([*command, target.url, "--", *arguments], capture_output=True, text=True, check=False)
    spent = cpu_ns(target.processes) - before
    if done.returncode != 0:
        raise RuntimeError(f"wrk failed: {(done.stderr or done.stdout).strip()[-500:]}")
    shot = msgspec.json.decode(done.stdout.strip().rpartition("\n")[2], type=Shot)
    if shot.requests == 0:
        raise RuntimeError(f"{target.url} answered nothing within {seconds} s")
    return Cost(shot=shot, cpu_us=spent / shot.requests / 1000)
