"""Adding to a message what the DAO and the conversation know."""

import asyncio
from collections.abc import Callable

import msgspec

from dagi.errors import StoreError
from dagi.message import Context, Fact, Grant, Message
from dagi.ports.dialogs import Dialogs, History
from dagi.ports.facts import Facts
from dagi.ports.observer import Observer
from dagi.rules.rule import Wanted


class Grounding:
    """`ports.grounding.Grounding` over the facts and the dialogs.

    Args:
        dao_name: a DAO's name by its id.
        facts_limit: passages to add.
        history_tokens: how much of the conversation to add.
    """

    def __init__(
        self,
        facts: Facts,
        dialogs: Dialogs,
        observer: Observer,
        dao_name: Callable[[str], str],
        *,
        facts_limit: int = 5,
        history_tokens: int = 1000,
    ) -> None:
        self._facts = facts
        self._dialogs = dialogs
        self._observer = observer
        self._dao_name = dao_name
        self._facts_limit = facts_limit
        self._history_tokens = history_tokens

    async def add(self, message: Message, grant: Grant, wanted: Wanted) -> Message:
        """The message with what the rule wants in its context; see the port."""
        if not wanted.anything or message.purpose:
            # What the stack asks for itself brings all it needs.
            return message
        facts, told = await asyncio.gather(self._found(message, grant, wanted), self._earlier(message, wanted))
        context = Context(
            dao_name=self._dao_name(message.sender.dao_id),
            facts=facts,
            roles=grant.roles if wanted.roles else None,
            history=told.turns,
            summary=told.summary,
        )
        return msgspec.structs.replace(message, context=context)

    async def _found(self, message: Message, grant: Grant, wanted: Wanted) -> tuple[Fact, ...] | None:
        # What the sender may not read must not reach it through a model's answer either.
        if not wanted.facts or not message.prompt.strip() or not grant.allows("facts.read"):
            return None
        try:
            return (await self._facts.search(message.sender.dao_id, message.prompt, self._facts_limit)).facts
        except StoreError as error:
            self._observer.note("context_unavailable", part="facts", error=error.code)
            return None

    async def _earlier(self, message: Message, wanted: Wanted) -> History:
        if not wanted.history or not message.sender.session_id:
            return History()
        try:
            return await self._dialogs.history(message, self._history_tokens)
        except StoreError as error:
            self._observer.note("context_unavailable", part="history", error=error.code)
            return History()
