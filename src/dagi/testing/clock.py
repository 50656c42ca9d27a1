"""A clock a test holds in its hand."""

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Time that stands still until somebody sleeps or `advance` is called.

    Attributes:
        slept: the seconds of every sleep, in order.
    """

    def __init__(self, now: datetime | None = None, monotonic: float = 1000.0) -> None:
        self.slept: list[float] = []
        self._now = now or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = monotonic

    def now(self) -> datetime:
        """The wall clock, UTC and aware."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that only `sleep` and `advance` add to."""
        return self._monotonic

    def set(self, now: datetime) -> None:
        """Set the wall clock, as an operator or a time server does."""
        self._now = now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once; others get a turn."""
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)
