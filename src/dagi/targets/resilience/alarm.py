"""Timers for many waits. `asyncio.timeout` around each token, or each short answer, would cost more than what it bounds."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
_NEVER = float("inf")


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


class Wait:
    """One bounded wait.

    Attributes:
        due: when its time is up, on the loop's clock.
        why: what to say then.
    """

    __slots__ = ("due", "rang", "task", "why")

    def __init__(self, due: float, why: str) -> None:
        self.due = due
        self.why = why
        self.task: asyncio.Task[object] | None = None
        self.rang = False


class Alarms:
    """Bounds the waits of many tasks with one timer of the loop, which is set for whoever is due first and not moved for the others."""

    def __init__(self) -> None:
        self._waits: set[Wait] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, wait: Wait, awaitable: Awaitable[T]) -> T:
        """Await it until the wait is due.

        Raises:
            TimeoutError: it took longer, and was cancelled.
        """
        task = wait.task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an alarm needs a task")
        self.put(wait, wait.due)
        self._waits.add(wait)
        cancelling = task.cancelling()
        try:
            return await awaitable
        except asyncio.CancelledError:
            if wait.rang:
                wait.rang = False
                # Only a cancellation of our own becomes a timeout; one that came from outside as well goes on.
                if task.uncancel() <= cancelling:
                    raise TimeoutError from None
            raise
        finally:
            self._waits.discard(wait)
            if wait.rang:
                # It rang, and still something else came out.
                task.uncancel()

    def put(self, wait: Wait, due: float) -> None:
        """Make a wait due at another time."""
        wait.due = due
        if due == _NEVER:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now, following = loop.time(), _NEVER
        for wait in self._waits:
            if wait.rang:
                continue
            if wait.due > now:
                following = min(following, wait.due)
            elif wait.task is not None:
                wait.rang = True
                wait.task.cancel()
        if following < _NEVER:
            self._timer = loop.call_at(following, self._ring)
