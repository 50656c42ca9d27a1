"""The embedder's face: a unix socket that only its owner may open."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from dagi.errors import ConfigError
from dagi.ports.embedder import (
    HEADER,
    MAX_FRAME,
    MAX_HITS,
    MAX_QUERY,
    MAX_TEXT,
    Answer,
    Ask,
    Embed,
    Embedder,
    EmbedderUnavailable,
    Forget,
    FromClient,
    Hello,
    frame,
)

MAX_IN_FLIGHT = 64

_decoder = msgspec.msgpack.Decoder(FromClient)


async def serve(socket_path: Path, index: Embedder, ready: Callable[[], None]) -> None:
    """Answer searches on the socket until cancelled.

    Args:
        ready: called once the socket can be connected to.

    Raises:
        ConfigError: the socket cannot be made there.
    """
    listening = _listen(socket_path)
    mark = _mark(socket_path)
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        await _Connection(reader, writer, index).run()

    server = await asyncio.start_unix_server(connected, sock=listening)
    try:
        ready()
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()
        for task in tuple(connections):
            task.cancel()
        _remove(socket_path, mark)


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # From its first moment on the file must be closed to others.
    before = os.umask(0o177)
    try:
        if path.is_socket():
            path.unlink()
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"The embedder's socket {path.name} cannot be made: {error.strerror or error}. The data directory must be writable, and "
            "its path short (a socket's path has at most 107 bytes)."
        ) from error
    finally:
        os.umask(before)
    return listening


def _mark(path: Path) -> int:
    return path.stat().st_ino


def _remove(path: Path, mark: int) -> None:
    with suppress(OSError):
        # Another embedder may have taken the place meanwhile.
        if _mark(path) == mark:
            path.unlink()


class _Connection:
    """One client: reads frames, searches at the same time, answers in the order of completion."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, index: Embedder) -> None:
        self._reader = reader
        self._writer = writer
        self._index = index
        self._searches: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve the client until it goes, or says something that is not understood."""
        try:
            self._writer.write(frame(Hello()))
            while True:
                size = int.from_bytes(await self._reader.readexactly(HEADER), "big")
                if size > MAX_FRAME:
                    return
                self._take(_decoder.decode(await self._reader.readexactly(size)))
                await self._writer.drain()
        except (OSError, asyncio.IncompleteReadError, msgspec.MsgspecError):
            return
        finally:
            for search in tuple(self._searches.values()):
                search.cancel()
            self._writer.close()

    def _take(self, message: FromClient) -> None:
        match message:
            case Forget(id=identity):
                if search := self._searches.get(identity):
                    search.cancel()
            case Ask(id=identity) | Embed(id=identity):
                if identity in self._searches or len(self._searches) >= MAX_IN_FLIGHT:
                    self._answer(Answer(identity, error="busy"))
                    return
                search = asyncio.create_task(self._search(message))
                self._searches[identity] = search
                search.add_done_callback(lambda _: self._searches.pop(identity, None))

    async def _search(self, ask: Ask | Embed) -> None:
        try:
            answer = await self._asked(ask)
        except EmbedderUnavailable as error:
            self._answer(Answer(ask.id, error=str(error)))
        except asyncio.CancelledError:
            # Said all the same: by any answer the client knows that this process is alive.
            self._answer(Answer(ask.id, error="forgotten"))
            raise
        else:
            self._answer(answer)

    async def _asked(self, ask: Ask | Embed) -> Answer:
        if isinstance(ask, Embed):
            return Answer(ask.id, vector=await self._index.vector(ask.text[:MAX_TEXT], query=ask.query))
        return Answer(ask.id, await self._index.nearest(ask.dao_id, ask.query[:MAX_QUERY], max(0, min(ask.limit, MAX_HITS))))

    def _answer(self, answer: Answer) -> None:
        if not self._writer.is_closing():
            self._writer.write(frame(answer))
