"""Vectors: what the search by meaning needs of the store."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class Unindexed(msgspec.Struct, frozen=True, kw_only=True):
    """A passage without a vector.

    Attributes:
        document_id: one version of one document. Ids of passages may be used again after a replacement; the pair is not.
    """

    id: int
    document_id: str
    title: str
    text: str


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """A vector for a passage: float32, little endian."""

    id: int
    document_id: str
    data: bytes


class Vectors(Protocol):
    """The vectors beside the passages, and what has changed since one last looked."""

    async def versions(self) -> Mapping[str, int]:
        """Every DAO's counter of changes to its documents.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def unindexed(self, dao_id: str, limit: int) -> tuple[Unindexed, ...]:
        """Some of the DAO's passages that have no vector yet, oldest first.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def save(self, vectors: Sequence[Vector]) -> None:
        """Keep the vectors; those of passages that were replaced meanwhile are dropped. Does not count as a change.

        Raises:
            StoreError: the store cannot be written.
        """
        ...

    async def load(self, dao_id: str) -> tuple[tuple[int, bytes], ...]:
        """Id and vector of every passage of the DAO that has one.

        Raises:
            StoreError: the store cannot be read.
        """
        ...
