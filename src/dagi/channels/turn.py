"""Whose turn it is: what one process of several does for all of them, such as to hear what a platform gives to one listener alone."""

from typing import Protocol


class Turn(Protocol):
    """Which process does it."""

    async def take(self, seconds: float) -> bool:
        """Be that for so long; False where another one is."""
        ...

    async def give_back(self) -> None:
        """Let another one be it at once."""
        ...
