"""Four times more questions than a provider can answer: how long the accepted ones take, and who gets through."""

import asyncio
import random
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import closing

import msgspec

from dagi.observe.clock import SystemClock
from dagi.outbound import Client
from dagi.ports.http import HttpFailure, HttpRequest
from dagi.stores.daos import Daos
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from figures import Plan, Row, Spread
from processes import Program
from stack import DAO, Installation, install, question, serving

PLACES = 4
ANSWER_S = 0.25
# Questions a second: one DAO floods, the other asks as much as it would alone.
CAPACITY = PLACES / ANSWER_S
FLOOD = 4 * CAPACITY - CAPACITY / 4
MODEST = CAPACITY / 4
SETTLING_S = 5.0
OTHER = "modest-dao"


class _Asked(msgspec.Struct, frozen=True):
    """One question: when it was asked (seconds after the start), how it ended, and how long that took."""

    at: float
    dao: str
    status: int
    ms: float
    retry_after: str | None


def rows(plan: Plan) -> list[Row]:
    """One row for the accepted, one for the refused, one for the DAO that asks little."""
    seconds = plan.pick(20, 6)
    port = _free_port()
    upstream = (sys.executable, "-m", "dagi.testing.upstream", "--port", str(port), "--latency-ms", str(int(ANSWER_S * 1000)), "--whole")
    with Program(upstream, plan.work / "overload-upstream.log"):
        _await_http(port)
        rule: dict[str, object] = {"name": "all", "use_provider": "scripted", "context": False}
        installation = install(plan.work / "overload", upstream=f"http://127.0.0.1:{port}", rules=[rule], embedder=False, places=PLACES)
        other = asyncio.run(_second_dao(installation))
        with serving(installation) as stack:
            keys = {DAO: installation.key, OTHER: other}
            alone = asyncio.run(_ask(f"{stack.url}/route", keys, [(DAO, number * ANSWER_S * 1.5) for number in range(plan.pick(20, 5))]))
            asked = asyncio.run(_ask(f"{stack.url}/route", keys, _arrivals(seconds)))
    unloaded = Spread.of([one.ms for one in alone if one.status == 200])
    counted = [one for one in asked if one.at > SETTLING_S]
    accepted = [one for one in counted if one.status == 200]
    refused = [one for one in counted if one.status != 200]
    strange = [one for one in refused if one.status not in {429, 503} or not one.retry_after]
    took, heard = Spread.of([one.ms for one in accepted]), Spread.of([one.ms for one in refused])
    of_modest = [one for one in counted if one.dao == OTHER]
    through = sum(one.status == 200 for one in of_modest) / max(1, len(of_modest))
    used = len(accepted) / (seconds - SETTLING_S) / CAPACITY
    return [
        Row(
            what="at 4 times capacity, accepted",
            main=f"{took.p50:.0f} ms",
            ratio=f"{took.p50 / unloaded.p50:.2f} (p99 {took.p99 / unloaded.p50:.2f}) × unloaded",
            p50=f"{took.p50:.0f} ms",
            p99=f"{took.p99:.0f} ms",
            more=f"unloaded {unloaded.p50:.0f} ms; {used:.0%} of the capacity used",
            numbers={"unloaded_ms": unloaded.p50, "p50_ms": took.p50, "p99_ms": took.p99, "accepted": len(accepted), "used": used},
        ),
        Row(
            what="at 4 times capacity, refused",
            main=f"{heard.p50:.0f} ms",
            p50=f"{heard.p50:.0f} ms",
            p99=f"{heard.p99:.0f} ms",
            more=f"{len(refused)} of {len(counted)}; {len(strange)} of them without 429 or 503 and Retry-After",
            numbers={"refused": len(refused), "counted": len(counted), "strange": len(strange), "p50_ms": heard.p50},
        ),
        Row(
            what="at 4 times capacity, a DAO that asks a quarter of it",
            main=f"{through:.0%} answered",
            more=f"of {len(of_modest)}; the flooding DAO {_share(counted):.0%}",
            numbers={"answered": through, "flooding": _share(counted)},
        ),
    ]


def _share(counted: Sequence[_Asked]) -> float:
    flood = [one for one in counted if one.dao == DAO]
    return sum(one.status == 200 for one in flood) / max(1, len(flood))


def _arrivals(seconds: float) -> list[tuple[str, float]]:
    """Who asks when: both DAOs at random moments (Poisson), the same in every run."""
    chance = random.Random(7)  # noqa: S311 - no secret
    found: list[tuple[str, float]] = []
    for dao, rate in ((DAO, FLOOD), (OTHER, MODEST)):
        at = chance.expovariate(rate)
        while at < seconds:
            found.append((dao, at))
            at += chance.expovariate(rate)
    return sorted(found, key=lambda one: one[1])


async def _ask(url: str, keys: dict[str, str], arrivals: Sequence[tuple[str, float]]) -> list[_Asked]:
    began = time.perf_counter()
    async with Client(max_idle=512) as client:

        async def one(dao: str, at: float) -> _Asked:
            await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
            headers = {"Authorization": f"Bearer {keys[dao]}", "Content-Type": "application/json"}
            body = question("Hello?", dao_id=dao).encode()
            sent = time.perf_counter()
            try:
                async with client.open(HttpRequest(method="POST", url=url, headers=headers, body=body)) as response:
                    await response.read(1 << 20)
                    status, retry_after = response.status, response.header("retry-after")
            except HttpFailure:
                status, retry_after = 0, None
            return _Asked(at, dao, status, (time.perf_counter() - sent) * 1000, retry_after)

        return list(await asyncio.gather(*(one(dao, at) for dao, at in arrivals)))


async def _second_dao(installation: Installation) -> str:
    clock, database = SystemClock(), installation.database
    try:
        await Daos(database, clock).create(OTHER, "Modest DAO")
        await MemberAdmin(database, clock).create(OTHER, "tg:12345", ["member"], name="Olena")
        return (await Keys(database, clock).create(OTHER, "admin", label="benchmark", act_as=True)).key
    finally:
        await database.close()


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def _await_http(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the scripted upstream did not start")
