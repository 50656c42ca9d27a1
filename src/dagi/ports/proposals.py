"""Proposals: what a DAO's members decide together."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from dagi.access.actor import Actor
from dagi.governance.drafting import Wish
from dagi.governance.proposal import Counted, State, Vote

USUAL_LIMIT: Final = 50


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody votes.

    Attributes:
        user_id: whose vote it is: any account of the person.
        choice: its name or its number, as it was written.
        weight: a uint256 above 0; other than 1 is the operator's to enter.
    """

    user_id: str
    choice: str
    weight: int = 1


class Proposals(Protocol):
    """The proposals of DAOs, each with its votes as they stand now, for whoever acts. Never crosses DAOs.

    Who may vote is fixed when a proposal is made: the people (not accounts) who are members in force with `proposal.vote` then. Whoever
    votes must still be one. A vote given again replaces the earlier one until the deadline; what is closed does not change.
    """

    async def add(self, dao_id: str, wish: Wish, author: str = "") -> Counted:
        """Make a proposal; needs `proposal.create`.

        Args:
            author: an account; the actor's own where empty. To name another one is the operator's.

        Raises:
            Invalid: something of it is not what it has to be, or it could never be decided.
            Denied: the actor may not.
            Missing: no such DAO.
            Conflict: too many are open.
        """
        ...

    async def all(
        self, dao_id: str, states: Sequence[State] = (), *, limit: int = USUAL_LIMIT, before: int | None = None
    ) -> tuple[Counted, ...]:
        """The latest proposals in one of the states (none named: in any), newest first, with numbers below `before`.

        Raises:
            Missing: no such DAO.
        """
        ...

    async def show(self, dao_id: str, number: int) -> Counted:
        """One proposal.

        Raises:
            Missing: the DAO has none of that number.
        """
        ...

    async def votes(self, dao_id: str, number: int) -> tuple[Vote, ...]:
        """Who voted how, in the order of the votes.

        Raises:
            Missing: the DAO has none of that number.
        """
        ...

    async def vote(self, dao_id: str, number: int, ballot: Ballot) -> Counted:
        """Vote, or vote anew; needs `proposal.vote`. To enter another one's vote is the operator's.

        Raises:
            Invalid: no such choice.
            Denied: the actor may not, or the voter is not one of those who may vote on this one.
            Missing: the DAO has none of that number.
            Conflict: it is not open.
        """
        ...

    async def close(self, dao_id: str, number: int, *, cancel: bool = False) -> Counted:
        """End it before its deadline: by its author or with `config.update`. An author alone cancels, or counts once everybody has voted.

        Raises:
            Denied: the actor may not.
            Missing: the DAO has none of that number.
            Conflict: it is closed already.
        """
        ...


class ProposalsBy(Protocol):
    """Proposals, for whoever acts."""

    def __call__(self, by: Actor) -> Proposals:
        """As that one."""
        ...


class OpenProposals(Protocol):
    """What is open, from memory: asked for on the request path."""

    def open(self, dao_id: str) -> tuple[Counted, ...]:
        """The proposals that take votes now, the one that ends first coming first."""
        ...


class NothingOpen:
    """Implements OpenProposals where there are none."""

    def open(self, dao_id: str) -> tuple[Counted, ...]:
        """Nothing."""
        del dao_id
        return ()


NO_PROPOSALS: Final = NothingOpen()
