"""The machine's own clocks."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """Implements the port Clock."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        return datetime.now(UTC)

    # The same clock that asyncio's timeouts use. It is read a dozen times a request, so without a function of ours around it.
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
