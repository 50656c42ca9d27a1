"""Has one thing that somebody said or pressed answered, whatever becomes of it."""

import asyncio
from collections.abc import Awaitable
from typing import Final, Protocol

from dagi.channels.case import Case
from dagi.channels.conversation import Conversation
from dagi.channels.told import Told
from dagi.errors import DagiError, Internal
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
