"""A timer for many short waits of one stream. `asyncio.timeout` around each token would cost more than the token."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Alarm:
    """Bounds single awaits; keeps one timer of the loop and moves it only when it rings too early."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._due = 0.0
        self._rang = False

    async def within(self, seconds: float, awaitable: Awaitable[T]) -> T:
        """Await it for at most so many seconds.

        Raises:
            TimeoutError: it took longer, and was cancelled.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an alarm needs a task")
        self._due = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._due:
            self._set()
        self._task = task
        cancelling = task.cancelling()
        try:
            return await awaitable
        except asyncio.CancelledError:
            if self._rang:
                self._rang = False
                # Only a cancellation of our own becomes a timeout; one that came from outside as well goes on.
                if task.uncancel() <= cancelling:
                    raise TimeoutError from None
            raise
        finally:
            self._task = None
            if self._rang:
                # It rang, and still something else came out.
                self._rang = False
                task.uncancel()

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            # Nobody waits now: the next wait sets the timer again.
            return
        if self._loop.time() < self._due:
            self._set()
            return
        self._rang = True
        self._task.cancel()
