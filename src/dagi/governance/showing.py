"""Proposals as JSON, one form for the command line and HTTP. Weights are texts: no JSON number holds a uint256."""

from datetime import datetime

import msgspec

from dagi.governance.proposal import Counted, Outcome, State, Vote
from dagi.governance.shares import show_quorum


class ChoiceBody(msgspec.Struct):
    """A choice, how many people cast it and with which weight."""

    name: str
    people: int
    weight: str


class QuorumBody(msgspec.Struct):
    """What was asked for (`5` people or `25%`), how many that are, how many votes count for it."""

    rule: str
    needed: int
    counted: int
    reached: bool


class CountedBody(msgspec.Struct):
    """A proposal with its votes as they stand.

    Attributes:
        outcome: what was decided; null while it is open.
        leading: what would win now, quorum aside; null where nothing would.
        approval: the share that is asked for; empty for a simple majority.
        electorate: how many people may vote.
    """

    dao_id: str
    number: int
    title: str
    body: str
    author: str
    state: State
    outcome: Outcome | None
    leading: str | None
    choices: list[ChoiceBody]
    quorum: QuorumBody
    approval: str
    abstentions_count: bool
    electorate: int
    voted: int
    created_at: datetime
    opens_at: datetime
    closes_at: datetime
    ended_at: datetime | None
    ended_by: str | None


class VoteBody(msgspec.Struct):
    """One person's vote. `by` entered it."""

    user_id: str
    choice: str
    weight: str
    at: datetime
    by: str


class ShownBody(msgspec.Struct):
    """A proposal with everybody's vote; `votes` is null for whoever may not read who the members are."""

    proposal: CountedBody
    votes: list[VoteBody] | None


def shown(one: Counted) -> CountedBody:
    """The proposal as JSON has it."""
    proposal, tally, ending = one.proposal, one.tally, one.proposal.ending
    choices = zip(proposal.choices, tally.people, tally.weights, strict=True)
    return CountedBody(
        dao_id=proposal.dao_id,
        number=proposal.number,
        title=proposal.title,
        body=proposal.body,
        author=proposal.author,
        state=one.state,
        outcome=one.outcome,
        leading=tally.leading,
        choices=[ChoiceBody(name, people, str(weight)) for name, people, weight in choices],
        quorum=QuorumBody(show_quorum(proposal.terms.quorum), tally.needed, tally.counted, tally.quorum_reached),
        approval="" if proposal.terms.approval is None else proposal.terms.approval.text,
        abstentions_count=proposal.terms.abstentions_count,
        electorate=proposal.electorate,
        voted=tally.voted,
        created_at=proposal.created_at,
        opens_at=proposal.opens_at,
        closes_at=proposal.closes_at,
        ended_at=None if ending is None else ending.at,
        ended_by=None if ending is None else ending.by,
    )


def shown_vote(vote: Vote) -> VoteBody:
    """A vote as JSON has it."""
    return VoteBody(vote.user_id, vote.choice, str(vote.weight), vote.at, vote.by)


def count_line(one: Counted) -> str:
    """The votes in a line: `for 2, against 1, abstain 0`."""
    return ", ".join(f"{choice} {weight}" for choice, weight in zip(one.proposal.choices, one.tally.weights, strict=True))
