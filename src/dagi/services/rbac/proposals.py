"""`/daos/{dao_id}/proposals`: what a DAO decides together."""

from typing import Annotated, Final

import msgspec

from dagi.errors import Invalid
from dagi.governance.drafting import MAX_CHOICES, Wish
from dagi.governance.proposal import STATES, State
from dagi.governance.showing import CountedBody, VoteBody, shown, shown_vote
from dagi.ports.proposals import USUAL_LIMIT, Ballot, ProposalsBy
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request, path_values
from dagi.services.rbac.door import Door, Visitor
from dagi.services.rbac.endpoints import AS, DAO, Place
from dagi.services.reading import later, number, query, read, time

PROPOSALS: Final = DAO + "/proposals"
PROPOSAL: Final = PROPOSALS + "/{number}"
VOTES: Final = PROPOSAL + "/votes"
CLOSE: Final = PROPOSAL + "/close"
MOST: Final = 200
# A number that any database takes for one.
_LARGEST: Final = 2**31 - 1
_BY_NAME: Final[dict[str, State]] = {one: one for one in STATES}
_PARAMETERS: Final = (
    Parameter(name="state", description="Only proposals in this state.", schema={"enum": list(STATES)}),
    Parameter(
        name="limit",
        description="How many, the newest.",
        schema={"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL_LIMIT},
    ),
    Parameter(name="before", description="Only those with smaller numbers: the next page.", schema={"type": "integer", "minimum": 1}),
)


class NewProposal(msgspec.Struct, forbid_unknown_fields=True):
    """A proposal to make."""

    title: str
    closes_at: Annotated[str, msgspec.Meta(description="The deadline with its zone, for example 2026-12-31T18:00:00Z.")]
    body: str = ""
    choices: Annotated[
        list[str], msgspec.Meta(description=f"Up to {MAX_CHOICES} names; `for`, `against` and `abstain` where there are none.")
    ] = []
    quorum: Annotated[str, msgspec.Meta(description="How many have to vote: `5` people, or `25%` or `1/4` of those who may.")] = "0"
    approval: Annotated[str, msgspec.Meta(description="The share to be for it, `60%` or `2/3`; empty for a simple majority.")] = ""
    abstentions_count: Annotated[bool, msgspec.Meta(description="Whether abstentions count for the quorum.")] = True
    opens_at: Annotated[str | None, msgspec.Meta(description="When voting begins; at once where left out.")] = None


class NewVote(msgspec.Struct, forbid_unknown_fields=True):
    """A vote: the name of a choice, or its number from 1 on."""

    choice: str


class Closing(msgspec.Struct, forbid_unknown_fields=True):
    """How to end a proposal: counted, or cancelled."""

    cancel: bool = False


class ProposalReply(msgspec.Struct):
    """One proposal. `votes` is null where they were not asked for, or for whoever may not read who the members are."""

    request_id: str
    proposal: CountedBody
    votes: list[VoteBody] | None = None


class ProposalsReply(msgspec.Struct):
    """Proposals, newest first."""

    request_id: str
    dao_id: str
    proposals: list[CountedBody]


class ProposalsFace:
    """Proposals and votes, of the caller itself or of whom it speaks for."""

    def __init__(self, door: Door, proposals: ProposalsBy) -> None:
        self._door = door
        self._proposals = proposals

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (
            Place("GET", PROPOSALS).endpoint(self.list, "The DAO's proposals", gives=ProposalsReply, also=_PARAMETERS),
            Place("POST", PROPOSALS).endpoint(self.make, "Make a proposal", takes=NewProposal, gives=ProposalReply),
            Place("GET", PROPOSAL).endpoint(self.show, "One proposal, with its votes", gives=ProposalReply),
            Place("POST", VOTES).endpoint(self.vote, "Vote, or vote anew", takes=NewVote, gives=ProposalReply),
            Place("POST", CLOSE).endpoint(self.close, "End a proposal before its deadline", takes=Closing, gives=ProposalReply),
        )

    async def list(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/proposals."""
        values = query(request, (AS, *(parameter.name for parameter in _PARAMETERS)))
        visitor = self._door.enter(request, values, path_values(PROPOSALS, request.path)["dao_id"])
        visitor.require("proposal.read")
        found = await self._proposals(visitor.actor).all(
            visitor.dao_id,
            [_state(values["state"])] if "state" in values else (),
            limit=number(values, "limit", usual=USUAL_LIMIT, most=MOST),
            before=number(values, "before", usual=0, most=_LARGEST) or None,
        )
        return Answer(body=encode(ProposalsReply(request.id, visitor.dao_id, [shown(one) for one in found])))

    async def make(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/proposals."""
        visitor = self._enter(request, PROPOSALS)
        wanted = read(NewProposal, request)
        wish = Wish(
            title=wanted.title,
            body=wanted.body,
            choices=wanted.choices,
            quorum=wanted.quorum,
            approval=wanted.approval,
            abstentions_count=wanted.abstentions_count,
            opens_at=time(wanted.opens_at, "opens_at"),
            closes_at=later(wanted.closes_at, "closes_at"),
        )
        made = await self._proposals(visitor.actor).add(visitor.dao_id, wish)
        return Answer(body=encode(ProposalReply(request.id, shown(made))))

    async def show(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/proposals/{number}."""
        visitor, wanted = self._enter_for(request, PROPOSAL)
        visitor.require("proposal.read")
        proposals = self._proposals(visitor.actor)
        found = await proposals.show(visitor.dao_id, wanted)
        votes = None
        if visitor.grant is None or visitor.grant.allows("member.read"):
            votes = [shown_vote(one) for one in await proposals.votes(visitor.dao_id, wanted)]
        return Answer(body=encode(ProposalReply(request.id, shown(found), votes)))

    async def vote(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/proposals/{number}/votes."""
        visitor, wanted = self._enter_for(request, VOTES)
        ballot = Ballot(user_id=visitor.user_id, choice=read(NewVote, request).choice)
        return Answer(
            body=encode(ProposalReply(request.id, shown(await self._proposals(visitor.actor).vote(visitor.dao_id, wanted, ballot))))
        )

    async def close(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/proposals/{number}/close."""
        visitor, wanted = self._enter_for(request, CLOSE)
        cancel = read(Closing, request).cancel
        closed = await self._proposals(visitor.actor).close(visitor.dao_id, wanted, cancel=cancel)
        return Answer(body=encode(ProposalReply(request.id, shown(closed))))

    def _enter(self, request: Request, template: str) -> Visitor:
        return self._door.enter(request, query(request, (AS,)), path_values(template, request.path)["dao_id"])

    def _enter_for(self, request: Request, template: str) -> tuple[Visitor, int]:
        visitor = self._enter(request, template)
        # Nobody learns from a number's form whether the DAO exists.
        visitor.require("proposal.read")
        return visitor, number(path_values(template, request.path), "number", usual=0, most=_LARGEST)


def _state(text: str) -> State:
    found = _BY_NAME.get(text)
    if found is None:
        raise Invalid("That is no state of a proposal.", field="state", allowed=list(STATES))
    return found
