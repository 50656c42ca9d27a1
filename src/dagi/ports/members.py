"""Members: who belongs to which DAO, as the store knows it now."""

from typing import Protocol

from dagi.access.decide import Standing


class Members(Protocol):
    """Looked up on every request, so it answers from memory; the store behind it is the truth."""

    def standing(self, dao_id: str, user_id: str) -> Standing:
        """What is known of the person in the DAO. A DAO that does not exist is a standing too: the empty one.

        Raises:
            AccessUnavailable: the map is older than what may be trusted.
        """
        ...
