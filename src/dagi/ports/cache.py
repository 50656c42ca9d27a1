"""Cache: what an operator may see and do of the answers that are kept for equal questions."""

from typing import Protocol

import msgspec


class CacheStats(msgspec.Struct, kw_only=True):
    """What the cache holds and has done since the process began.

    Attributes:
        hits: answers given again. shared: questions that waited for an equal one under way. misses: questions that were asked.
        skipped: questions of a caching rule that are not cached, for example because they belong to a conversation.
        under_way: answers that are being made now.
    """

    entries: int = 0
    bytes: int = 0
    max_entries: int = 0
    max_bytes: int = 0
    hits: int = 0
    shared: int = 0
    misses: int = 0
    skipped: int = 0
    stored: int = 0
    evicted: int = 0
    under_way: int = 0


class CacheCleared(msgspec.Struct):
    """How many answers were forgotten."""

    cleared: int


class AnswerCache(Protocol):
    """The answers of a process."""

    def stats(self) -> CacheStats:
        """What there is, and what happened so far."""
        ...

    def clear(self) -> CacheCleared:
        """Forget every answer. Those under way go on for whoever waits, and are not kept."""
        ...
