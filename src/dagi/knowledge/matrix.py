"""One DAO's vectors in memory, for the embedder's process."""

from collections.abc import Iterable, Sequence

import numpy as np

from dagi.knowledge.e5 import Array
from dagi.ports.embedder import DIMENSIONS, Hits

_FLOAT = np.dtype("<f4")


class Matrix:
    """Vectors by passage id. Never changed: growing makes another one, so a search in a thread needs no lock."""

    def __init__(self, ids: Sequence[int], rows: Array) -> None:
        self._ids = tuple(ids)
        self._rows = rows

    @classmethod
    def of(cls, stored: Iterable[tuple[int, bytes]]) -> "Matrix":
        """From what the store keeps. A vector of another length is none: it is of another model, or damaged."""
        return cls(*_read(stored))

    def __len__(self) -> int:
        return len(self._ids)

    def with_added(self, added: Sequence[tuple[int, bytes]]) -> "Matrix":
        """This and more vectors; those of known passages replace them."""
        fresh = {identity for identity, _ in added}
        kept = [place for place, identity in enumerate(self._ids) if identity not in fresh]
        ids, rows = _read(added)
        return Matrix([*(self._ids[place] for place in kept), *ids], np.concatenate([self._rows[kept], rows]))

    def nearest(self, vector: Array, limit: int) -> Hits:
        """The passages with the largest inner product, best first."""
        if not self._ids or limit < 1:
            return ()
        scores = np.nan_to_num(self._rows @ vector, nan=-1.0)
        count = min(limit, len(scores))
        best = np.argpartition(-scores, count - 1)[:count]
        return tuple((str(self._ids[place]), float(scores[place])) for place in best[np.argsort(-scores[best], kind="stable")])


def _read(stored: Iterable[tuple[int, bytes]]) -> tuple[list[int], Array]:
    sound = [(identity, data) for identity, data in stored if len(data) == DIMENSIONS * _FLOAT.itemsize]
    rows = np.frombuffer(b"".join(data for _, data in sound), dtype=_FLOAT).reshape(-1, DIMENSIONS)
    return [identity for identity, _ in sound], rows.astype(np.float32, copy=False)


def stored(vector: Array) -> bytes:
    """The vector as the store keeps it."""
    return vector.astype(_FLOAT, copy=False).tobytes()
