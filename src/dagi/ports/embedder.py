"""Embedder: search by meaning and vectors of texts, and the frames by which it is asked from another process.

A frame is four bytes of length (big endian) and that many bytes of msgpack. The server begins with `Hello`; then the client sends
`Ask`, `Embed` and `Forget`, in any number and without waiting, and every `Ask` and `Embed` gets one `Answer`, in any order.
"""

from typing import Protocol

import msgspec

MAX_FRAME = 64 * 1024
MAX_QUERY = 500
MAX_HITS = 100
# More characters of one text the model does not read (512 of its tokens).
MAX_TEXT = 1500
# Of every vector.
DIMENSIONS = 384
HEADER = 4

Hits = tuple[tuple[str, float], ...]


class EmbedderUnavailable(Exception):
    """The search by meaning cannot answer now; the search by words goes on alone."""


class Embedder(Protocol):
    """Search by meaning in one DAO's passages, and the model by itself."""

    async def nearest(self, dao_id: str, query: str, limit: int) -> Hits:
        """Ids of the passages nearest in meaning with their scores, best first. Scores rank; they judge nothing.

        Raises:
            EmbedderUnavailable: it is down, starting or overloaded.
        """
        ...

    async def vector(self, text: str, *, query: bool) -> bytes:
        """The normalised vector of a passage, or of a question about passages: float32 numbers, little endian.

        Of a text longer than `MAX_TEXT` only the beginning counts.

        Raises:
            EmbedderUnavailable: see above.
        """
        ...


class Hello(msgspec.Struct, frozen=True, tag="hello", array_like=True):
    """The server is there and answers."""


class Ask(msgspec.Struct, frozen=True, tag="ask", array_like=True):
    """One search. `id` is the client's."""

    id: int
    dao_id: str
    query: str
    limit: int


class Embed(msgspec.Struct, frozen=True, tag="embed", array_like=True):
    """One text to embed. `id` is the client's, and none that it searches with."""

    id: int
    text: str
    query: bool


class Forget(msgspec.Struct, frozen=True, tag="forget", array_like=True):
    """Nobody waits for the answer any more."""

    id: int


class Answer(msgspec.Struct, frozen=True, tag="answer", array_like=True):
    """What was found, the vector that was asked for, or in `error` why there is none."""

    id: int
    hits: Hits = ()
    error: str = ""
    vector: bytes = b""


FromClient = Ask | Embed | Forget
FromServer = Hello | Answer


def frame(message: FromClient | FromServer) -> bytes:
    """The message as it goes over the wire.

    Raises:
        ValueError: it is too long for one frame.
    """
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_FRAME:
        raise ValueError("the message is too long for a frame")
    return len(body).to_bytes(HEADER, "big") + body
