"""Cache: the same answer for the same question, and one question for all who ask it at the same time."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing

from dagi.errors import ProviderTimeout, QueueFull
from dagi.message import Grant, Message
from dagi.ports.hearing import gathered, heard
from dagi.ports.target import CONTENT, Chain, Ear, Event, Failure, Used
from dagi.targets.resilience.answers import Answers
from dagi.targets.resilience.flight import Hear, Reader
from dagi.targets.resilience.reuse import kept, key_of, reusable


class Cache:
    """A target that answers equal questions once, where the message's rule allows it (`reuse_s`).

    Who asks while an equal question is under way waits for that answer, each until its own deadline. A caller who leaves takes nothing
    from the others. A failure is everybody's, except what was the asker's own: its time, and its place in the provider's queue. Whoever
    came later may have more of both and asks again, once.

    Args:
        identity: of the chain inside: the names of its providers and their configuration, 16 to 64 bytes.
        first: the chain's first provider that can be asked; answers of the others stand in for it and are not kept.
    """

    def __init__(self, inner: Chain, answers: Answers, identity: bytes, first: str) -> None:
        self._inner = inner
        self._answers = answers
        self._identity = identity
        self._first = first

    def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`."""
        key = self._key(message, grant)
        return self._inner.open(message, grant) if key is None else self._open(key, message, grant)

    def tell(self, message: Message, grant: Grant, ear: Ear) -> Awaitable[None]:
        """See `dagi.ports.target.Telling.tell`."""
        key = self._key(message, grant)
        return self._inner.tell(message, grant, ear) if key is None else self._tell(key, message, grant, ear)

    async def _tell(self, key: bytes, message: Message, grant: Grant, ear: Ear) -> None:
        known = self._answers.get(key)
        if known is not None:
            for event in known.events:
                ear.hear(event)
            return
        async with aclosing(self._shared(key, message, grant, whole=not message.streamed)) as answer:
            await heard(answer, ear)

    def _key(self, message: Message, grant: Grant) -> bytes | None:
        if message.reuse_s is None:
            return None
        key = key_of(message, grant, self._identity) if reusable(message) else None
        if key is None:
            self._answers.skip()
        return key

    async def _open(self, key: bytes, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        known = self._answers.get(key)
        if known is not None:
            for event in known.events:
                yield event
            return
        async with aclosing(self._shared(key, message, grant, whole=False)) as answer:
            async for event in answer:
                yield event

    async def _shared(self, key: bytes, message: Message, grant: Grant, *, whole: bool) -> AsyncGenerator[Event]:
        """The answer under way, or a new one."""
        place = (key, whole, message.streamed)
        for again in (True, False):
            flight, own = self._answers.flight(place, lambda hear: self._ask(key, message, grant, hear, whole=whole))
            # The one that is asked knows the deadline of whoever asked.
            reader = Reader(name=self._first, deadline=None if own else message.limits.deadline)
            begun = False
            try:
                async with aclosing(flight.read(reader)) as events:
                    async for event in events:
                        begun = begun or isinstance(event, CONTENT)
                        yield event
                return
            except (ProviderTimeout, QueueFull) as error:
                if begun:
                    yield Failure(error)
                    return
                if own or not again or self._too_late(message):
                    raise

    async def _ask(self, key: bytes, message: Message, grant: Grant, hear: Hear, *, whole: bool) -> None:
        era = self._answers.era
        events: list[Event] = []
        if whole:
            # What is spent belongs to the answer that is kept, and is heard with it.
            events = await gathered(self._inner.tell, message, grant, lambda event: None if isinstance(event, Used) else hear(event))
            for event in events:
                hear(event)
        else:
            async with aclosing(self._inner.open(message, grant)) as answer:
                async for event in answer:
                    events.append(event)
                    hear(event)
        answer = kept(events, message, self._first)
        if answer is not None and message.reuse_s is not None:
            self._answers.keep(key, answer, message.reuse_s, era)

    def _too_late(self, message: Message) -> bool:
        deadline = message.limits.deadline
        return deadline is not None and self._answers.clock.monotonic() >= deadline
