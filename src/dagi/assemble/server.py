"""uvicorn as we need it: says when it answers, and does not let a caller hold or fill it with an endless head."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dagi.services.asgi import AsgiFace

KEEP_ALIVE_S: Final = 75
HEAD_BYTES: Final = 64 * 1024
HEAD_S: Final = 10.0
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds on a request's head, which uvicorn leaves open: 64 KiB (and what one read brings) and ten seconds."""

    _head_bytes = 0
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    @override
    def data_received(self, data: bytes) -> None:
        began_in_head = self._in_head
        super().data_received(data)
        if not began_in_head or not self._in_head or self.transport.is_closing():
            return
        # All of it belongs to a head that has not ended yet.
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(_TOO_LARGE)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._refuse, _TOO_SLOW)

    @override
    def on_headers_complete(self) -> None:
        self._head_over()
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._head_over()
        super().connection_lost(exc)

    def _head_over(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, answer: bytes) -> None:
        self._head_over()
        # No answer to an earlier request may be cut by ours; where one is under way the connection just ends.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn with our face."""

    def __init__(self, face: AsgiFace, shutdown_s: float, ready: Callable[[], None]) -> None:
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
        self._ready = ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()
