"""KeyRing: the API keys there are."""

from typing import Protocol

from dagi.access.keys import KeyRecord


class KeyRing(Protocol):
    """Asked on every request, so it answers from memory."""

    def find(self, key_id: str) -> KeyRecord | None:
        """The record of a key.

        Raises:
            AccessUnavailable: the map is older than what may be trusted.
        """
        ...
