"""How votes are counted: properties, and the cases people argue about."""

from datetime import UTC, datetime, timedelta
from math import ceil

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from dagi.errors import Invalid
from dagi.governance.counting import counted, tally
from dagi.governance.proposal import MAX_WEIGHT, USUAL_CHOICES, Ending, Pile, Proposal, Terms
from dagi.governance.shares import Share, read_quorum, read_share

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FOR, AGAINST, ABSTAIN = range(3)


def proposal(*, terms: Terms | None = None, choices: tuple[str, ...] = USUAL_CHOICES, electorate: int = 100) -> Proposal:
    return Proposal(
        dao_id="green",
        number=1,
        title="A title",
        body="",
        author="tg:1",
        choices=choices,
        terms=terms or Terms(),
        electorate=electorate,
        created_at=NOW,
        opens_at=NOW,
        closes_at=NOW + timedelta(days=1),
    )


def outcome(terms: Terms, votes: list[int], *, electorate: int = 100) -> str:
    return tally(proposal(terms=terms, electorate=electorate), [Pile(vote, 1, 1) for vote in votes]).outcome


shares = st.integers(1, 400).flatmap(lambda whole: st.builds(Share, st.integers(1, whole), st.just(whole), st.just("")))
approvals = shares.filter(lambda share: share.part * 2 >= share.whole)
terms_of_any_kind = st.builds(
    Terms, quorum=st.one_of(st.integers(0, 60), shares), approval=st.one_of(st.none(), approvals), abstentions_count=st.booleans()
)
votes_of_any_kind = st.lists(st.builds(Pile, st.integers(0, 2), st.integers(1, MAX_WEIGHT), st.just(1)), max_size=40)


@given(terms_of_any_kind, votes_of_any_kind, st.integers(1, MAX_WEIGHT))
def test_a_vote_more_for_it_never_makes_it_fail(terms: Terms, votes: list[Pile], weight: int) -> None:
    one = proposal(terms=terms)
    if tally(one, votes).outcome == "passed":
        assert tally(one, [*votes, Pile(FOR, weight, 1)]).outcome == "passed"


@given(terms_of_any_kind, votes_of_any_kind, st.data())
def test_somebody_who_changes_to_for_never_makes_it_fail(terms: Terms, votes: list[Pile], data: st.DataObject) -> None:
    one = proposal(terms=terms)
    if votes and tally(one, votes).outcome == "passed":
        at = data.draw(st.integers(0, len(votes) - 1))
        changed = [msgspec.structs.replace(vote, choice=FOR) if place == at else vote for place, vote in enumerate(votes)]
        assert tally(one, changed).outcome == "passed"


@given(terms_of_any_kind, votes_of_any_kind, st.integers(1, MAX_WEIGHT))
def test_a_vote_more_against_it_never_makes_a_rejected_one_pass(terms: Terms, votes: list[Pile], weight: int) -> None:
    one = proposal(terms=terms)
    if tally(one, votes).outcome == "rejected":
        assert tally(one, [*votes, Pile(AGAINST, weight, 1)]).outcome == "rejected"


@given(terms_of_any_kind, votes_of_any_kind.flatmap(lambda votes: st.tuples(st.just(votes), st.permutations(votes))))
def test_the_order_of_the_votes_does_not_matter(terms: Terms, both: tuple[list[Pile], list[Pile]]) -> None:
    assert tally(proposal(terms=terms), both[0]) == tally(proposal(terms=terms), both[1])


@given(terms_of_any_kind, votes_of_any_kind)
def test_alike_votes_count_the_same_in_one_pile_as_one_by_one(terms: Terms, votes: list[Pile]) -> None:
    piles: dict[tuple[int, int], int] = {}
    for vote in votes:
        piles[vote.choice, vote.weight] = piles.get((vote.choice, vote.weight), 0) + 1
    together = [Pile(choice, weight, people) for (choice, weight), people in piles.items()]
    assert tally(proposal(terms=terms), together) == tally(proposal(terms=terms), votes)


@given(terms_of_any_kind, votes_of_any_kind)
def test_what_passes_has_more_for_than_against_and_enough_people(terms: Terms, votes: list[Pile]) -> None:
    found = tally(proposal(terms=terms), votes)
    if found.outcome == "passed":
        assert found.weights[FOR] > found.weights[AGAINST]
        assert found.counted >= found.needed
    assert (found.outcome == "no_quorum") == (not found.quorum_reached)


@given(st.integers(1, 10**9), shares)
def test_a_quorum_is_the_first_number_that_is_at_least_the_share(electorate: int, share: Share) -> None:
    needed = share.least(electorate)
    assert share.reached(needed, electorate)
    assert needed == 0 or not share.reached(needed - 1, electorate)


@given(st.integers(1, 10_000), st.integers(0, 100_000))
def test_percents_are_exact(hundredths: int, electorate: int) -> None:
    share = read_share(f"{hundredths // 100}.{hundredths % 100:02}%", "quorum")
    assert share.least(electorate) * 10_000 - hundredths * electorate in range(10_000)


def test_a_tie_passes_nothing() -> None:
    assert outcome(Terms(), [FOR, AGAINST]) == "rejected"
    assert outcome(Terms(approval=read_share("50%", "approval")), [FOR, AGAINST]) == "rejected"
    which = proposal(choices=("Kyiv", "Lviv", "Odesa"))
    assert tally(which, [Pile(0, 5, 1), Pile(1, 1, 5)]).outcome == "rejected"
    assert tally(which, [Pile(0, 5, 1), Pile(1, 1, 4)]).leading == "Kyiv"


def test_two_thirds_are_two_of_three() -> None:
    terms = Terms(approval=read_share("2/3", "approval"))
    assert outcome(terms, [FOR, FOR, AGAINST]) == "passed"
    assert outcome(terms, [FOR, FOR, FOR, AGAINST, AGAINST]) == "rejected"


def test_nobody_voted() -> None:
    assert outcome(Terms(), []) == "rejected"
    assert outcome(Terms(quorum=1), []) == "no_quorum"


def test_abstentions_count_for_the_quorum_unless_it_says_otherwise_and_never_for_the_approval() -> None:
    votes = [FOR, ABSTAIN, ABSTAIN]
    assert outcome(Terms(quorum=3), votes) == "passed"
    assert outcome(Terms(quorum=3, abstentions_count=False), votes) == "no_quorum"
    assert outcome(Terms(approval=read_share("100%", "approval")), votes) == "passed"


def test_a_quorum_counts_people_and_not_weight() -> None:
    one = proposal(terms=Terms(quorum=2))
    assert tally(one, [Pile(FOR, MAX_WEIGHT, 1)]).outcome == "no_quorum"
    assert tally(one, [Pile(FOR, MAX_WEIGHT, 1), Pile(AGAINST, MAX_WEIGHT - 1, 1)]).outcome == "passed"


def test_a_share_of_the_members_is_rounded_up() -> None:
    assert tally(proposal(terms=Terms(quorum=read_quorum("25%")), electorate=10), []).needed == ceil(2.5)


def test_a_deadline_closes_it_without_anybody() -> None:
    one = msgspec.structs.replace(proposal(), opens_at=NOW + timedelta(hours=1))
    moments = (NOW, NOW + timedelta(hours=1), one.closes_at - timedelta(microseconds=1), one.closes_at)
    assert [one.state(at) for at in moments] == ["pending", "active", "active", "closed"]
    assert [counted(one, [Pile(FOR, 1, 1)], at).outcome for at in moments] == [None, None, None, "passed"]


def test_what_was_cancelled_decides_nothing_whatever_the_votes() -> None:
    one = msgspec.structs.replace(proposal(), ending=Ending(NOW, "tg:1", cancelled=True))
    assert counted(one, [Pile(FOR, 1, 50)], NOW).outcome == "cancelled"


@pytest.mark.parametrize(
    "text", ["", "0%", "101%", "3/2", "1/0", "0/5", "-1", "5.5", "1e3", "٥", "25 percent", "%", "9" * 30, "1/" + "9" * 30]
)
def test_what_is_no_quorum_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_quorum(text)


@pytest.mark.parametrize(("text", "shown"), [("25%", "25%"), (" 66,67 % ", "66.67%"), ("2/3", "2/3"), ("7", "7")])
def test_a_quorum_is_shown_as_it_was_written(text: str, shown: str) -> None:
    found = read_quorum(text)
    assert (str(found) if isinstance(found, int) else found.text) == shown
