"""A provider that lacks something the operator has to set: it is in the configuration, and says why it cannot answer."""

from collections.abc import AsyncGenerator

from dagi.errors import NotConfigured
from dagi.message import Attempt, Grant, Message
from dagi.ports.target import Event, Tried


class Unconfigured:
    """A target that is skipped in every chain.

    Args:
        missing: what the operator has to set, as a sentence; told to operators only.
    """

    def __init__(self, name: str, missing: str) -> None:
        self._name = name
        self._missing = missing

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`.

        Raises:
            NotConfigured: always.
        """
        del message, grant
        error = NotConfigured(f"{self._name} is not configured.", provider=self._name, detail=f"{self._name} is {self._missing}.")
        yield Tried(Attempt(provider=self._name, outcome=error.code, ms=0.0, detail=error.detail))
        raise error
