"""The HTTP/1.1 side of the scripted model server: just enough of a server, and one that can misbehave."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, MutableSet
from contextlib import suppress
from http import HTTPStatus
from typing import Self, cast

import httptools


class Incoming:
    """A request, and the means to answer it.

    Attributes:
        over: the answer is complete.
    """

    def __init__(self, method: str, path: str, headers: Mapping[str, str], connection: "HttpConnection") -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = b""
        self.over = False
        self._connection = connection

    def json(self) -> Mapping[str, object]:
        """The body as a JSON object; empty where it is none."""
        try:
            value = cast("object", json.loads(self.body))
        except ValueError:
            return {}
        return cast("dict[str, object]", value) if isinstance(value, dict) else {}

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer in one piece."""
        self.over = True
        self._connection.write(_head(status, {**headers, "Content-Length": str(len(body))}) + body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a stream."""
        self._connection.write(_head(status, {**headers, "Transfer-Encoding": "chunked"}))

    def write(self, data: bytes) -> None:
        """Send a piece of a stream."""
        self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """End the stream in order."""
        self.over = True
        self._connection.write(b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        self.over = True
        self._connection.reset()


class HttpConnection(asyncio.Protocol):
    """One connection of the server.

    Args:
        answer: called with each request, one after the other.
        closed: called when the connection is gone, with whether the caller went away before its answer was over.
        register: holds the open connections.
    """

    def __init__(
        self, answer: Callable[[Incoming], Awaitable[None]], closed: Callable[[bool], None], register: MutableSet["HttpConnection"]
    ) -> None:
        self._answer = answer
        self._closed = closed
        self._register = register
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._headers: dict[str, str] = {}
        self._path = b""
        self._incoming: Incoming | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._register.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self._transport = None
        self._register.discard(self)
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._closed(self._incoming is not None and not self._incoming.over)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.write(_head(400, {"Content-Length": "0", "Connection": "close"}))
            if self._transport is not None:
                self._transport.close()

    def on_message_begin(self) -> None:
        """See httptools."""
        self._headers, self._path = {}, b""

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """See httptools."""
        method = self._parser.get_method().decode("ascii")
        self._incoming = Incoming(method, self._path.decode("latin-1"), self._headers, self)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self._incoming is not None:
            self._incoming.body += body

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._incoming is not None:
            self._task = asyncio.ensure_future(self._run(self._incoming))

    async def _run(self, incoming: Incoming) -> None:
        await self._answer(incoming)

    def write(self, data: bytes) -> None:
        """Send bytes, if there is still somebody to send them to."""
        if self._transport is not None:
            self._transport.write(data)

    def reset(self) -> None:
        """Close with a TCP reset."""
        if self._transport is not None:
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    async def drop(self) -> None:
        """Close now, and wait until the request under way has noticed."""
        if self._incoming is not None:
            # The server's own end is no caller that went away.
            self._incoming.over = True
        if self._transport is not None:
            self._transport.abort()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _socket(self) -> socket.socket:
        if self._transport is None:
            raise RuntimeError("the connection is closed")
        return cast("socket.socket", self._transport.get_extra_info("socket"))


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    reasons = {one.value: one.phrase for one in HTTPStatus}
    lines = [f"HTTP/1.1 {status} {reasons.get(status, 'Unknown')}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class ScriptedServer:
    """A scripted server of one platform, on a free port of this machine while its context lasts.

    Args:
        answer: called with each request.

    Attributes:
        port: where it listens.
    """

    def __init__(self, answer: Callable[[Incoming], Awaitable[None]]) -> None:
        self.port = 0
        self._serve = answer
        self._server: asyncio.Server | None = None
        self._open: set[HttpConnection] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        made = lambda: HttpConnection(self._serve, lambda _: None, self._open)  # noqa: E731 - a factory of one line
        self._server = await loop.create_server(made, "127.0.0.1", 0)
        self.port = cast("int", self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            await connection.drop()
