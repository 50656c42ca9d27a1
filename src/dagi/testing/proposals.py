"""Proposals in memory."""

from collections.abc import Sequence

import msgspec

from dagi.access.actor import Actor
from dagi.access.decide import decide
from dagi.errors import Missing
from dagi.governance.counting import counted
from dagi.governance.drafting import Wish, check_reachable, drafted, find_choice
from dagi.governance.proposal import STATES, Counted, Ending, Pile, Proposal, State, Vote
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
from dagi.testing.members import FakeMembers

VOTES = "proposal.vote"


class FakeProposals:
    """Implements Proposals and OpenProposals for the members of a `FakeMembers`, each account a person of its own unless `same` says so.

    Attributes:
        by: who acts; the stack itself at first. Set it, or call the fake with another actor.
        same: accounts that are somebody's further ones, and that person's first account.
    """

    def __init__(self, members: FakeMembers, clock: Clock) -> None:
        self.by = Actor.system("test")
        self.same: dict[str, str] = {}
        self._members = members
        self._clock = clock
        self._made: dict[tuple[str, int], Proposal] = {}
        self._electors: dict[tuple[str, int], set[str]] = {}
        self._votes: dict[tuple[str, int], dict[str, Vote]] = {}

    def __call__(self, by: Actor) -> "FakeProposals":
        """See ProposalsBy; the same proposals for all."""
        self.by = by
        return self

    async def add(self, dao_id: str, wish: Wish, author: str = "") -> Counted:
        """See the port."""
        now, grant = self._clock.now(), self._acting(dao_id, "proposal.create")
        if grant is not None and author not in {"", self.by.id}:
            raise speaks_for_another(grant)
        draft = drafted(wish, now)
        unfinished = [one.author for one in self._made.values() if one.dao_id == dao_id and one.state(now) != "closed"]
        check_room(len(unfinished), None if grant is None else unfinished.count(self.by.id))
        people = {
            self._person(user_id) for dao, user_id in self._members.members if dao == dao_id and self._grant(dao_id, user_id).allows(VOTES)
        }
        check_reachable(draft.terms.quorum, len(people))
        number = 1 + max((number for dao, number in self._made if dao == dao_id), default=0)
        self._made[dao_id, number] = Proposal(
            dao_id=dao_id,
            number=number,
            title=draft.title,
            body=draft.body,
            author=author or self.by.id,
            choices=draft.choices,
            terms=draft.terms,
            electorate=len(people),
            created_at=now,
            opens_at=draft.opens_at,
            closes_at=draft.closes_at,
        )
        self._electors[dao_id, number] = people
        self._votes[dao_id, number] = {}
        return self._counted(dao_id, number)

    async def all(
        self, dao_id: str, states: Sequence[State] = (), *, limit: int = USUAL_LIMIT, before: int | None = None
    ) -> tuple[Counted, ...]:
        """See the port."""
        if self._members.standing(dao_id, "").dao is None:
            raise Missing(f"There is no DAO {dao_id!r}.", dao_id=dao_id)
        numbers = sorted((number for dao, number in self._made if dao == dao_id and (before is None or number < before)), reverse=True)
        found = (self._counted(dao_id, number) for number in numbers)
        return tuple(one for one in found if one.state in (states or STATES))[:limit]

    async def show(self, dao_id: str, number: int) -> Counted:
        """See the port."""
        return self._counted(dao_id, number)

    async def votes(self, dao_id: str, number: int) -> tuple[Vote, ...]:
        """See the port."""
        self._counted(dao_id, number)
        return tuple(sorted(self._votes[dao_id, number].values(), key=lambda one: one.at))

    async def vote(self, dao_id: str, number: int, ballot: Ballot) -> Counted:
        """See the port."""
        acting = self._acting(dao_id, VOTES)
        if acting is not None and (ballot.user_id != self.by.id or ballot.weight != 1):
            raise speaks_for_another(acting)
        grant = acting or self._grant(dao_id, ballot.user_id)
        grant.require(VOTES)
        if ballot.user_id.startswith(("key:", "dev:")):
            raise not_a_person(grant)
        now, one = self._clock.now(), self._counted(dao_id, number).proposal
        check_open(one, now)
        person = self._person(ballot.user_id)
        if person not in self._electors[dao_id, number]:
            raise not_an_elector(grant, number)
        choice = one.choices[find_choice(one.choices, ballot.choice)]
        self._votes[dao_id, number][person] = Vote(user_id=ballot.user_id, choice=choice, weight=ballot.weight, at=now, by=self.by.id)
        return self._counted(dao_id, number)

    async def close(self, dao_id: str, number: int, *, cancel: bool = False) -> Counted:
        """See the port."""
        grant = self._acting(dao_id, "proposal.read")
        was = self._counted(dao_id, number)
        check_not_closed(was.proposal, self._clock.now())
        if grant is not None:
            is_author = self._person(was.proposal.author) == self._person(self.by.id)
            check_may_end(was, grant, is_author=is_author, cancel=cancel)
        ending = Ending(self._clock.now(), self.by.id, cancel)
        self._made[dao_id, number] = msgspec.structs.replace(was.proposal, ending=ending)
        return self._counted(dao_id, number)

    def open(self, dao_id: str) -> tuple[Counted, ...]:
        """See the port OpenProposals."""
        found = (self._counted(dao_id, number) for dao, number in self._made if dao == dao_id)
        return tuple(sorted((one for one in found if one.state == "active"), key=lambda one: one.proposal.closes_at))

    def _counted(self, dao_id: str, number: int) -> Counted:
        one = self._made.get((dao_id, number))
        if one is None:
            raise no_proposal(dao_id, number)
        votes = self._votes[dao_id, number].values()
        return counted(one, [Pile(one.choices.index(vote.choice), vote.weight, 1) for vote in votes], self._clock.now())

    def _acting(self, dao_id: str, entitlement: str) -> Grant | None:
        """What the actor may do; None for one that may everything."""
        if self.by.unbounded:
            return None
        grant = self._grant(dao_id, self.by.id)
        grant.require(entitlement)
        return grant

    def _grant(self, dao_id: str, user_id: str) -> Grant:
        return decide(Sender(dao_id=dao_id, user_id=user_id), self._members.standing(dao_id, user_id), self._clock.now(), "")

    def _person(self, user_id: str) -> str:
        return self.same.get(user_id, user_id)
