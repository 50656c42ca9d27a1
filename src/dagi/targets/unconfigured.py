"""A provider that lacks something the operator has to set: it is in the configuration, and says why it cannot answer."""

from collections.abc import AsyncGenerator

from dagi.errors import NotConfigured
from dagi.message import Attempt, Grant, Message
from dagi.ports.embeddings import Batch, Embedded
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
        error = _error(self._name, self._missing)
        yield Tried(Attempt(provider=self._name, outcome=error.code, ms=0.0, detail=error.detail))
        raise error


class UnconfiguredEmbeddings:
    """The same for its embedding model."""

    def __init__(self, name: str, missing: str) -> None:
        self._name = name
        self._missing = missing

    async def embed(self, batch: Batch) -> Embedded:
        """See `dagi.ports.embeddings.Embeddings.embed`.

        Raises:
            NotConfigured: always.
        """
        del batch
        raise _error(self._name, self._missing)


def _error(name: str, missing: str) -> NotConfigured:
    return NotConfigured(f"{name} is not configured.", provider=name, detail=f"{name} is {missing}.")
