"""Portraits: what a DAO looks like from far off, in numbers and headings."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of a DAO's documents under its heading.

    Attributes:
        document: its name.
        title: the path of headings it stands under.
        text: empty where it is not told.
    """

    document: str
    title: str
    text: str = ""


class Portrait(msgspec.Struct, frozen=True, kw_only=True):
    """One DAO.

    Attributes:
        members: people whose membership is in force, by role; who has several is counted in each.
        people: the same people, each once.
        documents: how many facts are kept in.
        answered: questions of the last 30 days that were answered.
        openings: the first passage of each document, by the documents' names.
        questions: the headings of documents that are collections of questions (named `faq…` or `questions…`).
    """

    members: Mapping[str, int]
    people: int
    documents: int
    answered: int
    openings: tuple[Heading, ...] = ()
    questions: tuple[Heading, ...] = ()


class Portraits(Protocol):
    """Portraits of DAOs; they may be a minute old."""

    async def of(self, dao_id: str) -> Portrait:
        """The DAO's.

        Raises:
            StoreError: it cannot be read just now.
        """
        ...
