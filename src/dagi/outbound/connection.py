"""One HTTP/1.1 connection: one exchange at a time, its body as it arrives."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import httptools

from dagi.outbound.reading import Reading
from dagi.outbound.request import Origin

# Bytes that may come without any body among them: heads, trailers, chunk extensions.
_FRAMING_LIMIT = 128 * 1024
_BUFFER_HIGH = 256 * 1024
_LINGER_S = 0.1
_INTERIM = range(100, 200)


class Connection(Reading, asyncio.Protocol):
    """A connection and the state of the exchange on it.

    Attributes:
        silent: not a byte of the answer has come yet.
        idle_until: on the loop's clock, when it is to be closed if nobody has used it.
    """

    def __init__(self, origin: Origin, loop: asyncio.AbstractEventLoop, reusable: Callable[["Connection"], None]) -> None:
        super().__init__(origin, loop)
        self.silent = True
        self.idle_until = 0.0
        self._reusable = reusable
        self._parser: httptools.HttpResponseParser | None = None
        self._linger: asyncio.TimerHandle | None = None

    # What the pool and the response ask of it.

    async def ask(self, data: bytes) -> None:
        """Send a request and wait for the head of its answer.

        Raises:
            HttpFailure: the server closed the connection, or sent something else than HTTP.
        """
        self._forget()
        self.silent, self.complete = True, False
        self._parser = httptools.HttpResponseParser(self)
        if self._transport is not None:
            self._transport.write(data)
        while not self._has_head:
            self._check()
            await self._change()

    def abort(self) -> None:
        """Close it now, whatever is in flight."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._fail(f"the connection to {self.origin} was closed")

    def leave(self) -> None:
        """The exchange's user is done: keep the connection if the answer is over, or is about to be."""
        if self.complete:
            self._settle()
        elif self._failure is not None or self._transport is None or not self._has_head:
            self.abort()
        else:
            # A stream's user stops at its last event; the end of the body is a few bytes behind it.
            self._abandoned = True
            self._chunks.clear()
            self._resume()
            self._linger = self._loop.call_later(_LINGER_S, self.abort)

    @property
    def alive(self) -> bool:
        """Whether another request may be sent on it."""
        return self._transport is not None and self._failure is None and not self._transport.is_closing()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's transports are not subclasses of asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            # Without it a request sent in two packets waits for the server's delayed acknowledgement, 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._parser is None or self.complete:
            # An answer nobody asked for: what follows on this connection cannot be trusted.
            self._keep_alive = False
            self.abort()
            return
        self.silent = False
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._break("switched to another protocol")
        except httptools.HttpParserError:
            self._break("sent something that is not HTTP")
        if self._framing > _FRAMING_LIMIT:
            self._break("sent headers without end")
        if self._take is not None and self._chunks:
            self._pour_now(self._take)

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        if exc is None:
            self._ended()
        else:
            self._fail(f"{self.origin} broke the connection off")

    # What the parser calls.

    def on_message_begin(self) -> None:
        """See httptools."""
        if self.complete:
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Trailers come this way too and are dropped."""
        if not self._has_head:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """See httptools."""
        status = self._parser.get_status_code() if self._parser is not None else 0
        if self.complete or status in _INTERIM:
            return
        self.status = status
        self._has_head = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self.complete or self._abandoned:
            return
        self._framing = 0
        self._chunks.append(body)
        self._buffered += len(body)
        if self._take is not None:
            # Whoever takes it is called once all of this read is there.
            return
        if self._buffered > _BUFFER_HIGH and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """See httptools."""
        if not self._has_head:
            # It was an interim answer (1xx): the real one follows.
            self._headers.clear()
            return
        if self.complete:
            return
        self._keep_alive = self._parser is not None and self._parser.should_keep_alive()
        self._complete()

    # States.

    def _complete(self) -> None:
        self.complete = True
        self._wake()
        if self._abandoned:
            # The parser is still inside its callback here, so what follows has to wait for the next turn of the loop.
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        sent = self._transport is not None and self._transport.get_write_buffer_size() == 0
        if self.alive and self._keep_alive and sent:
            self._parser = None
            self._chunks.clear()
            self._resume()
            self._reusable(self)
        else:
            self.abort()

    def _ended(self) -> None:
        if self.complete or self._failure is not None:
            self._fail(f"{self.origin} closed the connection")
        elif self._has_head and self.header("content-length") is None and self.header("transfer-encoding") is None:
            # The body was to end with the connection.
            self._complete()
        else:
            when = "in the middle of its answer" if self._has_head else "before it answered"
            self._fail(f"{self.origin} closed the connection {when}")

    def _break(self, what: str) -> None:
        self._keep_alive = False
        if not self.complete:
            self._fail(f"{self.origin} {what}")
