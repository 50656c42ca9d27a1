"""Work on the disk, done in a thread."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

DoneT = TypeVar("DoneT")


async def to_its_end(work: Callable[[], DoneT], stop: Callable[[], object] | None = None) -> DoneT:
    """Do it in a thread. Cancelling waits for its end: whoever holds a lock for it must not give that back while it goes on.

    Args:
        stop: told when the call is cancelled, so that the end comes soon.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if stop is not None:
            stop()
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            # Asked for, so that nobody is told of an error that was never looked at.
            task.exception()
        raise
