"""Grounding: what the DAO and the conversation know, added to a message before a target sees it."""

from typing import Protocol

from dagi.message import Grant, Message
from dagi.rules.rule import Wanted


class Grounding(Protocol):
    """Adds facts, roles and history as data with their sources. What cannot be had is left out; it never fails a request."""

    async def add(self, message: Message, grant: Grant, wanted: Wanted) -> Message:
        """The message with what the rule wants in its context."""
        ...
