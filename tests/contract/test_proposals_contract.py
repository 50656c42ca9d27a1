"""What every implementation of the ports Proposals and OpenProposals holds to: the one over the database, and the fake."""

from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import update
from tests.conftest import Opener

from dagi.access.actor import Actor
from dagi.errors import Conflict, Denied, Invalid, Missing
from dagi.governance.drafting import Wish
from dagi.governance.proposal import MAX_WEIGHT, Counted
from dagi.governance.voting import MAX_OWN_OPEN
from dagi.ports.proposals import Ballot, OpenProposals, Proposals
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.stores.open_proposals import OpenProposals as SqlOpenProposals
from dagi.stores.proposals import SqlProposals
from dagi.stores.tables import identity
from dagi.testing.clock import FakeClock
from dagi.testing.members import FakeMembers
from dagi.testing.proposals import FakeProposals

pytestmark = pytest.mark.anyio
DAO = "green"
MEMBERS = {"tg:admin": "admin", "tg:ann": "member", "tg:ben": "member", "tg:eva": "contributor", "tg:guest": "guest"}


class Subject:
    """An implementation with the DAO `green` and its members, four of whom may vote, and the empty DAO `park`."""

    clock: FakeClock
    opened: OpenProposals

    def as_(self, user_id: str) -> Proposals:
        """The proposals as somebody sees them."""
        raise AssertionError(user_id)

    @property
    def operator(self) -> Proposals:
        """And as an operator does."""
        raise AssertionError

    async def join(self, user_id: str, role: str) -> None: ...
    async def leave(self, user_id: str) -> None: ...
    async def link(self, further: str, first: str) -> None: ...
    async def look(self) -> None:
        """Let the list of open ones be read again."""

    async def make(self, **wish: object) -> int:
        plain = Wish(title="Bees", closes_at=self.clock.now() + timedelta(days=3))
        return (await self.as_("tg:ann").add(DAO, msgspec.structs.replace(plain, **wish))).proposal.number

    async def vote(self, number: int, user_id: str, choice: str) -> Counted:
        return await self.as_(user_id).vote(DAO, number, Ballot(user_id=user_id, choice=choice))


class OverSql(Subject):
    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.database = database
        self.opened = self.map = SqlOpenProposals(database, self.clock)
        self.members = MemberAdmin(database, self.clock)

    async def fill(self) -> None:
        for dao in (DAO, "park"):
            await Daos(self.database, self.clock).create(dao, dao)
        for user_id, role in MEMBERS.items():
            await self.members.create(DAO, user_id, [role])

    def as_(self, user_id: str) -> Proposals:
        return SqlProposals(self.database, self.clock, Actor(id=user_id))

    @property
    def operator(self) -> Proposals:
        return SqlProposals(self.database, self.clock, Actor.operator("root"))

    async def join(self, user_id: str, role: str) -> None:
        if role == "key":
            await Keys(self.database, self.clock).create(DAO, "member")
        await self.members.create(DAO, user_id, [role])

    async def leave(self, user_id: str) -> None:
        await self.members.remove(DAO, user_id)

    async def link(self, further: str, first: str) -> None:
        await self.members.create("park", further, ["guest"])
        person = (await self.members.show(DAO, first)).person_id
        async with self.database.write() as connection:
            await connection.execute(update(identity).where(identity.c.id == further).values(person_id=person))

    async def look(self) -> None:
        await self.map.refresh()


class InMemory(Subject):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.members = FakeMembers()
        self.members.found(DAO)
        self.members.found("park")
        for user_id, role in MEMBERS.items():
            self.members.join(DAO, user_id, role)
        self.opened = self.fake = FakeProposals(self.members, self.clock)

    def as_(self, user_id: str) -> Proposals:
        return self.fake(Actor(id=user_id))

    @property
    def operator(self) -> Proposals:
        return self.fake(Actor.operator("root"))

    async def join(self, user_id: str, role: str) -> None:
        self.members.join(DAO, user_id, role)

    async def leave(self, user_id: str) -> None:
        del self.members.members[DAO, user_id]

    async def link(self, further: str, first: str) -> None:
        self.fake.same[further] = first
        self.members.members[DAO, further] = self.members.members[DAO, first]


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def subject(request: pytest.FixtureRequest, opened: Opener) -> Subject:
    if request.param == "memory":
        return InMemory()
    found = OverSql(await opened(request.param))
    await found.fill()
    return found


async def test_a_proposal_is_what_was_proposed_and_counts_from_one(subject: Subject) -> None:
    wish = Wish(
        title="Which city",
        body="One\n\ntwo",
        choices=["Kyiv", "Lviv"],
        quorum="50%",
        approval="2/3",
        abstentions_count=False,
        closes_at=subject.clock.now() + timedelta(days=1),
    )
    made = await subject.as_("tg:ann").add(DAO, wish)
    assert made == await subject.as_("tg:guest").show(DAO, 1)
    one = made.proposal
    assert (one.number, one.author, one.choices, one.electorate, made.tally.needed) == (1, "tg:ann", ("Kyiv", "Lviv"), 4, 2)
    assert (one.body, one.terms.abstentions_count, one.terms.approval and one.terms.approval.text) == ("One\n\ntwo", False, "2/3")
    assert await subject.make() == 2


async def test_votes_are_counted_and_the_last_one_of_a_person_stays(subject: Subject) -> None:
    number = await subject.make(quorum="3")
    await subject.vote(number, "tg:ann", "for")
    await subject.vote(number, "tg:ben", "1")
    assert (await subject.vote(number, "tg:eva", "Against")).tally.weights == (2, 1, 0)
    again = await subject.vote(number, "tg:ann", "abstain")
    assert (again.tally.weights, again.tally.voted, again.outcome) == ((1, 1, 1), 3, None)
    assert [(vote.user_id, vote.choice) for vote in await subject.as_("tg:ann").votes(DAO, number)] != []
    subject.clock.advance(3 * 86_400)
    closed = await subject.as_("tg:ann").show(DAO, number)
    assert (closed.state, closed.outcome) == ("closed", "rejected")


async def test_linked_accounts_have_one_vote(subject: Subject) -> None:
    number = await subject.make()
    await subject.link("dc:ann", "tg:ann")
    await subject.vote(number, "tg:ann", "for")
    after = await subject.vote(number, "dc:ann", "against")
    assert (after.tally.weights, after.tally.voted) == ((0, 1, 0), 1)


async def test_who_may_not_vote_does_not(subject: Subject) -> None:
    number = await subject.make()
    for user_id in ("tg:guest", "tg:stranger"):
        with pytest.raises(Denied):
            await subject.vote(number, user_id, "for")
    await subject.join("tg:late", "member")
    with pytest.raises(Denied) as late:
        await subject.vote(number, "tg:late", "for")
    assert late.value.facts["reason"] == "not_an_elector"
    await subject.leave("tg:ben")
    with pytest.raises(Denied):
        await subject.vote(number, "tg:ben", "for")
    assert (await subject.as_("tg:ann").show(DAO, number)).tally.voted == 0


async def test_nobody_votes_or_proposes_in_anothers_name_but_the_operator(subject: Subject) -> None:
    number = await subject.make()
    for ballot in (Ballot(user_id="tg:ben", choice="for"), Ballot(user_id="tg:admin", choice="for", weight=2)):
        with pytest.raises(Denied) as refused:
            await subject.as_("tg:admin").vote(DAO, number, ballot)
        assert refused.value.facts["reason"] == "not_yours"
    with pytest.raises(Denied):
        await subject.as_("tg:admin").add(DAO, Wish(title="x", closes_at=subject.clock.now() + timedelta(days=1)), "tg:ben")
    entered = await subject.operator.vote(DAO, number, Ballot(user_id="tg:ben", choice="for", weight=MAX_WEIGHT))
    assert entered.tally.weights[0] == MAX_WEIGHT
    (vote,) = await subject.operator.votes(DAO, number)
    assert (vote.user_id, vote.by, vote.weight) == ("tg:ben", "cli:root", MAX_WEIGHT)
    made = await subject.operator.add(DAO, Wish(title="x", closes_at=subject.clock.now() + timedelta(days=1)), "tg:ben")
    assert made.proposal.author == "tg:ben"


async def test_an_operator_enters_votes_of_those_alone_who_may_vote(subject: Subject) -> None:
    number = await subject.make()
    for user_id in ("tg:guest", "tg:stranger", "key:none"):
        with pytest.raises(Denied):
            await subject.operator.vote(DAO, number, Ballot(user_id=user_id, choice="for"))


async def test_a_choice_that_is_none_changes_nothing(subject: Subject) -> None:
    number = await subject.make()
    await subject.vote(number, "tg:ann", "for")
    with pytest.raises(Invalid) as mistake:
        await subject.vote(number, "tg:ann", "perhaps")
    assert mistake.value.facts["allowed"] == ["for", "against", "abstain"]
    assert (await subject.as_("tg:ann").show(DAO, number)).tally.weights == (1, 0, 0)


async def test_before_it_opens_and_after_it_closed_nobody_votes(subject: Subject) -> None:
    now = subject.clock.now()
    number = await subject.make(opens_at=now + timedelta(hours=1))
    with pytest.raises(Conflict):
        await subject.vote(number, "tg:ann", "for")
    subject.clock.advance(3600)
    await subject.vote(number, "tg:ann", "for")
    subject.clock.advance(3 * 86_400 - 3600)
    with pytest.raises(Conflict):
        await subject.vote(number, "tg:ann", "against")
    with pytest.raises(Conflict):
        await subject.as_("tg:admin").close(DAO, number)
    assert (await subject.as_("tg:ann").show(DAO, number)).outcome == "passed"


async def test_an_author_cancels_and_counts_early_only_what_everybody_has_voted_on(subject: Subject) -> None:
    number = await subject.make()
    await subject.vote(number, "tg:ann", "for")
    with pytest.raises(Denied) as early:
        await subject.as_("tg:ann").close(DAO, number)
    assert early.value.facts["reason"] == "not_everybody_voted"
    with pytest.raises(Denied):
        await subject.as_("tg:ben").close(DAO, number, cancel=True)
    for user_id in ("tg:ben", "tg:eva", "tg:admin"):
        await subject.vote(number, user_id, "for")
    assert (await subject.as_("tg:ann").close(DAO, number)).outcome == "passed"
    other = await subject.make()
    assert (await subject.as_("tg:ann").close(DAO, other, cancel=True)).outcome == "cancelled"
    with pytest.raises(Conflict):
        await subject.as_("tg:ann").close(DAO, other)


async def test_whoever_may_change_the_dao_counts_early(subject: Subject) -> None:
    number = await subject.make(quorum="2")
    await subject.vote(number, "tg:ben", "for")
    closed = await subject.as_("tg:admin").close(DAO, number)
    assert (closed.outcome, closed.proposal.ending and closed.proposal.ending.by) == ("no_quorum", "tg:admin")


async def test_strangers_learn_nothing_and_guests_make_nothing(subject: Subject) -> None:
    number = await subject.make()
    for dao_id, user_id in ((DAO, "tg:stranger"), ("none", "tg:ann"), ("park", "tg:ann")):
        with pytest.raises(Denied):
            await subject.as_(user_id).close(dao_id, number)
        with pytest.raises(Denied):
            await subject.as_(user_id).add(dao_id, Wish(title="x", closes_at=subject.clock.now() + timedelta(days=1)))
    with pytest.raises(Denied):
        await subject.as_("tg:guest").add(DAO, Wish(title="x", closes_at=subject.clock.now() + timedelta(days=1)))


async def test_what_could_never_be_decided_is_not_made(subject: Subject) -> None:
    with pytest.raises(Invalid, match="4 may vote"):
        await subject.make(quorum="5")
    with pytest.raises(Invalid):
        await subject.operator.add("park", Wish(title="x", closes_at=subject.clock.now() + timedelta(days=1)))
    assert await subject.as_("tg:ann").all(DAO) == ()


async def test_one_author_does_not_fill_the_list(subject: Subject) -> None:
    for _ in range(MAX_OWN_OPEN):
        await subject.make()
    with pytest.raises(Conflict):
        await subject.make()
    subject.clock.advance(3 * 86_400)
    assert await subject.make() == MAX_OWN_OPEN + 1


async def test_proposals_are_listed_newest_first_by_state_and_in_pages(subject: Subject) -> None:
    now = subject.clock.now()
    first = await subject.make(closes_at=now + timedelta(hours=1))
    second = await subject.make()
    third = await subject.make(opens_at=now + timedelta(days=1))
    subject.clock.advance(3600)
    see = subject.as_("tg:guest")

    async def numbers(*states: str, **page: int) -> list[int]:
        return [one.proposal.number for one in await see.all(DAO, states, **page)]  # type: ignore[arg-type]

    assert [await numbers(), await numbers("closed"), await numbers("active"), await numbers("pending", "closed")] == [
        [third, second, first],
        [first],
        [second],
        [third, first],
    ]
    assert [await numbers(limit=1), await numbers(before=third, limit=1)] == [[third], [second]]
    # No column holds such numbers.
    assert [await numbers(before=2**70, limit=1), await numbers(before=1 - 2**31)] == [[third], []]
    assert await see.all("park") == ()
    with pytest.raises(Missing):
        await see.all("none")


async def test_a_number_belongs_to_one_dao(subject: Subject) -> None:
    number = await subject.make()
    for dao_id, wanted in (("park", number), (DAO, 99), (DAO, 0), (DAO, 2**31)):
        with pytest.raises(Missing):
            await subject.operator.show(dao_id, wanted)
        with pytest.raises(Missing):
            await subject.operator.votes(dao_id, wanted)


async def test_what_is_open_is_told_from_memory_the_next_to_end_first(subject: Subject) -> None:
    now = subject.clock.now()
    later = await subject.make()
    sooner = await subject.make(closes_at=now + timedelta(hours=2))
    pending = await subject.make(opens_at=now + timedelta(hours=1))
    await subject.vote(sooner, "tg:ann", "for")
    await subject.look()
    assert [one.proposal.number for one in subject.opened.open(DAO)] == [sooner, later]
    assert subject.opened.open(DAO)[0] == await subject.as_("tg:ann").show(DAO, sooner)
    subject.clock.advance(7200)
    assert [one.proposal.number for one in subject.opened.open(DAO)] == [later, pending]
    assert {one.state for one in subject.opened.open(DAO)} == {"active"}
    await subject.as_("tg:admin").close(DAO, later)
    await subject.look()
    assert [one.proposal.number for one in subject.opened.open(DAO)] == [pending]
    assert subject.opened.open("park") == ()
