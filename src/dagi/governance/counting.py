"""From votes to an outcome. Weights decide what wins, people whether enough took part; sums are exact, whatever their size."""

from collections.abc import Iterable
from datetime import datetime

from dagi.governance.proposal import ABSTAIN, AGAINST, FOR, Counted, Outcome, Pile, Proposal, Tally
from dagi.governance.shares import Share


def counted(proposal: Proposal, piles: Iterable[Pile], now: datetime) -> Counted:
    """The proposal with its votes, where it is at that time and what it comes to."""
    return Counted(proposal, tally(proposal, piles), proposal.state(now))


def tally(proposal: Proposal, piles: Iterable[Pile]) -> Tally:
    """Count. The order of the votes says nothing, and one vote more for what leads never makes it lose."""
    weights, people = [0] * len(proposal.choices), [0] * len(proposal.choices)
    for pile in piles:
        weights[pile.choice] += pile.weight * pile.people
        people[pile.choice] += pile.people
    voted = sum(people)
    abstained = people[proposal.choices.index(ABSTAIN)] if ABSTAIN in proposal.choices else 0
    enough = voted if proposal.terms.abstentions_count else voted - abstained
    needed = needed_people(proposal.terms.quorum, proposal.electorate)
    leading = _leading(proposal, weights)
    return Tally(
        weights=tuple(weights),
        people=tuple(people),
        voted=voted,
        counted=enough,
        needed=needed,
        leading=leading,
        outcome=_outcome(proposal, leading, quorum_reached=enough >= needed),
    )


def needed_people(quorum: int | Share, electorate: int) -> int:
    """How many have to vote."""
    return quorum if isinstance(quorum, int) else quorum.least(electorate)


def _leading(proposal: Proposal, weights: list[int]) -> str | None:
    """What would win, quorum aside: more weight than any other choice (a tie wins nothing), and the share that was asked for."""
    cast = {choice: weight for choice, weight in zip(proposal.choices, weights, strict=True) if choice != ABSTAIN}
    best = max(cast.values())
    winners = [choice for choice, weight in cast.items() if weight == best]
    if best == 0 or len(winners) > 1:
        return None
    approval = proposal.terms.approval
    if winners[0] == AGAINST and proposal.asks_whether:
        return AGAINST
    return winners[0] if approval is None or approval.reached(best, sum(cast.values())) else None


def _outcome(proposal: Proposal, leading: str | None, *, quorum_reached: bool) -> Outcome:
    if proposal.ending is not None and proposal.ending.cancelled:
        return "cancelled"
    if not quorum_reached:
        return "no_quorum"
    passes = leading == FOR if proposal.asks_whether else leading is not None
    return "passed" if passes else "rejected"
