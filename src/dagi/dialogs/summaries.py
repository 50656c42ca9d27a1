"""Puts what falls out of a session's history into words: after the answer, one session at a time, by the same path as any question."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from dagi.errors import BudgetExceeded, DagiError, Denied, RateLimited
from dagi.message import Context, Message
from dagi.ports.clock import Clock
from dagi.ports.dialogs import Exchange
from dagi.ports.observer import Observer
from dagi.ports.summaries import Due, Summaries

PROMPT = "Write the minutes."
LONGEST = 2_000
# What one person may not do, or not just now, says nothing of the others.
PERSONAL = (Denied, RateLimited, BudgetExceeded)
# After any other failure, so that a model that is down is not asked again with every question of everybody.
REST_S = 60.0
TOKENS = 400


class Summarist:
    """Writes the summaries.

    Args:
        can: whether a model would answer this message now; documents alone put nothing into words, and then nothing is made up.
        exchange, ask: the router's own, so that a summary needs the same rights, counts against the same limits and is recorded too.
        history_tokens: how much of the conversation a model is shown anyway.
        new_id: gives request ids.
    """

    def __init__(  # noqa: PLR0913 - the parts it stands between
        self,
        summaries: Summaries,
        observer: Observer,
        clock: Clock,
        *,
        can: Callable[[Message], bool],
        exchange: Callable[[Message], Exchange],
        ask: Callable[[Exchange], Awaitable[None]],
        history_tokens: int,
        new_id: Callable[[], str],
    ) -> None:
        self._summaries = summaries
        self._observer = observer
        self._clock = clock
        self._can = can
        self._exchange = exchange
        self._ask = ask
        self._history_tokens = history_tokens
        self._new_id = new_id

    async def follow(self, overflowing: asyncio.Queue[Message]) -> None:
        """Summarise the sessions of these messages, for ever."""
        while True:
            message = await overflowing.get()
            # A task of its own: what goes wrong with one session must not end the work for all others.
            work = asyncio.create_task(self.summarise(message))
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                work.cancel()
                await asyncio.wait([work])
                raise
            error = work.exception()
            if error is not None:
                why = error.code if isinstance(error, DagiError) else type(error).__name__
                self._observer.note("summary_failed", level="warning", session_of=message.sender.user_id, why=why)
                if not isinstance(error, PERSONAL):
                    await self._clock.sleep(REST_S)

    async def summarise(self, message: Message) -> bool:
        """Bring the summary of the message's session up to date; False where there is nothing to do or nobody who could.

        Raises:
            DagiError: the model did not answer, or the database cannot be used.
        """
        asked = self._question(message)
        if not self._can(asked):
            return False
        due = await self._summaries.due(message.sender, self._history_tokens)
        if due is None:
            return False
        text = await self._words(asked, due)
        return bool(text) and await self._summaries.keep(message.sender, due, text)

    def _question(self, message: Message) -> Message:
        sender = msgspec.structs.replace(message.sender, session_id="")
        options = msgspec.Raw(msgspec.json.encode({"max_tokens": TOKENS}))
        return Message(id=self._new_id(), sender=sender, prompt=PROMPT, task_type="summary", purpose="summary", options=options)

    async def _words(self, asked: Message, due: Due) -> str:
        context = Context(history=due.turns, summary=due.summary)
        exchange = self._exchange(msgspec.structs.replace(asked, context=context))
        await self._ask(exchange)
        if exchange.error is not None:
            raise exchange.error
        return exchange.text.strip()[:LONGEST]
