"""uvicorn as we need it: says when it answers, and does not let a caller hold or fill it with an endless head."""

import asyncio
import socket
from collections.abc import Callable, Collection
from typing import Final, cast

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dagi.assemble.accepting import Acceptor, Guest
from dagi.ports.observer import Observer
from dagi.services.asgi import INBOUND, AsgiFace

KEEP_ALIVE_S: Final = 75
HEAD_BYTES: Final = 64 * 1024
HEAD_S: Final = 10.0
UNREAD_S: Final = 30.0
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Arrived:
    """One request as its connection has it; see `dagi.services.asgi.Inbound`."""

    def __init__(self, protocol: "GuardedProtocol", cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle

    def whole_body(self) -> bytes | None:
        """See `Inbound`."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.flow.read_paused:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def on_departure(self, callback: Callable[[], None] | None) -> None:
        """See `Inbound`."""
        self._protocol.departure = callback
        self._protocol.answered = self._cycle if callback is not None else None
        if callback is not None and self._cycle.disconnected:
            callback()


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds that uvicorn leaves open: a head (and what follows a chunked body) has 64 KiB and what one read brings, a head
    ten seconds from its first byte, a new connection as long to begin one as an idle one; a caller who takes nothing of an answer for
    half a minute has left, for a stream that waits for it keeps a provider's place from others.
    """

    _in_head = False
    _heads = 0
    _head_bytes = 0
    _tail_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    # Called when the caller hangs up while it waits for an answer.
    departure: Callable[[], None] | None = None
    # The request that is being answered; uvicorn itself only knows the one that was read last, which pipelining makes another.
    answered: RequestResponseCycle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._timer = self.loop.call_later(KEEP_ALIVE_S, self._too_slow)

    @override
    def on_message_begin(self) -> None:
        self._in_head = True
        self._heads += 1
        self._head_bytes = self._tail_bytes = 0
        super().on_message_begin()

    @override
    def data_received(self, data: bytes) -> None:
        head, rest = self._heads if self._in_head else None, self.timeout_keep_alive_task
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._in_head:
            if rest is not None and not self._answering():
                # An empty line, or the rest of a body that was answered early, is no request: the time at rest goes on.
                self._unset_keepalive_if_required()
                self.timeout_keep_alive_task = self.loop.call_at(rest.when(), self.timeout_keep_alive_handler)
            return
        if head != self._heads:
            # The head began within this read; how much of it is the head's cannot be told.
            self._arm()
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(_TOO_LARGE)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
            return
        # A trailer: nothing reads it, so nothing keeps it.
        self._tail_bytes += len(name) + len(value)
        if self._tail_bytes > HEAD_BYTES:
            self._refuse(_TOO_LARGE)

    @override
    def on_headers_complete(self) -> None:
        self._head_over()
        super().on_headers_complete()
        # The task of the request has been made and not begun yet.
        self.scope["extensions"] = {INBOUND: Arrived(self, self.cycle)}  # pyright: ignore[reportGeneralTypeIssues]

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writing()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._unwatch_writing()

    @override
    def timeout_keep_alive_handler(self) -> None:
        self.leave()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._head_over()
        self._unwatch_writing()
        # uvicorn does so only where the caller has closed in good order.
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        if self.answered is not None:
            self.answered.disconnected = True
        if self.departure is not None:
            self.departure()

    def rests_until(self) -> float | None:
        """See `dagi.assemble.accepting.Guest`."""
        if self._answering():
            # Its body has a time of its own, which is as long as a head's unless somebody has set another. Where another waits in line
            # the one before it is being answered.
            return self.loop.time() + HEAD_S if self.cycle.more_body and not self.pipeline else None
        if self._stall is not None:
            # It still takes its answer, or will be let go for not doing so.
            return None
        timer = self._timer or self.timeout_keep_alive_task
        return 0.0 if timer is None else timer.when()

    def leave(self) -> None:
        """See `dagi.assemble.accepting.Guest`."""
        self.transport.close()
        self._watch_writing()

    def _watch_writing(self) -> None:
        """A closed connection, too, stays until everything has been taken from it: for ever, if nobody sees to it."""
        left = self.transport.get_write_buffer_size()
        if left and self._stall is None:
            self._stall = self.loop.call_later(UNREAD_S, self._stalled, left)

    def _unwatch_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self, before: int) -> None:
        self._stall = None
        if self.transport.get_write_buffer_size() < before:
            self._watch_writing()
        else:
            self.transport.abort()

    def _arm(self) -> None:
        self._disarm()
        self._timer = self.loop.call_later(HEAD_S, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_over(self) -> None:
        self._in_head = False
        self._disarm()

    def _too_slow(self) -> None:
        if self._answering():
            # Reading may rest until the answer before it is over; the next head's time begins then.
            self._arm()
        else:
            self._refuse(_TOO_SLOW)

    def _answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _refuse(self, answer: bytes) -> None:
        self._head_over()
        # No answer to an earlier request may be cut by ours; where one is under way the connection just ends.
        if not self._answering():
            self.transport.write(answer)
        self.leave()


class Server(uvicorn.Server):
    """uvicorn with our face, and its own way of taking connections.

    Args:
        most: how many connections are open at once.
        ready: called once the first request could be answered.
    """

    def __init__(self, face: AsgiFace, shutdown_s: float, observer: Observer, most: int, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                face,
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                http=GuardedProtocol,
                ws="none",
                lifespan="off",
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(shutdown_s)),
            )
        )
        self._observer = observer
        self._most = most
        self._ready = ready
        self._acceptors: list[Acceptor] = []

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Without a socket it only gets ready.
        await super().startup(sockets=[])
        for one in sockets or ():
            self._acceptors.append(Acceptor(one, self._protocol, self._guests, self._most, self._observer))
        self._ready()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets=sockets)

    def _protocol(self) -> GuardedProtocol:
        return GuardedProtocol(self.config, self.server_state, self.lifespan.state)

    def _guests(self) -> Collection[Guest]:
        return cast("set[GuardedProtocol]", self.server_state.connections)
