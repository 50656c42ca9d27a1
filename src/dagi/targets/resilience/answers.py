"""The answers a process keeps for equal questions, and those under way. They outlive a change of the configuration."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

import msgspec

from dagi.ports.cache import CacheCleared, CacheStats
from dagi.ports.clock import Clock
from dagi.targets.resilience.flight import Flight, Hear
from dagi.targets.resilience.reuse import Kept


class Answers:
    """Implements the port AnswerCache.

    Answers by key: so many, so many bytes; the one longest unused goes first. Times are on the monotonic clock.
    """

    def __init__(self, clock: Clock, *, max_entries: int = 1_000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self.clock = clock
        self._counts = CacheStats(max_entries=max_entries, max_bytes=max_bytes)
        self._kept: OrderedDict[bytes, tuple[float, Kept]] = OrderedDict()
        self._flights: dict[Hashable, Flight] = {}
        self._era = 0

    @property
    def era(self) -> int:
        """Changes when everything is forgotten: what was asked before is not kept afterwards."""
        return self._era

    def stats(self) -> CacheStats:
        """See the port AnswerCache."""
        return msgspec.structs.replace(self._counts, entries=len(self._kept), under_way=len(self._flights))

    def get(self, key: bytes) -> Kept | None:
        """The answer to an equal question, if it is still good."""
        found = self._kept.get(key)
        if found is None:
            return None
        until, answer = found
        if self.clock.monotonic() >= until:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        self._counts.hits += 1
        return answer

    def keep(self, key: bytes, answer: Kept, seconds: float, era: int) -> None:
        """Keep an answer to a question that was asked in the era."""
        counts = self._counts
        if era != self._era or answer.size > counts.max_bytes:
            return
        self._drop(key)
        self._kept[key] = (self.clock.monotonic() + seconds, answer)
        counts.bytes += answer.size
        counts.stored += 1
        while len(self._kept) > counts.max_entries or counts.bytes > counts.max_bytes:
            self._drop(next(iter(self._kept)))
            counts.evicted += 1

    def clear(self) -> CacheCleared:
        """See the port AnswerCache."""
        forgotten = len(self._kept)
        self._kept.clear()
        self._flights.clear()
        self._counts.bytes = 0
        self._era += 1
        return CacheCleared(forgotten)

    def skip(self) -> None:
        """A question of a caching rule that is not cached."""
        self._counts.skipped += 1

    def flight(self, key: Hashable, work: Callable[[Hear], Awaitable[None]]) -> tuple[Flight, bool]:
        """The answer under way to an equal question, or a new one; and whether it is new."""
        known = self._flights.get(key)
        if known is not None:
            self._counts.shared += 1
            return known, False
        self._counts.misses += 1
        flight = self._flights[key] = Flight(work, lambda ended: self._landed(key, ended), self.clock)
        return flight, True

    def _landed(self, key: Hashable, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _drop(self, key: bytes) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._counts.bytes -= found[1].size
