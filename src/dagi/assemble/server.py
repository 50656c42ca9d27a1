"""The server of a process: its listening sockets, and how it ends."""

import asyncio
import socket
from collections.abc import Callable, Collection
from typing import Final

from dagi.assemble.accepting import Acceptor, Guest
from dagi.services.http1.connection import Connection
from dagi.services.http1.service import Service

# How long requests that were cut off may take to write that down.
_LAST_S: Final = 5.0


class Server:
    """Serves until it is told to stop, and then finishes what it has begun.

    Args:
        shutdown_s: how long that may take.
        most: how many connections are open at once.
        ready: called once the first request could be answered.
    """

    def __init__(self, service: Service, shutdown_s: float, most: int, ready: Callable[[], None]) -> None:
        self._service = service
        self._shutdown_s = shutdown_s
        self._most = most
        self._ready = ready
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()

    def stop(self) -> None:
        """Take nobody any more; said again: wait for nobody either."""
        (self._hurrying if self._stopping.is_set() else self._stopping).set()

    async def serve(self, listeners: Collection[socket.socket]) -> None:
        """Answer on listening sockets until told to stop. They are closed afterwards."""
        loop = asyncio.get_running_loop()
        observer = self._service.observer
        acceptors = [Acceptor(one, lambda: Connection(self._service, loop), self._guests, self._most, observer) for one in listeners]
        try:
            self._ready()
            await self._stopping.wait()
        finally:
            for acceptor in acceptors:
                acceptor.close()
            for listener in listeners:
                listener.close()
        await self._finish()

    async def _finish(self) -> None:
        service = self._service
        service.closing = True
        for connection in tuple(service.connections):
            connection.end()
        gone, hurrying = asyncio.create_task(service.gone()), asyncio.create_task(self._hurrying.wait())
        await asyncio.wait({gone, hurrying}, timeout=self._shutdown_s, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        for connection in tuple(service.connections):
            connection.abandon()
        await asyncio.wait({gone}, timeout=_LAST_S)
        gone.cancel()

    def _guests(self) -> Collection[Guest]:
        return self._service.connections
