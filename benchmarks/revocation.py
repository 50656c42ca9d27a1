"""From a revocation that one process was told is done to the first refusal by another process on the same database."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from dagi.observe.clock import SystemClock
from dagi.stores.keys import Keys
from databases import KINDS, empty_database, is_there
from figures import Plan, Row, Spread
from stack import DAO, PATIENCE_S, Installation, install, serving, twenty_rules

REVOCATIONS = 200
# How often a process asks for changes; a revocation falls anywhere in it.
POLL_S = 0.25
_STEP = 0.618034
PROMISED_MS = 1000


def rows(plan: Plan) -> list[Row]:
    """One row a database."""
    return [_row(kind, plan) for kind in KINDS]


def _row(kind: str, plan: Plan) -> Row:
    what = f"revocation seen by another process, {kind}"
    if not is_there(kind):
        return Row(what=what, main="skipped", more="its server is not installed (scripts/packages.sh postgres)")
    with empty_database(kind) as server:
        directory: Path = plan.work / f"revocation-{kind.lower()}"
        installation = install(directory, upstream="http://127.0.0.1:9", rules=twenty_rules(), embedder=False, server=server)
        with serving(installation) as stack:
            took = asyncio.run(_revocations(installation, stack.url, plan.pick(REVOCATIONS, 5)))
    spread = Spread.of([seconds * 1000 for seconds in took])
    slowest = max(took) * 1000
    return Row(
        what=what,
        main=f"{slowest:.0f} ms at most",
        ratio=f"{slowest / PROMISED_MS:.2f} of the second promised",
        p50=f"{spread.p50:.0f} ms",
        p99=f"{spread.p99:.0f} ms",
        more=f"{spread.count} keys, one after the other",
        numbers={"seconds": took},
    )


async def _revocations(installation: Installation, url: str, count: int) -> list[float]:
    took: list[float] = []
    async with _keys(installation) as keys:
        caller = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
        made = [await keys.create(DAO, "member", label="to be revoked") for _ in range(count)]
        for number, one in enumerate(made):
            _until(caller, one.key, 200)
            # Somewhere in the time between two questions for changes, evenly spread.
            await asyncio.sleep(number * _STEP % 1 * POLL_S)
            await keys.revoke(one.id)
            acknowledged = time.perf_counter()
            _until(caller, one.key, 401)
            took.append(time.perf_counter() - acknowledged)
        caller.close()
    return took


@asynccontextmanager
async def _keys(installation: Installation) -> AsyncGenerator[Keys]:
    database = installation.database
    try:
        yield Keys(database, SystemClock())
    finally:
        await database.close()


def _until(caller: HTTPConnection, key: str, status: int) -> None:
    """Ask again and again until the answer has that status."""
    until = time.monotonic() + PATIENCE_S
    while True:
        caller.request("GET", "/info", headers={"authorization": f"Bearer {key}"})
        answer = caller.getresponse()
        answer.read()
        if answer.status == status:
            return
        if time.monotonic() > until:
            raise RuntimeError(f"still {answer.status} after {PATIENCE_S:g} s, and not {status}")
