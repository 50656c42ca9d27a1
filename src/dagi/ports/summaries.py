"""Summaries: what a session's older exchanges said, put into a few sentences once, so that history stays short."""

from datetime import datetime
from typing import Protocol

import msgspec

from dagi.message import Sender, Turn


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be put into words.

    Attributes:
        summary: of what was before; empty at the first time.
        turns: what was said since, oldest first.
        covers: the exchanges the turns come from.
        since: when the oldest exchange was whose words are in the summary or in the turns.
    """

    summary: str
    turns: tuple[Turn, ...]
    covers: tuple[int, ...]
    since: datetime


class Summaries(Protocol):
    """The summaries of sessions, one a session."""

    async def due(self, sender: Sender, tokens: int) -> Due | None:
        """What no longer fits into so many tokens of history, and is not in the summary yet; None where there is nothing."""
        ...

    async def keep(self, sender: Sender, due: Due, text: str) -> bool:
        """Keep the new summary; False where what it is made of was removed meanwhile, and nothing is kept."""
        ...
