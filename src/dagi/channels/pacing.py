"""How fast a platform takes messages: turns given out ahead of time, so that whoever waits knows for how long."""

from collections import OrderedDict
from typing import Final

# Chats that were not written to for longer than their whole burst takes need no memory; this many are remembered anyway.
_MOST: Final = 10_000


class Pace:
    """So many a second, with a burst of so many before it counts.

    Each turn takes 1 / `per_second` of the time ahead; as many as `burst` may be ahead of now.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._each = 1 / per_second
        self._slack = (burst - 1) * self._each
        self._next: OrderedDict[str, float] = OrderedDict()

    def wait(self, whose: str, now: float) -> float:
        """How long it is until the next turn, in seconds; 0 where it is now."""
        return max(0.0, self._next.get(whose, 0.0) - self._slack - now)

    def has(self, whose: str, now: float, turns: int) -> bool:
        """Whether there are so many turns now."""
        return self.wait(whose, now - (turns - 1) * self._each) <= 0

    def take(self, whose: str, now: float) -> None:
        """Take a turn at that time."""
        self._next[whose] = max(self._next.pop(whose, 0.0), now) + self._each
        while len(self._next) > _MOST:
            self._next.popitem(last=False)

    def hold(self, whose: str, until: float) -> None:
        """No turn before then."""
        self._next[whose] = max(self._next.pop(whose, 0.0), until + self._slack)
