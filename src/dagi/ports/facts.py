"""Facts: a DAO's own documents, searched."""

from typing import Protocol

import msgspec

from dagi.message import Fact


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a search.

    Attributes:
        facts: best first.
        semantic: whether meaning was searched as well as words; False when the embedder was down or too slow.
    """

    facts: tuple[Fact, ...]
    semantic: bool


class Facts(Protocol):
    """Search in one DAO's documents; never crosses DAOs."""

    async def search(self, dao_id: str, query: str, limit: int) -> Found:
        """The passages nearest to the query. Scores rank, they do not judge: an off-topic query gets its nearest passages too."""
        ...
