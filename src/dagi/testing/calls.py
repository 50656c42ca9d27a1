"""Calls in memory: what the record over the databases is compared with."""

from dagi.errors import Overloaded
from dagi.ports.calls import Called


class FakeCalls:
    """Implements the port CallLog.

    Attributes:
        calls: what was called, in order.
        full: whether nothing more can be written down.
    """

    def __init__(self) -> None:
        self.calls: list[Called] = []
        self.full = False

    def admit(self) -> None:
        """See the port."""
        if self.full:
            raise Overloaded("Nothing more can be written down.", retry_after_s=1)

    def called(self, call: Called) -> None:
        """See the port."""
        self.calls.append(call)

    async def saved(self) -> None:
        """See the port."""
        self.admit()
