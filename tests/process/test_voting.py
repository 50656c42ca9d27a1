"""Proposals and votes from several processes at once, on both databases: what meets, and what `kill -9` breaks off."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from sqlalchemy import func, select
from tests.process.workers import START_S, Worker, environment, place_of, working

from dagi.access.import_plan import ImportOptions
from dagi.access.importing import read_members
from dagi.governance.drafting import Wish
from dagi.observe.clock import SystemClock
from dagi.ports.audit import AuditQuery, AuditRecord
from dagi.ports.proposals import Ballot
from dagi.stores.audit import SqlAudit
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.governance_tables import elector
from dagi.stores.imports import MemberImport
from dagi.stores.inspection import check
from dagi.stores.proposals import SqlProposals

pytestmark = [pytest.mark.anyio, pytest.mark.process]
CLOCK = SystemClock()
CHOICES = ("for", "against", "abstain")

# Does what it is told once it hears so, and says of each thing whether it was done or why not.
WORKER = """
import asyncio, json, sys
from datetime import timedelta
from tests.process.workers import opened
from dagi.access.actor import Actor
from dagi.errors import DagiError
from dagi.governance.drafting import Wish
from dagi.observe.clock import SystemClock
from dagi.ports.proposals import Ballot
from dagi.stores.proposals import SqlProposals

clock, database = SystemClock(), opened(sys.argv[1])

def say(*what):
    print(json.dumps(what), flush=True)

async def do(what, *more):
    if what == "vote":
        number, who, choice = more
        return await SqlProposals(database, clock, Actor(id=who)).vote("green", number, Ballot(user_id=who, choice=choice))
    if what == "close":
        return await SqlProposals(database, clock).close("green", *more)
    return await SqlProposals(database, clock).add("green", Wish(title=more[0], closes_at=clock.now() + timedelta(days=1)))

async def main():
    await SqlProposals(database, clock).all("green")
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for step in json.loads(sys.argv[2]):
        try:
            done = await do(*step)
        except DagiError as error:
            say(error.code, *step)
        else:
            say("done", *step, done.proposal.number, done.outcome)
    await database.close()

asyncio.run(main())
"""


async def filled(database: Database, members: int, proposals: int = 1) -> SqlProposals:
    """The DAO `green` with so many members, all of them electors of so many proposals."""
    await Daos(database, CLOCK).create("green", "Green")
    lines = "".join(f"tg:{number + 1},member\n" for number in range(members))
    reading = read_members(f"account,role\n{lines}".encode(), "green")
    await MemberImport(database, CLOCK).run("green", reading, ImportOptions(), dry_run=False)
    found = SqlProposals(database, CLOCK)
    for number in range(proposals):
        await found.add("green", Wish(title=f"Proposal {number + 1}", closes_at=CLOCK.now() + timedelta(days=1)))
    return found


async def at_once(database: Database, *jobs: list[list[object]]) -> list[list[list[object]]]:
    """Have each job done by a process of its own, all beginning at the same moment; what each of them said."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(working(WORKER, place_of(database), json.dumps(job))) for job in jobs]
        for worker in workers:
            assert await worker.said() == ["ready"]
        for worker in workers:
            await worker.hears("go")
        return [await worker.rest() for worker in workers]


async def told(database: Database, action: str) -> list[AuditRecord]:
    """The records of that action, oldest first."""
    return list(reversed(await SqlAudit(database).list(AuditQuery(dao_id="green", action=action, limit=1000))))


async def test_people_who_vote_from_several_processes_at_once_are_counted_once_each_with_their_last_word(database: Database) -> None:
    proposals = await filled(database, 12)
    people = [f"tg:{number + 1}" for number in range(12)]
    # Everybody votes in every process, each time otherwise; half of the processes begin at the other end.
    jobs = [
        [["vote", 1, who, CHOICES[(place + turn) % 3]] for place, who in enumerate(people)][:: 1 if turn % 2 else -1] for turn in range(3)
    ]
    said = await at_once(database, *jobs)
    assert {line[0] for lines in said for line in lines} == {"done"}
    votes, shown = await proposals.votes("green", 1), await proposals.show("green", 1)
    assert sorted(vote.user_id for vote in votes) == sorted(people)
    assert (shown.tally.voted, shown.tally.counted) == (12, 12)
    cast = [vote.choice for vote in votes]
    assert shown.tally.people == shown.tally.weights == tuple(cast.count(choice) for choice in CHOICES)
    records = await told(database, "proposal.voted")
    assert (len(records), len([one for one in records if not (one.details or {})["again"]])) == (36, 12)
    assert {vote.user_id: vote.choice for vote in votes} == {one.subject: (one.details or {})["choice"] for one in records}
    assert (await SqlAudit(database).verify()).findings == ()


async def test_a_proposal_that_two_processes_close_at_once_is_closed_once(database: Database) -> None:
    await filled(database, 3, proposals=8)
    numbers = range(1, 9)
    said = await at_once(database, *([["close", number] for number in numbers] for _ in range(2)))
    words = {number: sorted(str(line[0]) for lines in said for line in lines if line[2] == number) for number in numbers}
    assert words == {number: ["CONFLICT", "done"] for number in numbers}
    records = await told(database, "proposal.closed")
    assert sorted((one.details or {})["number"] for one in records) == list(numbers)


async def test_no_vote_counts_that_comes_after_another_process_has_closed_the_proposal(database: Database) -> None:
    proposals = await filled(database, 40)
    people = [f"tg:{number + 1}" for number in range(40)]
    votes = [[["vote", 1, who, "for"] for who in part] for part in (people[:20], people[20:])]
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(working(WORKER, place_of(database), json.dumps(job))) for job in votes]
        for worker in workers:
            await worker.said()
            await worker.hears("go")
        said = [await worker.said() for worker in workers for _ in range(4)]
        closed = await proposals.close("green", 1)
        said += [line for worker in workers for line in await worker.rest()]
    done = [line for line in said if line[0] == "done"]
    assert {line[0] for line in said} <= {"done", "CONFLICT"}
    assert len(said) == 40
    assert len(done) == closed.tally.voted == (await proposals.show("green", 1)).tally.voted
    (record,) = await told(database, "proposal.closed")
    assert (record.details or {})["outcome"] == "passed" == closed.outcome
    assert max(one.seq for one in await told(database, "proposal.voted")) < record.seq


async def broken_off(worker: Worker, after: int) -> list[list[object]]:
    """What a worker had said when it was killed, so many lines after it began."""
    assert await worker.said() == ["ready"]
    await worker.hears("go")
    return [await worker.said() for _ in range(after)] + await worker.killed()


async def test_after_kill_9_in_a_stream_of_votes_every_vote_that_was_told_counts_and_at_most_one_more(database: Database) -> None:
    proposals = await filled(database, 300)
    job: list[list[object]] = []
    for number in range(300):
        job.append(["vote", 1, f"tg:{number + 1}", CHOICES[number % 3]])
        if number % 5 == 4 and number < 200:
            job.append(["add", f"After {number}"])
    voted, made = 0, 1
    for turn in range(3):
        async with working(WORKER, place_of(database), json.dumps(job)) as worker:
            said = await broken_off(worker, 6 + 9 * turn)
        assert {line[0] for line in said} == {"done"}
        voted += len([line for line in said if line[1] == "vote"])
        made += len([line for line in said if line[1] == "add"])
        assert (await check(database)).problems == ()
        assert (await SqlAudit(database).verify()).findings == ()
        shown, there = await proposals.show("green", 1), await proposals.all("green", limit=200)
        # The one thing that was under way may have been done, too.
        further = (shown.tally.voted - voted) + (len(there) - made)
        assert further in {0, 1}
        assert [one.proposal.number for one in there] == list(range(len(there), 0, -1))
        async with database.read("green") as connection:
            electors = await connection.execute(select(elector.c.number, func.count()).group_by(elector.c.number))
            assert {row[0]: row[1] for row in electors} == {one.proposal.number: 300 for one in there}
        voted, made, job = shown.tally.voted, len(there), job[len(said) + further :]
    last = await proposals.vote("green", 1, Ballot(user_id="tg:300", choice="for"))
    assert last.tally.voted == voted + 1
    assert len(await told(database, "proposal.voted")) == voted + 1


async def test_a_stack_whose_front_is_killed_among_votes_over_http_goes_on_with_all_that_were_answered(
    tmp_path: Path, database: Database
) -> None:
    await filled(database, 60)
    config = tmp_path / "own.yml"
    settings = {"data_dir": str(tmp_path / "data"), "knowledge": {"embedder": False}, "dao": {"demo": False, "default": "green"}}
    url = {} if database.path is not None else {"database": {"url": place_of(database)}}
    rule = {"name": "facts", "use_provider": "dao_facts"}
    config.write_text(yaml.safe_dump({**settings, **url, "routing_rules": [rule]}), encoding="utf-8")
    options = ("--config", str(config), "--profile", "dev")
    answered = 0
    async with serving(*options) as (supervisor, rbac), httpx.AsyncClient(base_url=rbac, timeout=30) as http:

        async def vote(number: int) -> bool:
            path, who = "/daos/green/proposals/1/votes", {"as": f"tg:{number + 1}"}
            try:
                answer = await http.post(path, params=who, json={"choice": "for"})
            except httpx.TransportError:
                return False
            assert answer.status_code == 200, answer.text
            return True

        for turn in range(2):
            front = next(one for one in psutil.Process(supervisor).children() if '"name":"front"' in " ".join(one.cmdline()))
            streams = [asyncio.create_task(vote(number)) for number in range(20 * turn, 20 * turn + 20)]
            await asyncio.wait(streams, return_when=asyncio.FIRST_COMPLETED)
            front.kill()
            answered += sum(await asyncio.gather(*streams))
            # The listener outlives the process: whoever asks now waits for the next one.
            shown = (await http.get("/daos/green/proposals/1")).json()["proposal"]
            assert answered <= shown["voted"] <= 20 * turn + 20
            answered = shown["voted"]
        assert await vote(50)
        assert (await http.get("/daos/green/proposals/1")).json()["proposal"]["voted"] == answered + 1
    status, out = await command("audit", "verify", *options)
    assert (status, "Whole" in out) == (0, True)
    assert len(await told(database, "proposal.voted")) == answered + 1


@asynccontextmanager
async def serving(*options: str) -> AsyncGenerator[tuple[int, str]]:
    """A stack in processes of its own: the supervisor's number, and where its rbac service is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dagi", "serve", "--port", "0", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            while not (line := (await process.stdout.readline()).decode()).startswith("rbac"):
                assert line, (await process.communicate())[1].decode()
        yield process.pid, line.split()[1]
    finally:
        process.terminate()
        async with asyncio.timeout(START_S):
            await process.communicate()


async def command(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-m", "dagi", *arguments), stdout=subprocess.PIPE, env=environment())
    async with asyncio.timeout(START_S):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()
