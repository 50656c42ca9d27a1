"""Documents: what a DAO wrote about itself, kept as passages."""

from datetime import datetime
from typing import Protocol

import msgspec

MAX_FACTS = 10_000


class Passage(msgspec.Struct, frozen=True):
    """A piece of a document that can be quoted on its own. `title` is the path of headings it stands under."""

    title: str
    text: str


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document, checked and cut into passages.

    Attributes:
        digest: SHA-256 in hexadecimal; two documents with the same digest are the same.
        size_bytes: of the text as it was given.
    """

    name: str
    digest: str
    size_bytes: int
    passages: tuple[Passage, ...]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A stored document, without its text."""

    name: str
    digest: str
    size_bytes: int
    passages: int
    updated_at: datetime


class Documents(Protocol):
    """A DAO's documents. A change is seen by searches as a whole or not at all."""

    async def put(self, dao_id: str, document: Document) -> bool:
        """Add the document, or replace the one of the same name; False when it was there already, unchanged.

        Raises:
            Missing: there is no such DAO.
            Invalid: the DAO would have more than `MAX_FACTS` passages.
        """
        ...

    async def list(self, dao_id: str) -> tuple[Listed, ...]:
        """The DAO's documents by name."""
        ...

    async def remove(self, dao_id: str, name: str) -> None:
        """Remove a document with all its passages.

        Raises:
            Missing: the DAO has no document of that name.
        """
        ...
