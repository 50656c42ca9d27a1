"""Two who may vote turn out to be one person: from then on it counts once, in the votes, in the quorum and among those who may."""

from datetime import timedelta

import pytest

from dagi.access.actor import Actor
from dagi.errors import Conflict
from dagi.governance.drafting import Wish
from dagi.ports.proposals import Ballot
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.members import MemberAdmin
from dagi.stores.open_proposals import OpenProposals
from dagi.stores.persons import PersonRepository
from dagi.stores.proposals import SqlProposals
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
OPERATOR = Actor.operator("root")
DAYS = timedelta(days=1)


class Green:
    """The DAO `green` with three members; `tg:ann` has made everything there is to vote on."""

    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.database = database
        self.open = OpenProposals(database, self.clock)

    async def fill(self) -> None:
        await Daos(self.database, self.clock).create("green", "Green")
        for account in ("tg:ann", "dc:ann", "tg:ben"):
            await MemberAdmin(self.database, self.clock).create("green", account, ["member"])

    def as_(self, account: str) -> SqlProposals:
        return SqlProposals(self.database, self.clock, Actor(id=account))

    async def make(self, *, days: float = 3, **more: object) -> int:
        wish = Wish(title="Shall we", closes_at=self.clock.now() + days * DAYS, **more)
        return (await self.as_("tg:ann").add("green", wish)).proposal.number

    async def vote(self, number: int, account: str, choice: str) -> None:
        self.clock.advance(1)
        await self.as_(account).vote("green", number, Ballot(user_id=account, choice=choice))

    async def become_one(self) -> None:
        await PersonRepository(self.database, self.clock).join(OPERATOR, "tg:ann", "dc:ann", trusted=True)


@pytest.fixture
async def green(database: Database) -> Green:
    found = Green(database)
    await found.fill()
    return found


@pytest.mark.parametrize("order", [("tg:ann", "dc:ann"), ("dc:ann", "tg:ann")])
async def test_of_two_votes_the_later_one_counts_and_one_person_fewer_may_vote(green: Green, order: tuple[str, str]) -> None:
    number = await green.make(quorum="50%")
    for account, choice in zip(order, ("for", "against"), strict=True):
        await green.vote(number, account, choice)
    await green.become_one()
    joined = await green.as_("tg:ann").show("green", number)
    assert (joined.tally.weights, joined.tally.voted, joined.proposal.electorate, joined.tally.needed) == ((0, 1, 0), 1, 2, 1)
    for account in order:
        await green.vote(number, account, "for")
    again = await green.as_("tg:ann").show("green", number)
    assert (again.tally.weights, again.tally.voted) == ((1, 0, 0), 1)


async def test_its_author_closes_it_once_everybody_that_there_is_has_voted(green: Green) -> None:
    number = await green.make()
    await green.vote(number, "dc:ann", "for")
    await green.vote(number, "tg:ben", "for")
    await green.become_one()
    assert (await green.as_("tg:ann").close("green", number)).outcome == "passed"


async def test_what_was_closed_before_stays_as_it_was_counted(green: Green) -> None:
    over, cancelled = await green.make(days=1), await green.make()
    for number in (over, cancelled):
        for account in ("tg:ann", "dc:ann"):
            await green.vote(number, account, "for")
    await green.as_("tg:ann").close("green", cancelled, cancel=True)
    green.clock.advance(2 * 86_400)
    before = [await green.as_("tg:ann").show("green", number) for number in (over, cancelled)]
    await green.become_one()
    assert [await green.as_("tg:ann").show("green", number) for number in (over, cancelled)] == before
    assert before[0].proposal.electorate == 3


async def test_whoever_is_told_what_is_open_hears_of_it(green: Green) -> None:
    number = await green.make()
    await green.vote(number, "tg:ann", "for")
    await green.vote(number, "dc:ann", "for")
    await green.open.refresh()
    await green.become_one()
    await green.open.refresh()
    assert [(one.tally.voted, one.proposal.electorate) for one in green.open.open("green")] == [(1, 2)]


async def test_an_account_that_could_not_vote_takes_nobody_away(green: Green) -> None:
    number = await green.make(quorum="2")
    await MemberAdmin(green.database, green.clock).create("green", "tg:late", ["member"])
    await PersonRepository(green.database, green.clock).join(OPERATOR, "tg:late", "tg:ben", trusted=True)
    await green.vote(number, "tg:late", "for")
    with pytest.raises(Conflict):
        await PersonRepository(green.database, green.clock).join(OPERATOR, "tg:late", "tg:ben", trusted=True)
    assert (await green.as_("tg:ann").show("green", number)).proposal.electorate == 3
