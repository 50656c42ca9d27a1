"""A workspace is copied into the sandbox while nobody changes it, and is free again as soon as the copy is there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dagi.targets.devtools.workspaces.workspace import Workspace

T = TypeVar("T")


async def reading_until(copied: asyncio.Event, workspace: Workspace, work: Callable[[], Awaitable[T]]) -> T:
    """Begin the work while the workspace is read, and go on without that once `copied` is set.

    A run may take minutes; whoever wants to write meanwhile need not wait for it.
    """

    async def whole() -> T:
        return await work()

    running: asyncio.Task[T] | None = None
    ready = asyncio.create_task(copied.wait())
    try:
        async with workspace.reading():
            running = asyncio.create_task(whole())
            await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        return await running
    finally:
        # Whoever gives up waiting ends the work as well, and waits until it has ended.
        tasks = [task for task in (running, ready) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
