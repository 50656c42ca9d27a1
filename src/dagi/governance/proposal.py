"""Proposals, votes and what becomes of them, as values."""

from datetime import datetime
from typing import Final, Literal

import msgspec

from dagi.governance.shares import Share

State = Literal["pending", "active", "closed"]
Outcome = Literal["passed", "rejected", "no_quorum", "cancelled"]

STATES: Final[tuple[State, ...]] = ("pending", "active", "closed")
FOR: Final = "for"
AGAINST: Final = "against"
ABSTAIN: Final = "abstain"
USUAL_CHOICES: Final = (FOR, AGAINST, ABSTAIN)
# What a contract can count to: votes of chains are that large.
MAX_WEIGHT: Final = 2**256 - 1


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """When a proposal passes.

    Attributes:
        quorum: so many people have to vote, or so large a share of those who may.
        approval: the winner's share of the weight that was cast without abstentions; None asks for more than all others alone.
        abstentions_count: whoever abstains counts for the quorum. For the approval nobody who abstains counts.
    """

    quorum: int | Share = 0
    approval: Share | None = None
    abstentions_count: bool = True


class Ending(msgspec.Struct, frozen=True):
    """How a proposal was ended before its deadline, by whom (an account, or `cli:<name>`)."""

    at: datetime
    by: str
    cancelled: bool


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What a DAO is asked to decide. Title and body are texts of others: data wherever they are shown.

    Attributes:
        number: counts within the DAO; people write `#12`.
        author: an account, or `cli:<name>` for an operator.
        choices: what can be voted for; with `for` and `against` among them the question is whether, otherwise it is which.
        electorate: how many people may vote: those who might when the proposal was made.
        opens_at, closes_at: votes count from the first moment on, and no longer from the second one on. Aware UTC.
    """

    dao_id: str
    number: int
    title: str
    body: str
    author: str
    choices: tuple[str, ...]
    terms: Terms
    electorate: int
    created_at: datetime
    opens_at: datetime
    closes_at: datetime
    ending: Ending | None = None

    @property
    def asks_whether(self) -> bool:
        """Whether it is for or against one thing, and not a choice between several."""
        return FOR in self.choices and AGAINST in self.choices

    def state(self, now: datetime) -> State:
        """Where it is at that time. A deadline that has passed closes it without anybody's doing."""
        if self.ending is not None or now >= self.closes_at:
            return "closed"
        return "pending" if now < self.opens_at else "active"


class Pile(msgspec.Struct, frozen=True):
    """Votes that are alike: the choice (its place among the proposal's), the weight of each, and how many people cast it."""

    choice: int
    weight: int
    people: int


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """One person's vote. `weight` is a uint256; `by` entered it, which is the voter or an operator."""

    user_id: str
    choice: str
    weight: int
    at: datetime
    by: str


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The votes so far.

    Attributes:
        weights: for each choice, in the order of the proposal's.
        people: how many cast each choice, in the same order.
        voted: how many people have voted.
        counted: how many of them count for the quorum.
        needed: how many the quorum asks for.
        leading: the choice that would win now, quorum aside; None where none would.
        outcome: what it comes to; while votes are taken, what it would come to if they ended now.
    """

    weights: tuple[int, ...]
    people: tuple[int, ...]
    voted: int
    counted: int
    needed: int
    leading: str | None
    outcome: Outcome

    @property
    def quorum_reached(self) -> bool:
        """Whether enough people have voted."""
        return self.counted >= self.needed


class Counted(msgspec.Struct, frozen=True):
    """A proposal with its votes as they stood at one moment, and where it was then."""

    proposal: Proposal
    tally: Tally
    state: State

    @property
    def outcome(self) -> Outcome | None:
        """What was decided; None while nothing is."""
        return self.tally.outcome if self.state == "closed" else None
