"""`/proposals`, `/proposal 3` and votes by button: what a DAO decides, through the port that every other way uses, too."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from dagi.access.actor import Actor
from dagi.catalogue import say
from dagi.catalogue.words import words
from dagi.channels.case import Case
from dagi.channels.rich import literal
from dagi.channels.told import Button, Told
from dagi.errors import Conflict, DagiError, Denied, Invalid, Missing
from dagi.governance.proposal import Counted
from dagi.governance.telling import MAX_TOLD, choice_name, told
from dagi.message import Grant
from dagi.ports.proposals import Ballot, OpenProposals, ProposalsBy

VOTE: Final = "vote"
SHOW: Final = "proposal"
MOST_CHOICES: Final = 25
_NUMBER: Final = re.compile(r"#?(\d{1,9})(?!\d)", re.ASCII)
_BODY: Final = 3000
_LABEL: Final = 100
_BUTTON: Final = 40
# Why a vote does not count, in words for members; anything else is said as every refusal is.
_DENIED: Final[Mapping[str, str]] = {"not_an_elector": "proposal.not_elector", "not_a_person": "proposal.not_person"}


class ProposalTalk:
    """Shows proposals and takes votes. The platform has proved who speaks."""

    def __init__(self, proposals: ProposalsBy, open_now: OpenProposals) -> None:
        self._proposals = proposals
        self._open_now = open_now

    def listed(self, case: Case, tongue: str) -> Told:
        """`/proposals`: what is open."""
        facts = told(self._open_now.open(case.dao_id), tongue)
        # What members wrote is shown as they wrote it: it is no markup of ours.
        shown = [f"**{literal(fact.title)}**\n{literal(fact.text)}" for fact in facts]
        return Told(markdown="\n\n".join(shown) or say(tongue, "proposal.none"), buttons=self._to_show(case.dao_id))

    async def shown(self, case: Case, grant: Grant, tongue: str) -> Told:
        """`/proposal 3`: all about one, with buttons to vote for whoever may."""
        number = _number(case.said.text)
        if number is None:
            return Told(markdown=say(tongue, "proposal.which"), buttons=self._to_show(case.dao_id))
        try:
            found = await self._proposals(Actor(id=case.said.user_id)).show(case.dao_id, number)
        except Missing:
            return Told(markdown=say(tongue, "proposal.unknown", number=number), buttons=self._to_show(case.dao_id))
        may_vote = found.state == "active" and grant.allows("proposal.vote")
        return Told(markdown=_details(found, tongue), buttons=_choices(found, tongue) if may_vote else ())

    async def vote(self, case: Case, ballot: str, tongue: str) -> Told:
        """A choice below a proposal was pressed; `ballot` is the proposal's number and the choice's, from 1 on.

        Raises:
            DagiError: the person may not, or it cannot be counted just now.
        """
        written, _, place = ballot.partition(":")
        number = _number(written)
        proposals = self._proposals(Actor(id=case.said.user_id))
        try:
            found = await proposals.show(case.dao_id, number or 0)
            # By its name: a choice may be called by another one's number.
            choice = _at(found.proposal.choices, place)
            counted = await proposals.vote(case.dao_id, found.proposal.number, Ballot(user_id=case.said.user_id, choice=choice))
        except DagiError as error:
            return Told(markdown=_refused(error, number or 0, tongue), notice=True)
        said = say(tongue, "proposal.voted", number=counted.proposal.number, choice=choice_name(choice, tongue))
        # In a group it is no mark for all to see.
        buttons = _choices(counted, tongue, choice) if case.said.place.private else ()
        return Told(markdown=literal(said), notice=True, buttons=buttons)

    def choices(self, dao_id: str, typed: str) -> Sequence[tuple[str, str]]:
        """Open proposals of which the number or the title begins with what is typed, as labels and values."""
        wanted, number = words(typed), _NUMBER.match(typed.strip())
        found = [one.proposal for one in self._open_now.open(dao_id)]
        fitting = (
            one
            for one in found
            if (number is not None and str(one.number).startswith(number[1]))
            or all(any(word.startswith(part) for word in words(one.title)) for part in wanted)
        )
        return [(_cut(f"#{one.number} {one.title}", _LABEL), str(one.number)) for one in fitting][:MOST_CHOICES]

    def _to_show(self, dao_id: str) -> tuple[Button, ...]:
        found = self._open_now.open(dao_id)[:MAX_TOLD]
        return tuple(
            Button(_cut(f"#{one.proposal.number} {one.proposal.title}", _BUTTON), f"do:{SHOW}:{one.proposal.number}") for one in found
        )


def _details(found: Counted, tongue: str) -> str:
    proposal, tally = found.proposal, found.tally
    lines = [
        _state(found, tongue),
        say(tongue, "proposal.quorum", counted=tally.counted, needed=tally.needed, electorate=proposal.electorate),
        *(f"• {choice_name(choice, tongue)}: {weight}" for choice, weight in zip(proposal.choices, tally.weights, strict=True)),
    ]
    body = f"\n\n{literal(_cut(proposal.body.strip(), _BODY))}" if proposal.body.strip() else ""
    return f"**{literal(f'#{proposal.number} {proposal.title}')}**\n" + literal("\n".join(lines)) + body


def _state(found: Counted, tongue: str) -> str:
    proposal = found.proposal
    until = f"{proposal.closes_at:%Y-%m-%d %H:%M}"
    if found.state == "pending":
        return say(tongue, "proposal.pending", since=f"{proposal.opens_at:%Y-%m-%d %H:%M}", until=until)
    if found.outcome is None:
        return say(tongue, "proposal.open", until=until)
    at = until if proposal.ending is None else f"{proposal.ending.at:%Y-%m-%d %H:%M}"
    outcome = say(tongue, f"proposal.outcome.{found.outcome}")
    winner = found.tally.leading if found.outcome == "passed" and not proposal.asks_whether else None
    return say(tongue, "proposal.closed", at=at, outcome=f"{outcome} ({winner})" if winner else outcome)


def _choices(found: Counted, tongue: str, chosen: str = "") -> tuple[Button, ...]:
    proposal = found.proposal
    return tuple(
        Button(f"{choice_name(choice, tongue)} ✓" if choice == chosen else choice_name(choice, tongue), f"{VOTE}:{proposal.number}:{place}")
        for place, choice in enumerate(proposal.choices, 1)
    )


def _at(choices: Sequence[str], place: str) -> str:
    if not (place.isascii() and place.isdecimal() and 1 <= int(place[:4]) <= len(choices)):
        raise Invalid("There is no such choice.", field="choice")
    return choices[int(place[:4]) - 1]


def _refused(error: DagiError, number: int, tongue: str) -> str:
    match error:
        case Missing():
            return say(tongue, "proposal.unknown", number=number)
        case Conflict():
            return say(tongue, "proposal.not_yet" if error.facts.get("state") == "pending" else "proposal.over", number=number)
        case Invalid():
            return say(tongue, "channel.old_button")
        case Denied() if (key := _DENIED.get(str(error.facts.get("reason")))) is not None:
            return say(tongue, key, number=number)
        case _:
            raise error


def _number(text: str) -> int | None:
    found = _NUMBER.match(text.strip())
    return None if found is None else int(found[1])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
