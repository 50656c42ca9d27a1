"""Adding to a message what the DAO and the conversation know."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from dagi.catalogue import language_of
from dagi.errors import StoreError
from dagi.governance.telling import told
from dagi.message import Context, Fact, Grant, Message
from dagi.ports.dialogs import Dialogs, History
from dagi.ports.facts import Facts
from dagi.ports.observer import Observer
from dagi.ports.proposals import NO_PROPOSALS, OpenProposals
from dagi.rules.rule import Wanted


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """How much to add: so many passages, and of the conversation so many tokens."""

    facts: int = 5
    history_tokens: int = 1000


USUAL: Final = Measure()


class Grounding:
    """`ports.grounding.Grounding` over the facts, the open proposals and the dialogs.

    Args:
        dao_name: a DAO's name by its id.
        proposals: what DAOs vote on now.
    """

    def __init__(
        self,
        facts: Facts,
        dialogs: Dialogs,
        observer: Observer,
        dao_name: Callable[[str], str],
        *,
        proposals: OpenProposals = NO_PROPOSALS,
        measure: Measure = USUAL,
    ) -> None:
        self._facts = facts
        self._proposals = proposals
        self._dialogs = dialogs
        self._observer = observer
        self._dao_name = dao_name
        self._measure = measure

    async def add(self, message: Message, grant: Grant, wanted: Wanted) -> Message:
        """The message with what the rule wants in its context; see the port."""
        if not wanted.anything or message.purpose:
            # What the stack asks for itself brings all it needs.
            return message
        facts, earlier = await asyncio.gather(self._found(message, grant, wanted), self._earlier(message, wanted))
        context = Context(
            dao_name=self._dao_name(message.sender.dao_id),
            facts=facts,
            roles=grant.roles if wanted.roles else None,
            proposals=self._open(message, grant, wanted),
            history=earlier.turns,
            summary=earlier.summary,
        )
        return msgspec.structs.replace(message, context=context)

    async def _found(self, message: Message, grant: Grant, wanted: Wanted) -> tuple[Fact, ...] | None:
        # What the sender may not read must not reach it through a model's answer either.
        if not wanted.facts or not message.prompt.strip() or not grant.allows("facts.read"):
            return None
        try:
            return (await self._facts.search(message.sender.dao_id, message.prompt, self._measure.facts)).facts
        except StoreError as error:
            self._observer.note("context_unavailable", part="facts", error=error.code)
            return None

    def _open(self, message: Message, grant: Grant, wanted: Wanted) -> tuple[Fact, ...] | None:
        """What the DAO votes on is what it knows of itself, so it goes with the facts."""
        if not wanted.facts or not grant.allows("proposal.read"):
            return None
        return told(self._proposals.open(message.sender.dao_id), language_of(message.prompt))

    async def _earlier(self, message: Message, wanted: Wanted) -> History:
        if not wanted.history or not message.sender.session_id:
            return History()
        try:
            return await self._dialogs.history(message, self._measure.history_tokens)
        except StoreError as error:
            self._observer.note("context_unavailable", part="history", error=error.code)
            return History()
