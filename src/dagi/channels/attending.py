"""Has updates handled, and what somebody said or pressed in them answered, whatever becomes of it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from dagi.channels.case import Case
from dagi.channels.conversation import Conversation
from dagi.channels.told import Told
from dagi.errors import DagiError, Internal
from dagi.ports.clock import Clock
from dagi.ports.inbox import Inbox, Parcel, Taken
from dagi.ports.observer import Observer
from dagi.ports.target import Ear

# Whoever dies three times of the same update does not try a fourth time: the member is told, and the chat goes on.
ATTEMPTS: Final = 3
# Not even an apology came of it: the chat goes on without.
HOPELESS: Final = 2 * ATTEMPTS


class Shown(Ear, Protocol):
    """Shows an answer while it is made."""

    async def follow(self) -> None:
        """Show until cancelled."""
        ...


class Attending(ABC):
    """Handles updates of one platform, one at a time of each lane.

    Args:
        owing: called when something is owed.
    """

    def __init__(self, conversation: Conversation, inbox: Inbox, observer: Observer, clock: Clock, owing: Callable[[], None]) -> None:
        self._conversation = conversation
        self._inbox = inbox
        self._observer = observer
        self._clock = clock
        self._owing = owing

    async def attend(self, taken: Taken) -> None:
        """Handle it.

        Raises:
            StoreError: what came of it could not be written down.
        """
        if taken.attempt > HOPELESS:
            # Not even an apology came of it: the chat goes on without.
            self._observer.note("update_given_up", level="error", id=taken.id, bot=taken.update.lane.bot, attempts=taken.attempt)
            await self._inbox.handled(taken, ())
            return
        parcels = await self._parcels(taken)
        if await self._inbox.handled(taken, parcels) and parcels:
            self._owing()

    @abstractmethod
    async def _parcels(self, taken: Taken) -> Sequence[Parcel]:
        """What is owed for it."""

    def _ignored(self, taken: Taken, why: str) -> None:
        lane = taken.update.lane
        self._observer.note("update_ignored", level="debug", bot=lane.bot, number=taken.update.number, why=why)


async def told(conversation: Conversation, case: Case, shown: Shown, pressed: str | None, attempt: int) -> Told:
    """What is said back: the answer, or the sentence that stands in its place.

    Args:
        pressed: what the button carries; None for words.
        attempt: of handling the update.
    """
    if attempt > ATTEMPTS:
        return conversation.refusal(case, Internal("It could not be answered."), pressed=pressed is not None)
    work = conversation.answer(case, shown) if pressed is None else conversation.pressed(case, pressed, shown)
    answering = asyncio.create_task(_awaited(work), name=case.request_id)
    showing = asyncio.create_task(shown.follow(), name=f"{case.request_id}-shown")
    try:
        await asyncio.wait([answering])
    finally:
        # Whoever stops us stops the answer, too.
        answering.cancel()
        showing.cancel()
        await asyncio.gather(answering, showing, return_exceptions=True)
    error = answering.exception()
    if error is None:
        return answering.result()
    if isinstance(error, DagiError):
        return conversation.refusal(case, error, pressed=pressed is not None)
    return conversation.defect(case, error, pressed=pressed is not None)


async def _awaited(work: Awaitable[Told]) -> Told:
    return await work
