"""Work that goes on beside the requests for as long as the process lives."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Final

from dagi.ports.clock import Clock
from dagi.ports.observer import Observer

Work = Callable[[], Coroutine[None, None, None]]
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
# Whoever went on for so long has got over what ended it before.
_WELL_S: Final = 300.0


async def kept_going(name: str, begin: Work, observer: Observer, clock: Clock) -> None:
    """Do the work until it is done or we are cancelled. Where a defect ends it, it is begun again after a pause that grows."""
    failures = 0
    while True:
        began = clock.monotonic()
        working = asyncio.create_task(begin(), name=name)
        try:
            await asyncio.wait({working})
        except asyncio.CancelledError:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            raise
        if working.cancelled() or (error := working.exception()) is None:
            return
        failures = 0 if clock.monotonic() - began > _WELL_S else failures
        pause = min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S)
        failures = min(failures + 1, 10)
        observer.note("background_ended", level="error", task=name, again_s=pause, exc_info=error)
        await clock.sleep(pause)


def ended(observer: Observer, task: asyncio.Task[None]) -> None:
    """Work beside the requests ends when it is cancelled. Whatever else ends it is a defect, and nobody waits for it who could tell."""
    if not task.cancelled() and (error := task.exception()) is not None:
        observer.note("background_ended", level="error", task=task.get_name(), exc_info=error)


async def cancelled(task: asyncio.Task[None]) -> None:
    """End such work."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
