"""Who may do what with a proposal, and the sentences that say why not. Shared by every implementation of the port."""

from datetime import datetime

from dagi.errors import Conflict, Denied, Missing
from dagi.governance.proposal import Counted, Proposal
from dagi.message import Grant

MAX_OPEN = 200
MAX_OWN_OPEN = 20


def no_proposal(dao_id: str, number: int) -> Missing:
    """The error that says so."""
    return Missing(f"{dao_id} has no proposal #{number}. `dagi governance proposal list` shows those it has.", number=number)


def check_room(open_now: int, own: int | None) -> None:
    """Whether one more may be open at once.

    Args:
        own: how many of them the author has made; None for an operator.

    Raises:
        Conflict: there are too many, of the DAO's or of the author's.
    """
    if open_now >= MAX_OPEN:
        raise Conflict(f"The DAO has {open_now} open proposals already. Close one first.", open=open_now)
    if own is not None and own >= MAX_OWN_OPEN:
        raise Conflict(f"You have {own} open proposals already. Close one first.", open=own)


def check_open(proposal: Proposal, now: datetime) -> None:
    """Whether votes are taken.

    Raises:
        Conflict: not yet, or no longer.
    """
    state = proposal.state(now)
    if state == "pending":
        raise Conflict(f"Voting on #{proposal.number} begins at {_time(proposal.opens_at)}.", number=proposal.number, state=state)
    check_not_closed(proposal, now)


def check_not_closed(proposal: Proposal, now: datetime) -> None:
    """Whether it can still be changed.

    Raises:
        Conflict: it is closed.
    """
    if proposal.state(now) == "closed":
        at = proposal.closes_at if proposal.ending is None else proposal.ending.at
        raise Conflict(f"#{proposal.number} was closed at {_time(at)}; nothing about it changes any more.", number=proposal.number)


def check_may_end(counted: Counted, grant: Grant, *, is_author: bool, cancel: bool) -> None:
    """Whether somebody may end a proposal before its deadline.

    Raises:
        Denied: only whoever may change the DAO, or its author: who cancels, or counts once everybody has voted.
    """
    if grant.allows("config.update"):
        return
    if not is_author:
        grant.require("config.update")
    if not cancel and counted.tally.voted < counted.proposal.electorate:
        sentence = "Its author may cancel it, or close it once everybody has voted. To close it now needs config.update."
        raise _denied(grant, sentence, "not_everybody_voted", "config.update")


def speaks_for_another(grant: Grant) -> Denied:
    """The error for who enters another one's vote, or makes a proposal in another one's name."""
    return _denied(grant, "Everybody votes and proposes for themselves; only the operator enters what others have said.", "not_yours", None)


def not_a_person(grant: Grant) -> Denied:
    """The error for a key, or a program, that would vote."""
    sentence = "People vote, and this is no person's account. Name the member with a key that may act as others."
    return _denied(grant, sentence, "not_a_person", "proposal.vote")


def not_an_elector(grant: Grant, number: int) -> Denied:
    """The error for who became a voter after the proposal was made."""
    sentence = f"Only those may vote on #{number} who could when it was made, so that nobody is taken in to tip a vote."
    return _denied(grant, sentence, "not_an_elector", "proposal.vote")


def _denied(grant: Grant, sentence: str, reason: str, entitlement: str | None) -> Denied:
    role = grant.roles[0] if grant.roles else None
    return Denied(sentence, user_role=role, required_entitlement=entitlement, reason=reason, decision_id=grant.decision_id).by(grant)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
