"""Streamed answers of twenty frames, a millisecond apart, beside others; and a thousand of them at once."""

import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from figures import Plan, Row, short
from gateways import DAGI, DIRECT, NGINX, PATH, Gateway, dagi, per_core, question, running, told
from processes import MIB, Program, cores, cpu_ns
from stream_load import Order, Seen

CONNECTIONS = (4, 64)
MANY = 1_000
# Streams that take four seconds, so that all of them are under way together.
SLOW_GAP_MS = 200
MOST_MIB = 300
_LOAD = Path(__file__).with_name("stream_load.py")
_UPSTREAM = Path(__file__).with_name("stream_upstream.py")


class Streamed(msgspec.Struct, frozen=True, kw_only=True):
    """One run, with the CPU microseconds a stream cost."""

    seen: Seen
    cpu_us: float


Runs = Mapping[tuple[str, int], list[Streamed]]


def rows(plan: Plan) -> list[Row]:
    """A row for each gateway and number of connections, and one for a thousand streams at once through this stack."""
    return [*_beside_others(plan), _many(plan)]


def _beside_others(plan: Plan) -> list[Row]:
    measured, loading = cores()
    work = plan.work / "v1-streams"
    with _upstream(plan.work / "v1-streams.log", loading, gap_ms=1) as url, running(work, measured, url, streams=True) as field:
        broken = {one.what: wrong for one in field.gateways if (wrong := _ask(one, connections=1, streams=1, every=True).seen.why)}
        if DAGI in broken:
            raise RuntimeError(f"{PATH} streamed something else than the model's text: {broken[DAGI]}")
        gateways = [one for one in field.gateways if one.what not in broken]
        runs: dict[tuple[str, int], list[Streamed]] = {(one.what, number): [] for one in gateways for number in CONNECTIONS}
        for one in gateways:
            _ask(one, connections=CONNECTIONS[-1], seconds=2)
        for _ in range(plan.rounds):
            for number in CONNECTIONS:
                for one in gateways:
                    runs[one.what, number].append(_ask(one, connections=number, seconds=plan.pick(4, 2)))
    found = [_row(one.what, number, runs) for number in CONNECTIONS for one in gateways]
    return [*found, *(Row(what=f"{what}, streams", main="broken", more=why) for what, why in broken.items())]


@contextmanager
def _upstream(log: Path, core: int, *, gap_ms: int) -> Generator[str]:
    with Program((sys.executable, str(_UPSTREAM), "--gap-ms", str(gap_ms)), log, core=core) as program:
        until = time.monotonic() + 20
        while not (told := log.read_text()).endswith("\n"):
            program.check()
            if time.monotonic() > until:
                raise RuntimeError("the streaming upstream did not start")
            time.sleep(0.005)
        yield told.strip()


def _ask(gateway: Gateway, *, connections: int, seconds: float = 0, streams: int = 0, every: bool = False) -> Streamed:
    order = Order(
        url=gateway.url,
        body=question(stream=True),
        headers={"authorization": f"Bearer {gateway.key}", "content-type": "application/json", **gateway.headers},
        connections=connections,
        seconds=seconds,
        streams=streams,
        every=every,
    )
    _, core = cores()
    command = ["taskset", "-c", str(core), sys.executable, str(_LOAD), msgspec.json.encode(order).decode()]
    processes = gateway.processes
    before = cpu_ns(processes)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    spent = cpu_ns(processes) - before
    if done.returncode != 0:
        raise RuntimeError(f"the load failed: {done.stderr.strip()[-500:]}")
    seen = msgspec.json.decode(done.stdout, type=Seen)
    return Streamed(seen=seen, cpu_us=spent / max(1, seen.streams) / 1000)


def _row(name: str, connections: int, runs: Runs) -> Row:
    ours = runs[name, connections]
    seen, cpu = [one.seen for one in ours], median(one.cpu_us for one in ours)
    first, first_slow = median(one.first_p50_ms for one in seen), median(one.first_p99_ms for one in seen)
    total, total_slow = median(one.total_p50_ms for one in seen), median(one.total_p99_ms for one in seen)
    to_nginx = median(mine.seen.first_p50_ms / other.seen.first_p50_ms for mine, other in zip(ours, runs[NGINX, connections], strict=True))
    bad = sum(one.bad for one in seen)
    wrong = f"{bad} bad{''.join(f': {one.why}' for one in seen if one.why)[:300]}"
    ratios = {} if name == DIRECT else per_core(name, {what: [one.cpu_us for one in runs[what, connections]] for what, _ in runs})
    return Row(
        what=f"{name}, streams, c{connections}",
        main="" if name == DIRECT else f"{short(cpu)} µs CPU/stream",
        ratio=told(name, ratios),
        p50=f"first {first:.2f} ms",
        p99=f"first {first_slow:.2f} ms",
        more=f"first piece after {to_nginx:.2f} × nginx's time; whole {total:.1f} / {total_slow:.1f} ms; {wrong}",
        numbers={
            "cpu_us": [one.cpu_us for one in ours],
            "per_core_beside": ratios,
            "first_p50_ms": [one.first_p50_ms for one in seen],
            "first_p99_ms": [one.first_p99_ms for one in seen],
            "total_p50_ms": [one.total_p50_ms for one in seen],
            "total_p99_ms": [one.total_p99_ms for one in seen],
            "first_to_nginx": to_nginx,
            "streams_per_s": [one.streams / one.seconds for one in seen],
            "streams": sum(one.streams for one in seen),
            "bad": bad,
            "reconnects": sum(one.reconnects for one in seen),
        },
    )


def _many(plan: Plan) -> Row:
    measured, loading = cores()
    log = plan.work / "v1-many.log"
    with (
        _upstream(log, loading, gap_ms=SLOW_GAP_MS) as url,
        dagi(plan.work / "v1-many", measured, url, places=MANY + 100) as gateway,
    ):
        run = _ask(gateway, connections=MANY, streams=plan.pick(3 * MANY, MANY), every=True)
        peak = {process.pid: _peak_mib(process.pid) for process in gateway.processes}
    seen, largest = run.seen, max(peak.values())
    return Row(
        what=f"{MANY:,} streams at once, one process",
        main=f"{largest:.0f} MB at most",
        ratio=f"{largest / MOST_MIB:.2f} of what is promised",
        p50=f"first {seen.first_p50_ms:.0f} ms",
        p99=f"first {seen.first_p99_ms:.0f} ms",
        more=f"{seen.streams} streams, {seen.most_open} open together, {seen.bad} bad{': ' if seen.why else ''}{seen.why}; "
        f"whole {seen.total_p50_ms:.0f} / {seen.total_p99_ms:.0f} ms, {short(run.cpu_us)} µs CPU/stream",
        numbers={**msgspec.to_builtins(seen), "peak_mib": largest, "processes_mib": sum(peak.values()), "cpu_us": run.cpu_us},
    )


def _peak_mib(pid: int) -> float:
    """The most resident memory the process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MIB
    return 0.0
