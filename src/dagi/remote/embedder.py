"""The embedder in its own process, seen from here."""

import asyncio
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec

from dagi.ports.embedder import (
    HEADER,
    MAX_FRAME,
    MAX_QUERY,
    MAX_TEXT,
    Answer,
    Ask,
    Embed,
    EmbedderUnavailable,
    Forget,
    FromServer,
    Hello,
    Hits,
    frame,
)

# However long an answer may take, a greeting takes no time.
_GREETING_S = 2.0

_decoder = msgspec.msgpack.Decoder(FromServer)


class RemoteEmbedder:
    """`ports.embedder.Embedder` over a unix socket.

    A search never waits for a connection: while there is none it fails at once, and connecting goes on beside it. A process that is
    there but has said nothing for `stalled_s` although it was asked counts as gone.

    Args:
        retry_s: the pause before connecting again.
    """

    def __init__(self, socket_path: Path, *, stalled_s: float = 2.0, retry_s: float = 0.25) -> None:
        self._path = socket_path
        self._stalled_s = stalled_s
        self._retry_s = retry_s
        self._ids = count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._link: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._unheard_since: float | None = None
        self._closed = False

    async def nearest(self, dao_id: str, query: str, limit: int) -> Hits:
        """Ids of the passages nearest in meaning; see the port."""
        return (await self._answer(Ask(next(self._ids), dao_id, _sendable(query[:MAX_QUERY]), limit))).hits

    async def vector(self, text: str, *, query: bool) -> bytes:
        """The vector of a text; see the port."""
        return (await self._answer(Embed(next(self._ids), _sendable(text[:MAX_TEXT]), query))).vector

    async def _answer(self, ask: Ask | Embed) -> Answer:
        writer = self._connected()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        try:
            message = frame(ask)
        except (ValueError, UnicodeEncodeError) as error:
            raise EmbedderUnavailable("the question cannot be sent") from error
        self._waiting[ask.id] = answer
        if self._unheard_since is None:
            self._unheard_since = loop.time()
        writer.write(message)
        try:
            return await answer
        except asyncio.CancelledError:
            self._forget(ask.id)
            raise
        finally:
            self._waiting.pop(ask.id, None)

    async def connect(self) -> None:
        """Begin to connect, without waiting for it: the first search then need not be the one that finds no connection."""
        with suppress(EmbedderUnavailable):
            self._connected()

    async def close(self) -> None:
        """End the connection; searches that wait fail."""
        self._closed = True
        if self._link is not None:
            self._link.cancel()
            with suppress(asyncio.CancelledError):
                await self._link

    def _connected(self) -> asyncio.StreamWriter:
        if self._closed:
            raise EmbedderUnavailable("the connection was closed")
        if self._link is None or self._link.done():
            self._link = asyncio.create_task(self._keep_connected())
        if self._stalled() and self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
        if self._writer is None or self._writer.is_closing():
            raise EmbedderUnavailable("the embedder is not there")
        return self._writer

    def _stalled(self) -> bool:
        since = self._unheard_since
        return since is not None and asyncio.get_running_loop().time() - since > self._stalled_s

    def _forget(self, identity: int) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame(Forget(identity)))

    async def _keep_connected(self) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, msgspec.MsgspecError, TimeoutError):
                await self._converse()
            await asyncio.sleep(self._retry_s)

    async def _converse(self) -> None:
        """One connection, from its beginning to its end."""
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            # A stopped process accepts connections too: only its greeting shows that it is at work.
            async with asyncio.timeout(min(self._stalled_s, _GREETING_S)):
                greeting = await _received(reader)
            if not isinstance(greeting, Hello):
                return
            self._unheard_since = None
            self._writer = writer
            while True:
                self._heard(await _received(reader))
        finally:
            self._writer = None
            writer.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(EmbedderUnavailable("the embedder went away"))

    def _heard(self, message: FromServer) -> None:
        self._unheard_since = asyncio.get_running_loop().time() if self._waiting else None
        if not isinstance(message, Answer):
            return
        answer = self._waiting.pop(message.id, None)
        if not self._waiting:
            self._unheard_since = None
        if answer is None or answer.done():
            return
        if message.error:
            answer.set_exception(EmbedderUnavailable(message.error))
        else:
            answer.set_result(message)


async def _received(reader: asyncio.StreamReader) -> FromServer:
    size = int.from_bytes(await reader.readexactly(HEADER), "big")
    if size > MAX_FRAME:
        raise OSError("the frame is too long")
    return _decoder.decode(await reader.readexactly(size))


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
