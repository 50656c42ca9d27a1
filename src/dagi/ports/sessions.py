"""Sessions: what a person said before and was answered, for that person to read again."""

from datetime import datetime
from typing import Protocol

import msgspec


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation.

    Attributes:
        title: how it began; empty where the text is no longer kept.
    """

    session_id: str
    title: str
    exchanges: int
    began: datetime
    latest: datetime


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One question of a conversation with its answer. Both are empty where the text is no longer kept."""

    request_id: str
    at: datetime
    mode: str
    outcome: str
    prompt: str
    answer: str
    provider: str
    model: str


class Sessions(Protocol):
    """A person's own sessions in one DAO. Nobody else's can be read by any id."""

    async def sessions(self, dao_id: str, user_id: str, limit: int) -> tuple[SessionInfo, ...]:
        """The person's sessions, the latest first."""
        ...

    async def session(self, dao_id: str, user_id: str, session_id: str, limit: int) -> tuple[Said, ...]:
        """The latest exchanges of one session, oldest first; empty where the person has no session of that id."""
        ...
