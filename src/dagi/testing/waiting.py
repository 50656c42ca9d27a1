"""Waiting in tests: for a condition, never for a time."""

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Let the others work until something is so.

    Raises:
        TimeoutError: it did not come to be.
    """
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0)
