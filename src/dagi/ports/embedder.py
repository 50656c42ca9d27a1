"""Embedder: search by meaning, and the frames by which it is asked from another process.

A frame is four bytes of length (big endian) and that many bytes of msgpack. The server begins with `Hello`; then the client sends
`Ask` and `Forget`, in any number and without waiting, and every `Ask` gets one `Answer`, in any order.
"""

from typing import Protocol

import msgspec

MAX_FRAME = 64 * 1024
MAX_QUERY = 500
MAX_HITS = 100
HEADER = 4

Hits = tuple[tuple[str, float], ...]


class EmbedderUnavailable(Exception):
    """The search by meaning cannot answer now; the search by words goes on alone."""


class Embedder(Protocol):
    """Search by meaning in one DAO's passages."""

    async def nearest(self, dao_id: str, query: str, limit: int) -> Hits:
        """Ids of the passages nearest in meaning with their scores, best first. Scores rank; they judge nothing.

        Raises:
            EmbedderUnavailable: it is down, starting or overloaded.
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


class Forget(msgspec.Struct, frozen=True, tag="forget", array_like=True):
    """Nobody waits for the answer any more."""

    id: int


class Answer(msgspec.Struct, frozen=True, tag="answer", array_like=True):
    """What was found, or in `error` why nothing could be looked for."""

    id: int
    hits: Hits = ()
    error: str = ""


FromClient = Ask | Forget
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
