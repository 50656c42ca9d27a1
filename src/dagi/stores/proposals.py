"""The repository of proposals: hand-entered ones, with their votes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.actor import Actor
from dagi.access.decide import decide
from dagi.governance.drafting import Wish, check_reachable, drafted, find_choice
from dagi.governance.proposal import Counted, Proposal, State, Vote
from dagi.governance.voting import (
    check_may_end,
    check_not_closed,
    check_open,
    check_room,
    no_proposal,
    not_a_person,
    not_an_elector,
    speaks_for_another,
)
from dagi.message import Grant, Sender
from dagi.ports.clock import Clock
from dagi.ports.proposals import USUAL_LIMIT, Ballot
from dagi.stores.ballots import COUNTER, VOTES, as_row, in_state, is_elector, read_counted, who_may_vote, write_electors, write_vote
from dagi.stores.changes import STACK, Change, Changes
from dagi.stores.database import Database
from dagi.stores.governance_tables import proposal, vote
from dagi.stores.people import check_account, person_of
from dagi.stores.standings import check_dao_exists, read_standing

MOST = 200
# More than a column of 32 bits holds is nobody's number.
LARGEST = 2**31 - 1


class SqlProposals:
    """Implements the port Proposals."""

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._database = database
        self._clock = clock
        self._by = by
        self._changes = Changes(database, clock)

    async def add(self, dao_id: str, wish: Wish, author: str = "") -> Counted:
        """See the port."""
        async with self._changes.of(dao_id, self._by, "proposal.create", counter=COUNTER) as change:
            if change.grant is not None and author not in {"", self._by.id}:
                raise speaks_for_another(change.grant)
            draft = drafted(wish, change.now)
            await self._check_room(change)
            people = await who_may_vote(change)
            check_reachable(draft.terms.quorum, len(people))
            latest = await change.connection.scalar(select(func.max(proposal.c.number)).where(proposal.c.dao_id == dao_id))
            made = Proposal(
                dao_id=dao_id,
                number=(latest or 0) + 1,
                title=draft.title,
                body=draft.body,
                author=check_account(author) if author not in {"", self._by.id} else self._by.id,
                choices=draft.choices,
                terms=draft.terms,
                electorate=len(people),
                created_at=change.now,
                opens_at=draft.opens_at,
                closes_at=draft.closes_at,
            )
            await change.connection.execute(insert(proposal).values(**as_row(made)))
            await write_electors(change, made.number, people)
            await change.record("proposal.made", made.author, number=made.number, closes_at=made.closes_at, electorate=made.electorate)
            return await _counted(change.connection, dao_id, made.number, change.now)

    async def all(
        self, dao_id: str, states: Sequence[State] = (), *, limit: int = USUAL_LIMIT, before: int | None = None
    ) -> tuple[Counted, ...]:
        """See the port."""
        now = self._clock.now()
        query = select(proposal).where(proposal.c.dao_id == dao_id, in_state(states, now)).order_by(proposal.c.number.desc())
        if before is not None:
            query = query.where(proposal.c.number < min(before, LARGEST))
        async with self._database.read(dao_id) as connection:
            await check_dao_exists(connection, dao_id)
            return await read_counted(connection, query.limit(min(limit, MOST)), now)

    async def show(self, dao_id: str, number: int) -> Counted:
        """See the port."""
        now = self._clock.now()
        async with self._database.read(dao_id) as connection:
            return await _counted(connection, dao_id, number, now)

    async def votes(self, dao_id: str, number: int) -> tuple[Vote, ...]:
        """See the port."""
        choices = (await self.show(dao_id, number)).proposal.choices
        query = select(vote).where(vote.c.dao_id == dao_id, vote.c.number == number).order_by(vote.c.at, vote.c.person_id)
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            Vote(user_id=row.user_id, choice=choices[row.choice], weight=int(row.weight), at=row.at, by=row.entered_by) for row in rows
        )

    async def vote(self, dao_id: str, number: int, ballot: Ballot) -> Counted:
        """See the port."""
        async with self._changes.of(dao_id, self._by, VOTES, counter=COUNTER) as change:
            if change.grant is not None and (ballot.user_id != self._by.id or ballot.weight != 1):
                raise speaks_for_another(change.grant)
            grant = change.grant or await _grant(change, ballot.user_id)
            grant.require(VOTES)
            person_id = await person_of(change.connection, ballot.user_id)
            if person_id is None:
                raise not_a_person(grant)
            one = (await _counted(change.connection, dao_id, number, change.now)).proposal
            check_open(one, change.now)
            if not await is_elector(change, number, person_id):
                raise not_an_elector(grant, number)
            choice = find_choice(one.choices, ballot.choice)
            values = {"user_id": ballot.user_id, "choice": choice, "weight": str(ballot.weight), "entered_by": self._by.id}
            again = await write_vote(change, number, person_id, values)
            told = {} if ballot.weight == 1 else {"weight": str(ballot.weight)}
            await change.record("proposal.voted", ballot.user_id, number=number, choice=one.choices[choice], again=again, **told)
            return await _counted(change.connection, dao_id, number, change.now)

    async def close(self, dao_id: str, number: int, *, cancel: bool = False) -> Counted:
        """See the port."""
        async with self._changes.of(dao_id, self._by, "proposal.read", counter=COUNTER) as change:
            was = await _counted(change.connection, dao_id, number, change.now)
            check_not_closed(was.proposal, change.now)
            if change.grant is not None:
                check_may_end(was, change.grant, is_author=await self._is_author(change, was.proposal), cancel=cancel)
            ended = {"ended_at": change.now, "ended_by": self._by.id, "cancelled": cancel}
            await change.connection.execute(
                update(proposal).where(proposal.c.dao_id == dao_id, proposal.c.number == number).values(**ended)
            )
            now = await _counted(change.connection, dao_id, number, change.now)
            await change.record("proposal.closed", was.proposal.author, number=number, outcome=now.outcome)
            return now

    async def _is_author(self, change: Change, one: Proposal) -> bool:
        if one.author == self._by.id:
            return True
        theirs = await person_of(change.connection, one.author)
        return theirs is not None and theirs == await person_of(change.connection, self._by.id)

    async def _check_room(self, change: Change) -> None:
        unfinished = in_state(["pending", "active"], change.now)
        query = select(proposal.c.author).where(proposal.c.dao_id == change.dao_id, unfinished)
        authors = (await change.connection.scalars(query)).all()
        check_room(len(authors), None if change.grant is None else authors.count(self._by.id))


async def _counted(connection: AsyncConnection, dao_id: str, number: int, now: datetime) -> Counted:
    found: tuple[Counted, ...] = ()
    if 0 < number <= LARGEST:
        wanted = select(proposal).where(proposal.c.dao_id == dao_id, proposal.c.number == number)
        found = await read_counted(connection, wanted, now)
    if not found:
        raise no_proposal(dao_id, number)
    return found[0]


async def _grant(change: Change, user_id: str) -> Grant:
    """What somebody may do whose vote an operator enters."""
    standing = await read_standing(change.connection, change.dao_id, user_id)
    return decide(Sender(dao_id=change.dao_id, user_id=user_id), standing, change.now, "")
