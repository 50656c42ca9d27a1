"""Verifying and exporting an audit of many records, as commands: how long, and with how much memory."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

from dagi.observe.clock import SystemClock
from dagi.stores.audit import Entry, append
from dagi.stores.database import Database
from databases import KINDS, empty_database, is_there
from figures import Plan, Row
from stack import DAO, Installation, install, twenty_rules

RECORDS = 100_000
_AT_ONCE = 5_000
_PEAK = re.compile(r"VmHWM:\s*(\d+) kB")
COMMANDS = ("verify", "export")


def rows(plan: Plan) -> list[Row]:
    """One row a database and command."""
    return [row for kind in KINDS for row in _of(kind, plan)]


def _of(kind: str, plan: Plan) -> list[Row]:
    if not is_there(kind):
        return [Row(what=f"audit, {kind}", main="skipped", more="its server is not installed (scripts/packages.sh postgres)")]
    count = plan.pick(RECORDS, RECORDS // 50)
    with empty_database(kind) as server:
        directory = plan.work / f"audit-{kind.lower()}"
        installation = install(directory, upstream="http://127.0.0.1:9", rules=twenty_rules(), embedder=False, server=server)
        few = [_run(installation, command) for command in COMMANDS]
        asyncio.run(_fill(installation.database, count))
        many = [_run(installation, command) for command in COMMANDS]
    return [
        Row(
            what=f"`dagi audit {command}`, {count:,} records, {kind}",
            main=f"{seconds:.1f} s",
            ratio=f"{memory / before_memory:.2f} × the memory for a few records",
            more=f"{memory:.0f} MB at most; a few records take {before:.1f} s and {before_memory:.0f} MB",
            numbers={"seconds": seconds, "rss_mib": memory, "seconds_of_few": before, "rss_mib_of_few": before_memory},
        )
        for command, (before, before_memory), (seconds, memory) in zip(COMMANDS, few, many, strict=True)
    ]


async def _fill(database: Database, count: int) -> None:
    clock = SystemClock()
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, count))
        entries = [
            Entry(action="member.added", actor="tg:admin001", subject=f"tg:{number}", details={"source": "manual", "roles": ["member"]})
            for number in numbers
        ]
        async with database.write(DAO) as connection:
            await append(connection, DAO, entries, clock.now())
    await database.close()


def _run(installation: Installation, command: str) -> tuple[float, float]:
    """Seconds, and the most memory it ever had in MiB."""
    arguments = (sys.executable, "-m", "dagi", "audit", command, "--config", str(installation.config))
    began, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        # What wait4(2) would say is never less than what this process had when it started the other one.
        found = _PEAK.search(Path(f"/proc/{process.pid}/status").read_text())
        peak = max(peak, 0.0 if found is None else int(found[1]) / 1024)
        time.sleep(0.005)
    if process.returncode != 0:
        raise RuntimeError(f"dagi audit {command} ended with status {process.returncode}")
    return time.perf_counter() - began, peak
