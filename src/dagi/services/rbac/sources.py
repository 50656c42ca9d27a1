"""`/daos/{dao_id}/sources`: tokens that make members."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec

from dagi.access.token_wishes import TokenWish
from dagi.access.tokens import STANDARDS
from dagi.ports.token_rules import Checked, RuleInfo, TokenRulesBy
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Request, path_values
from dagi.services.rbac.door import Door, Visitor
from dagi.services.rbac.endpoints import AS, DAO, Done, Place
from dagi.services.reading import query, read

SOURCES: Final = DAO + "/sources"
SOURCE: Final = SOURCES + "/{rule_id}"
CHECK: Final = SOURCES + "/check"
CLAIM: Final = SOURCES + "/claim"


class NewSource(msgspec.Struct, forbid_unknown_fields=True):
    """Whoever holds so much of a token has the role. Numbers are texts of digits, in the token's smallest unit."""

    chain: Annotated[str, msgspec.Meta(description="The chain's name in the configuration, or its number.")]
    token: Annotated[str, msgspec.Meta(description="The contract's address.")]
    standard: Annotated[str, msgspec.Meta(description=f"One of {', '.join(STANDARDS)}.")]
    role: str
    min_balance: str = "1"
    token_id: Annotated[str | None, msgspec.Meta(description="Of ERC-1155 the token that counts; of ERC-721 one picture.")] = None
    grace_s: Annotated[int, msgspec.Meta(description="Seconds for which whoever has no longer enough keeps the role.")] = 86_400
    everyone: Annotated[bool, msgspec.Meta(description="Take in whoever has a wallet here, without being asked (operators).")] = False


class SourceBody(msgspec.Struct):
    """A rule. `trouble` says why the chain did not answer the last time; empty where it did."""

    id: str
    chain_id: int
    token: str
    standard: str
    token_id: str | None
    min_balance: str
    role: str
    grace_s: int
    everyone: bool
    made_by: str
    created_at: datetime
    checked_at: datetime | None
    trouble: str
    holders: int
    in_grace: int


class SourceReply(msgspec.Struct):
    """One rule."""

    request_id: str
    dao_id: str
    source: SourceBody


class SourcesReply(msgspec.Struct):
    """The DAO's rules, oldest first."""

    request_id: str
    dao_id: str
    sources: list[SourceBody]


class CheckedBody(msgspec.Struct):
    """What asking the chain came to, in people. With `trouble` nothing has changed."""

    rule_id: str
    at: datetime
    holders: int
    gained: int
    lacking: int
    lost: int
    trouble: str


class CheckedReply(msgspec.Struct):
    """What asking the chains came to, rule by rule."""

    request_id: str
    dao_id: str
    checked: list[CheckedBody]


class SourcesFace:
    """Rules about tokens."""

    def __init__(self, door: Door, rules: TokenRulesBy) -> None:
        self._door = door
        self._rules = rules

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (
            Place("GET", SOURCES).endpoint(self.list, "The tokens that make members", gives=SourcesReply),
            Place("POST", SOURCES).endpoint(self.add, "Let a token make members", takes=NewSource, gives=SourceReply),
            Place("DELETE", SOURCE).endpoint(self.remove, "End a rule, and the roles it alone has given"),
            Place("POST", CHECK).endpoint(self.check, "Ask the chains now", gives=CheckedReply),
            Place("POST", CLAIM).endpoint(self.claim, "Ask to be taken in for what your wallet holds", gives=CheckedReply),
        )

    async def list(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/sources."""
        visitor = self._enter(request, SOURCES)
        visitor.require("member.read")
        found = await self._rules(visitor.actor).all(visitor.dao_id)
        return Answer(body=encode(SourcesReply(request.id, visitor.dao_id, [source_body(one) for one in found])))

    async def add(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/sources."""
        visitor = self._enter(request, SOURCES)
        visitor.require("member.manage")
        wish = TokenWish(**msgspec.structs.asdict(read(NewSource, request)))
        made = await self._rules(visitor.actor).add(visitor.dao_id, wish)
        return Answer(body=encode(SourceReply(request.id, visitor.dao_id, source_body(RuleInfo(made, 0, 0)))))

    async def remove(self, request: Request) -> Answer:
        """DELETE /daos/{dao_id}/sources/{rule_id}."""
        visitor = self._enter(request, SOURCE)
        await self._rules(visitor.actor).remove(visitor.dao_id, path_values(SOURCE, request.path)["rule_id"])
        return Answer(body=encode(Done(request.id)))

    async def check(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/sources/check."""
        visitor = self._enter(request, CHECK)
        return self._checked(request, visitor, await self._rules(visitor.actor).check(visitor.dao_id))

    async def claim(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/sources/claim."""
        visitor = self._enter(request, CLAIM)
        return self._checked(request, visitor, await self._rules(visitor.actor).claim(visitor.dao_id, visitor.user_id))

    def _enter(self, request: Request, template: str) -> Visitor:
        return self._door.enter(request, query(request, (AS,)), path_values(template, request.path)["dao_id"])

    def _checked(self, request: Request, visitor: Visitor, found: Sequence[Checked]) -> Answer:
        told = [msgspec.convert(one, CheckedBody, from_attributes=True) for one in found]
        return Answer(body=encode(CheckedReply(request.id, visitor.dao_id, told)))


def source_body(found: RuleInfo) -> SourceBody:
    """A rule as JSON has it."""
    rule = found.rule
    return SourceBody(
        id=rule.id,
        chain_id=rule.chain_id,
        token=rule.token,
        standard=rule.standard,
        token_id=None if rule.token_id is None else str(rule.token_id),
        min_balance=str(rule.min_balance),
        role=rule.role,
        grace_s=rule.grace_s,
        everyone=rule.everyone,
        made_by=rule.made_by,
        created_at=rule.created_at,
        checked_at=rule.checked_at,
        trouble=rule.trouble,
        holders=found.holders,
        in_grace=found.in_grace,
    )
