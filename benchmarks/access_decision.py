"""The access decision: from the directory in memory to a grant, beside a plain dict lookup of the same key."""

import asyncio
import gc
import time
from pathlib import Path
from statistics import median

import msgspec
import psutil
from sqlalchemy import insert

from dagi.access.decide import decide
from dagi.message import Grant, Sender
from dagi.observe.clock import SystemClock
from dagi.observe.observer import SilentObserver
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.directory import Directory
from dagi.stores.tables import identity, membership, person
from dagi.stores.upgrade import upgrade
from figures import Plan, Row, short
from processes import rss_mib
from timing import over, paired_ratio, side_by_side, wall_us

DAOS = 100
MEMBERS = 10_000
ASKED = 5_000
ROLES = ("member", "member", "member", "member", "member", "member", "guest", "guest", "contributor", "admin")


class _Loaded(msgspec.Struct, frozen=True):
    directory: Directory
    seconds: float
    mib: float


def rows(plan: Plan) -> list[Row]:
    """One row."""
    members = plan.pick(MEMBERS, MEMBERS // 10)
    loaded = asyncio.run(_load(plan.work / "access.sqlite", members))
    directory, clock = loaded.directory, SystemClock()
    people = [(f"dao-{number % DAOS}", f"tg:{number * 7919 % members}") for number in range(ASKED)]
    senders = [Sender(dao_id=dao_id, user_id=user_id) for dao_id, user_id in people]
    everybody = {(f"dao-{dao}", f"tg:{number}"): ROLES[number % len(ROLES)] for dao in range(DAOS) for number in range(members)}

    def decided(sender: Sender) -> Grant:
        return decide(sender, directory.standing(sender.dao_id, sender.user_id), clock.now(), "decision")

    if not all(decided(sender).allows("chat.use") for sender in senders):
        raise RuntimeError("a member was denied")
    ours, plain = side_by_side((over(decided, senders), over(everybody.get, people)), ASKED, plan.pick(50, 5))
    spread = wall_us(decided, senders * plan.pick(10, 1))
    ratio = paired_ratio(ours, plain)
    return [
        Row(
            what=f"access decision, {members:,} members × {DAOS} DAOs",
            main=f"{short(median(ours))} µs CPU",
            ratio=f"{short(ratio)} × a dict lookup",
            p50=f"{short(spread.p50)} µs",
            p99=f"{short(spread.p99)} µs",
            more=f"dict lookup {short(median(plain))} µs; all {members * DAOS:,} memberships read in {loaded.seconds:.2f} s, "
            f"+{loaded.mib:.0f} MB",
            numbers={
                "members": members,
                "daos": DAOS,
                "cpu_us": median(ours),
                "dict_us": median(plain),
                "ratio": ratio,
                "p50_us": spread.p50,
                "p99_us": spread.p99,
                "load_s": loaded.seconds,
                "memory_mib": loaded.mib,
            },
        )
    ]


async def _load(path: Path, members: int) -> _Loaded:
    clock, database = SystemClock(), Database(path)
    try:
        await upgrade(database)
        now = clock.now()
        people = [{"id": f"person-{number}", "name": "", "created_at": now} for number in range(members)]
        accounts = [{"id": f"tg:{number}", "person_id": f"person-{number}", "created_at": now} for number in range(members)]
        async with database.write() as connection:
            await connection.execute(insert(person), people)
            await connection.execute(insert(identity), accounts)
        for dao in range(DAOS):
            await Daos(database, clock).create(f"dao-{dao}", f"DAO {dao}")
            roles = [
                {"dao_id": f"dao-{dao}", "person_id": f"person-{number}", "role": ROLES[number % len(ROLES)], "created_at": now}
                for number in range(members)
            ]
            async with database.write() as connection:
                await connection.execute(insert(membership), roles)
        directory = Directory(database, _Frozen(), SilentObserver())
        before = _rss()
        began = time.perf_counter()
        await directory.refresh()
        return _Loaded(directory, time.perf_counter() - began, _rss() - before)
    finally:
        await database.close()


def _rss() -> float:
    gc.collect()
    return rss_mib([psutil.Process()])


class _Frozen(SystemClock):
    """Nothing refreshes the directory while it is measured, so it must not grow stale either."""

    def monotonic(self) -> float:
        """Costs a call like the real one, and stands still."""
        time.monotonic()
        return 0.0
