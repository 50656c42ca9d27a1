"""New connections: taken many at a time, and never more than the process can hold.

libuv takes one connection a turn of its loop. Under load a turn is long, so callers who connect at the same moment wait for each other:
of a thousand beside 64 busy connections the last one was answered after 15 s, and after 0.3 s like this (measured).
"""

import asyncio
import errno
import heapq
import socket
from collections.abc import Callable, Collection
from typing import Final, Protocol

from dagi.ports.observer import Observer

AT_ONCE: Final = 64
# How long nobody is let in after the system had no room for another connection, and while everybody is being answered.
PAUSE_S: Final = 0.05
TELL_S: Final = 10.0
# Which part of all connections is closed together, so that looking for the right ones is done seldom.
SHARE: Final = 16
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Guest(Protocol):
    """A connection, as whoever needs its place sees it."""

    def rests_until(self) -> float | None:
        """When it would be closed by itself unless it says something; None while a whole request of it is being answered."""
        ...

    def leave(self) -> None:
        """Close it."""
        ...


class Acceptor:
    """Takes the connections of one listening socket.

    When `most` are there, those whose time is over soonest give way: a new caller is worth more than one who says nothing. While all of
    them are at work, new callers wait in the kernel's line.

    Args:
        protocol: makes the protocol of a new connection.
        guests: the connections that are open.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        guests: Callable[[], Collection[Guest]],
        most: int,
        observer: Observer,
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._guests = guests
        self._most = most
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._closed = 0
        self._told_at = float("-inf")
        listener.settimeout(0)
        self._resume()

    def close(self) -> None:
        """Take nobody any more; the socket stays open."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._loop.remove_reader(self._listener)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._take)

    def _rest(self) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE_S, self._resume)

    def _take(self) -> None:
        room = self._most - len(self._guests()) - len(self._coming)
        if room <= 0:
            self._make_room()
            return
        for _ in range(min(room, AT_ONCE)):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._make_room()
                    return
                # A caller who has gone again already; the next one may be there.
                continue
            connection.settimeout(0)
            task = self._loop.create_task(self._welcome(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()

    def _make_room(self) -> None:
        """Close those who would be closed soonest; their places are free in one of the next turns."""
        resting = [(until, number, guest) for number, guest in enumerate(self._guests()) if (until := guest.rests_until()) is not None]
        leaving = heapq.nsmallest(max(self._most // SHARE, 1), resting)
        for _, _, guest in leaving:
            guest.leave()
        self._closed += len(leaving)
        now = self._loop.time()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            self._observer.note("connections_full", level="warning", most=self._most, closed_at_rest=self._closed)
            self._closed = 0
        self._rest()
