"""The rows of proposals and votes, and the people behind them."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.governance.counting import counted
from dagi.governance.proposal import Counted, Ending, Pile, Proposal, State, Terms
from dagi.governance.shares import read_quorum, read_share, show_quorum
from dagi.stores.changes import Change, touch
from dagi.stores.governance_tables import elector, proposal, vote
from dagi.stores.tables import identity, membership

COUNTER: Final = "proposals_version"
VOTES: Final = "proposal.vote"
_choices: Final = msgspec.json.Decoder(tuple[str, ...])


def as_row(one: Proposal) -> dict[str, object]:
    """The row of a new proposal."""
    return {
        "dao_id": one.dao_id,
        "number": one.number,
        "title": one.title,
        "body": one.body,
        "author": one.author,
        "choices": msgspec.json.encode(one.choices).decode(),
        "quorum": show_quorum(one.terms.quorum),
        "approval": "" if one.terms.approval is None else one.terms.approval.text,
        "abstentions_count": one.terms.abstentions_count,
        "electorate": one.electorate,
        "created_at": one.created_at,
        "opens_at": one.opens_at,
        "closes_at": one.closes_at,
    }


def _as_value(row: Row[Any]) -> Proposal:
    return Proposal(
        dao_id=row.dao_id,
        number=row.number,
        title=row.title,
        body=row.body,
        author=row.author,
        choices=_choices.decode(row.choices),
        terms=Terms(
            quorum=read_quorum(row.quorum),
            approval=read_share(row.approval, "approval") if row.approval else None,
            abstentions_count=row.abstentions_count,
        ),
        electorate=row.electorate,
        created_at=row.created_at,
        opens_at=row.opens_at,
        closes_at=row.closes_at,
        ending=None if row.ended_at is None else Ending(row.ended_at, row.ended_by, row.cancelled),
    )


async def read_counted(connection: AsyncConnection, wanted: Select[Any], now: datetime) -> tuple[Counted, ...]:
    """The proposals of one DAO that a query of their rows finds, with their votes."""
    found = [_as_value(row) for row in await connection.execute(wanted)]
    if not found:
        return ()
    numbers = [one.number for one in found]
    query = (
        select(vote.c.number, vote.c.choice, vote.c.weight, func.count())
        .where(vote.c.dao_id == found[0].dao_id, vote.c.number.in_(numbers))
        .group_by(vote.c.number, vote.c.choice, vote.c.weight)
    )
    piles: dict[int, list[Pile]] = {}
    for number, choice, weight, people in await connection.execute(query):
        piles.setdefault(number, []).append(Pile(choice, int(weight), people))
    return tuple(counted(one, piles.get(one.number, ()), now) for one in found)


def in_state(states: Sequence[State], now: datetime) -> ColumnElement[bool]:
    """Whether a proposal is in one of the states, none named: in any."""
    open_yet = and_(proposal.c.ended_at.is_(None), proposal.c.closes_at > now)
    tests: dict[State, ColumnElement[bool]] = {
        "pending": and_(open_yet, proposal.c.opens_at > now),
        "active": and_(open_yet, proposal.c.opens_at <= now),
        "closed": or_(proposal.c.ended_at.is_not(None), proposal.c.closes_at <= now),
    }
    return or_(*(tests[state] for state in states or tests))


async def who_may_vote(change: Change) -> list[str]:
    """The people who are members in force with a role that has `proposal.vote`."""
    voting = [role for role, entitlements in (await change.roles()).items() if VOTES in entitlements]
    resting = select(membership.c.person_id).where(membership.c.dao_id == change.dao_id, membership.c.suspended)
    query = (
        select(membership.c.person_id)
        .distinct()
        .where(
            membership.c.dao_id == change.dao_id,
            membership.c.role.in_(voting),
            or_(membership.c.expires_at.is_(None), membership.c.expires_at > change.now),
            membership.c.person_id.not_in(resting),
        )
    )
    return list((await change.connection.scalars(query)).all())


async def write_electors(change: Change, number: int, people: Sequence[str]) -> None:
    """Write down who may vote on it."""
    rows = [{"dao_id": change.dao_id, "number": number, "person_id": person_id} for person_id in people]
    await change.connection.execute(insert(elector), rows)


async def is_elector(change: Change, number: int, person_id: str) -> bool:
    """Whether a person could vote when the proposal was made."""
    query = select(elector.c.person_id).where(*_of(elector, change.dao_id, number), elector.c.person_id == person_id)
    return await change.connection.scalar(query) is not None


async def write_vote(change: Change, number: int, person_id: str, values: Mapping[str, object]) -> bool:
    """Write a vote, in place of the person's earlier one; whether there was one."""
    theirs = (*_of(vote, change.dao_id, number), vote.c.person_id == person_id)
    replaced = await change.connection.execute(delete(vote).where(*theirs))
    row = {"dao_id": change.dao_id, "number": number, "person_id": person_id, "at": change.now, **values}
    await change.connection.execute(insert(vote).values(**row))
    return replaced.rowcount > 0


async def join_votes(connection: AsyncConnection, gone: str, kept: str, now: datetime) -> None:
    """One person turned out to be another: of their two votes on what is still open the later one stays, and where both could vote, one
    fewer can. What is closed does not change.

    Args:
        gone, kept: the persons; the first one is about to be no more.
    """
    same_proposal = (elector.c.dao_id == proposal.c.dao_id) & (elector.c.number == proposal.c.number)
    theirs = select(proposal.c.dao_id, proposal.c.number).join(elector, same_proposal)
    theirs = theirs.where(elector.c.person_id == gone, in_state(["pending", "active"], now))
    for dao_id in sorted({row.dao_id for row in await connection.execute(theirs)}):
        # Whoever votes there waits, and whoever keeps in mind what is open reads it again.
        await touch(connection, dao_id, COUNTER)
    for dao_id, number in (await connection.execute(theirs)).all():
        for table in (elector, vote):
            of_both = (*_of(table, dao_id, number), table.c.person_id.in_([gone, kept]))
            rows = (await connection.execute(select(table).where(*of_both))).mappings().all()
            if any(row["person_id"] == gone for row in rows):
                latest = max(rows, key=lambda row: (row.get("at", now), row["person_id"] == kept))
                await connection.execute(delete(table).where(*of_both))
                await connection.execute(insert(table).values(**{**latest, "person_id": kept}))
            if table is elector and len(rows) > 1:
                fewer = update(proposal).where(*_of(proposal, dao_id, number)).values(electorate=proposal.c.electorate - 1)
                await connection.execute(fewer)


async def forget_voter(connection: AsyncConnection, accounts: Sequence[str], dao_id: str | None) -> None:
    """Take somebody's name off proposals and votes, which stay as they were counted."""
    people = (await connection.scalars(select(identity.c.person_id).where(identity.c.id.in_(accounts)).distinct())).all()
    for table, names in ((proposal, ("author", "ended_by")), (vote, ("user_id", "entered_by"))):
        within = () if dao_id is None else (table.c.dao_id == dao_id,)
        for name in names:
            await connection.execute(update(table).where(table.c[name].in_(accounts), *within).values({name: ""}))
    # The same stranger in both tables: whoever was counted among the electors has voted still.
    nobodies = {person_id: str(uuid.uuid4()) for person_id in people}
    for table in (elector, vote):
        within = () if dao_id is None else (table.c.dao_id == dao_id,)
        for person_id, nobody in nobodies.items():
            await connection.execute(update(table).where(table.c.person_id == person_id, *within).values(person_id=nobody))


def _of(table: Any, dao_id: str, number: int) -> tuple[ColumnElement[bool], ...]:  # noqa: ANN401 - see above
    return table.c.dao_id == dao_id, table.c.number == number
