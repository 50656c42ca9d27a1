"""Which proposals are offered while somebody types one, and how they are told."""

from datetime import timedelta

import pytest

from dagi.access.actor import Actor
from dagi.channels.deciding import MOST_CHOICES, ProposalTalk
from dagi.governance.drafting import Wish
from dagi.testing.clock import FakeClock
from dagi.testing.members import FakeMembers
from dagi.testing.proposals import FakeProposals

pytestmark = pytest.mark.anyio


async def talk(*titles: str) -> ProposalTalk:
    """Over a DAO with open proposals of these titles."""
    clock, members = FakeClock(), FakeMembers()
    members.found("green")
    members.join("green", "tg:1", "member")
    proposals = FakeProposals(members, clock)
    for title in titles:
        await proposals(Actor.system("test")).add("green", Wish(title=title, closes_at=clock.now() + timedelta(days=1)), "tg:1")
    return ProposalTalk(proposals, proposals)


@pytest.mark.parametrize(
    ("typed", "found"),
    [("", ["1", "2", "3"]), ("bees", ["1"]), ("second вул", ["2"]), ("2", ["2"]), ("#3", ["3"]), ("nothing", []), ("*?", ["1", "2", "3"])],
)
async def test_what_is_typed_finds_proposals_by_number_and_by_the_beginnings_of_words(typed: str, found: list[str]) -> None:
    offered = (await talk("Buy bees", "A second вулик", "Rent")).choices("green", typed)
    assert [value for _, value in offered] == found


async def test_no_more_is_offered_than_a_platform_takes() -> None:
    offered = (await talk(*(f"{'long ' * 30}{number}" for number in range(30)))).choices("green", "")
    assert len(offered) == MOST_CHOICES
    assert max(len(label) for label, _ in offered) == 100
    assert (await talk()).choices("blue", "") == []
