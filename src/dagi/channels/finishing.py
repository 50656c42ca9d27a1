"""What a platform may have done already is not broken off: whoever is stopped waits for it, for a while."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def finished(work: Coroutine[Any, Any, object], seconds: float, name: str) -> None:
    """Do the work; who is cancelled meanwhile waits so long for its end, and is cancelled then.

    Raises:
        Exception: what the work raises.
    """
    task = asyncio.create_task(work, name=name)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
