"""The client: idle connections by origin, and exchanges on them."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from dagi.outbound.connection import Connection
from dagi.outbound.request import Origin, encoded
from dagi.ports.http import HttpFailure, HttpRequest

# A server may close an idle connection just while we use it; only these may then be sent again without asking anybody.
_REPEATABLE = frozenset({"GET", "PUT", "DELETE", "OPTIONS"})
_REFUSED = re.compile(r"\[Errno 111\]|\[Errno 61\]|refused", re.IGNORECASE)
_KEEP_ALIVE = re.compile(r"timeout\s*=\s*(\d{1,6})", re.IGNORECASE)


class Response:
    """The head of an answer, and its body as it arrives."""

    def __init__(self, connection: Connection) -> None:
        self.status: int = connection.status
        self._connection = connection

    def header(self, name: str) -> str | None:
        """The header's first value; the name in any case."""
        return self._connection.header(name)

    def chunks(self) -> AsyncGenerator[bytes]:
        """The body's bytes as they arrive, unbuffered.

        Raises:
            HttpFailure: the connection broke before the body's end.
        """
        return self._connection.chunks()

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """Hand the body's bytes over in the moment they arrive; see `dagi.ports.http.HttpResponse.pour`.

        Raises:
            HttpFailure: the connection broke before the body's end.
        """
        return await self._connection.pour(take)

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            HttpFailure: the connection broke, or the body is longer than `limit` bytes.
        """
        return await self._connection.rest(limit)


class Exchange(AbstractAsyncContextManager[Response]):
    """One request and its answer, on a connection of its own until it is left."""

    def __init__(self, client: "Client", request: HttpRequest) -> None:
        self._client = client
        self._request = request
        self._connection: Connection | None = None

    async def __aenter__(self) -> Response:
        origin, data = encoded(self._request)
        connection = None if self._request.fresh else self._client.idle(origin)
        if connection is not None:
            try:
                return await self._ask(connection, data)
            except HttpFailure:
                if not connection.silent or self._request.method not in _REPEATABLE:
                    raise
        return await self._ask(await self._client.connected(origin), data)

    async def _ask(self, connection: Connection, data: bytes) -> Response:
        try:
            await connection.ask(data)
        except BaseException:
            self._client.lost(connection)
            raise
        self._connection = connection
        return Response(connection)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if kind is None or connection.complete:
            self._client.done(connection)
        else:
            self._client.lost(connection)


class Client:
    """A pool of HTTP/1.1 connections; an adapter of `dagi.ports.http.HttpClient`.

    Follows no redirects, keeps no cookies, asks no proxy, asks for no compression. Belongs to the event loop that uses it first.

    Args:
        connect_s: seconds for the name, the TCP connection and TLS together.
        idle_s: seconds an unused connection is kept.
        max_idle: unused connections kept for one origin.
        trust: whom to trust over TLS; the system's store (and SSL_CERT_FILE) where it is None.
    """

    def __init__(self, *, connect_s: float = 3.0, idle_s: float = 20.0, max_idle: int = 64, trust: ssl.SSLContext | None = None) -> None:
        self._connect_s = connect_s
        self._idle_s = idle_s
        self._max_idle = max_idle
        self._trust = trust
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def open(self, request: HttpRequest) -> Exchange:
        """Send the request and yield once the head of the answer is there.

        Raises:
            HttpFailure: its cause (`__cause__`) is the operating system's error where there was one.
        """
        return Exchange(self, request)

    async def aclose(self) -> None:
        """Close every connection; exchanges that still run fail."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in [*self._busy, *(one for idle in self._idle.values() for one in idle)]:
            connection.abort()
        self._busy.clear()
        self._idle.clear()
        # The transports close their sockets in the loop's next turn.
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def unused(self) -> int:
        """How many connections wait for their next request."""
        return sum(connection.alive for waiting in self._idle.values() for connection in waiting)

    # For exchanges.

    def idle(self, origin: Origin) -> Connection | None:
        """An unused connection to the origin, the one used last."""
        waiting = self._idle.get(origin)
        while waiting:
            connection = waiting.pop()
            if connection.alive and connection.idle_until > asyncio.get_running_loop().time():
                self._busy.add(connection)
                return connection
            connection.abort()
        return None

    async def connected(self, origin: Origin) -> Connection:
        """A new connection to the origin.

        Raises:
            HttpFailure: it could not be made.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(origin, loop, self._reusable),
                    origin.host,
                    origin.port,
                    ssl=self._trusted() if origin.tls else None,
                    server_hostname=origin.host if origin.tls else None,
                )
        except (OSError, UnicodeError) as error:
            raise HttpFailure(self._why(origin, error)) from error
        self._busy.add(connection)
        return connection

    def done(self, connection: Connection) -> None:
        """The exchange was left in order."""
        self._busy.discard(connection)
        connection.leave()

    def lost(self, connection: Connection) -> None:
        """The exchange failed or was cancelled: the server must learn at once that nobody listens."""
        self._busy.discard(connection)
        connection.abort()

    def _reusable(self, connection: Connection) -> None:
        waiting = self._idle.setdefault(connection.origin, [])
        if len(waiting) >= self._max_idle:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_until = loop.time() + self._kept_s(connection.header("keep-alive"))
        waiting.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle_s, self._sweep_idle)

    def _kept_s(self, said: str | None) -> float:
        announced = _KEEP_ALIVE.search(said) if said is not None else None
        return min(self._idle_s, float(announced[1]) - 1.0) if announced is not None else self._idle_s

    def _sweep_idle(self) -> None:
        loop = asyncio.get_running_loop()
        for origin, waiting in list(self._idle.items()):
            kept = [one for one in waiting if one.alive and one.idle_until > loop.time()]
            for connection in set(waiting).difference(kept):
                connection.abort()
            self._idle[origin] = kept
            if not kept:
                del self._idle[origin]
        self._sweep = loop.call_later(self._idle_s, self._sweep_idle) if self._idle else None

    def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            # Reading the system's store takes 20 ms, so only those pay for it who speak TLS.
            self._trust = ssl.create_default_context()
        return self._trust

    def _why(self, origin: Origin, error: Exception) -> str:
        match error:
            case TimeoutError():
                return f"{origin} did not accept a connection within {self._connect_s:g} s"
            case ssl.SSLCertVerificationError():
                return f"the certificate of {origin} is not valid: {error.verify_message}"
            case ssl.SSLError():
                return f"TLS with {origin} failed: {error.reason or 'broken off'}"
            case socket.gaierror() | UnicodeError():
                return f"the name {origin.host} could not be resolved"
            case ConnectionRefusedError():
                return f"{origin} refused the connection"
            case ConnectionResetError() | ConnectionAbortedError():
                return f"{origin} broke the connection off while it was made"
            case _ if _REFUSED.search(str(error)):
                return f"{origin} refused the connection"
            case _:
                return f"{origin} cannot be reached"
