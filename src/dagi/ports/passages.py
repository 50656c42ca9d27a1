"""Passages: a DAO's passages, found by words and fetched by id."""

from collections.abc import Sequence
from typing import Protocol

from dagi.message import Fact


class Passages(Protocol):
    """Reads of one DAO's passages; never crosses DAOs."""

    async def matching(self, dao_id: str, query: str, limit: int) -> tuple[Fact, ...]:
        """Passages that hold words of the query, best first. Any text is a query; it has no syntax.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def by_ids(self, dao_id: str, ids: Sequence[str]) -> tuple[Fact, ...]:
        """Those of the passages that exist and belong to the DAO, in any order.

        Raises:
            StoreError: the store cannot be read.
        """
        ...
