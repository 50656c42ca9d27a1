"""Clock: time comes in as an argument, so that a test can hold it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The two clocks of a machine, and waiting."""

    def now(self) -> datetime:
        """The wall clock, UTC and aware. It may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
