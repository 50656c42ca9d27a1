"""One connection of a caller: its requests one after the other, each answered before the next is begun."""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Final, cast

from dagi.services.face import Answer, BrokenOff, Headers
from dagi.services.http1.encoding import CONTINUE, LAST_CHUNK, bare, chunk, head
from dagi.services.http1.requests import Requests, Unreadable
from dagi.services.http1.service import Service, Visit

_LINGER_S: Final = 5.0
# Requests that wait behind the one being answered, until nothing more is read.
_AHEAD: Final = 8


class Connection(asyncio.Protocol):
    """Begins one request at a time, and gives its caller the service's bounds of time.

    The one timer is never moved, which would cost more than reading a short request: it rings, and looks whether the time is over really.
    """

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._transport = cast("asyncio.Transport", None)
        self._requests = Requests(service, self._visit, self._welcome)
        # Until when what is being read may take; `_timed` is the request it was set for.
        self._due = 0.0
        self._timed = (0, "rest")
        self._timer: asyncio.TimerHandle | None = None
        # What is answered, and what waits for that.
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Visit] = deque()
        # Nothing is read any more; nobody is there any more.
        self._last = False
        self._gone = False
        # What is being written.
        self.begun = False
        self._chunks = False
        self._start = b""
        self._pieces: list[bytes] = []
        self._visited: Visit | None = None
        self.full = False
        self._room: asyncio.Future[None] | None = None
        self._stall: asyncio.TimerHandle | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's transports are not subclasses of asyncio.Transport; they switch Nagle's algorithm off by themselves.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._requests.peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._service.connections.add(self)
        self._wait(self._service.bounds.rest_s)
        if self._service.closing:
            self.leave()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._last:
            return
        try:
            self._requests.feed(data)
        except Unreadable as problem:
            self._refuse(problem.status)
            return
        phase, number = self._requests.phase, self._requests.number
        if phase != "rest":
            if self._timed != (number, phase):
                self._timed = (number, phase)
                self._wait(self._service.bounds.of(phase))
        elif self._task is None and self._timed == (number, "body"):
            # What was refused before it was complete is complete.
            self._timed = (number, phase)
            self._wait(self._service.bounds.rest_s)

    def eof_received(self) -> bool:
        """See asyncio.Protocol. Whoever says no more is taken to have left."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self._gone = self._last = True
        self._waiting.clear()
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._timer = self._stall = None
        self._requests.close()
        if self._task is None:
            self._service.left(self)
        else:
            self._task.add_done_callback(lambda _: self._service.left(self))
            self._task.cancel()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self.full = True
        self._watch_writing()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.full = False
        if not self._transport.is_closing():
            self._unwatch_writing()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # What the server asks of it.

    def rests_until(self) -> float | None:
        """See `dagi.assemble.accepting.Guest`."""
        # Whoever does not take its answer is let go for that, and somebody who is being answered stays.
        return None if self._task is not None or self._stall is not None else self._due

    def leave(self) -> None:
        """See `dagi.assemble.accepting.Guest`."""
        self._last = True
        self._transport.close()
        self._watch_writing()

    def end(self) -> None:
        """The service closes: leave now, or with the answer that is being made."""
        if self._task is None:
            self.leave()

    def abandon(self) -> None:
        """The service can wait no longer."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    # Answering.

    def _visit(self, visit: Visit) -> None:
        if self._last:
            return
        if self._task is None:
            self._task = self._loop.create_task(self._answer(visit))
            return
        self._waiting.append(visit)
        if len(self._waiting) == _AHEAD:
            self._transport.pause_reading()

    def _welcome(self) -> None:
        """Tell a caller who asks first that its body is wanted, as soon as it is its turn."""
        if self._requests.expects and self._task is None:
            self._requests.expects = False
            self._transport.write(CONTINUE)

    async def _answer(self, visit: Visit) -> None:
        self.begun = False
        self._visited = visit
        close = visit.close
        try:
            answer = await self._service.answer(visit, self)
            if self.begun:
                close = self._ended()
            else:
                close = close or self._service.closing
                self._whole(visit, answer, close=close)
            if self.full:
                await self.room()
        except asyncio.CancelledError:
            if self._gone:
                # The caller has left; there is nobody to answer.
                return
            raise
        except BrokenOff:
            # Without the last chunk nobody can take it for a whole answer.
            self._send()
            close = True
        except Exception as error:  # noqa: BLE001 - the process edge: a defect of ours must not take the server down
            answer = self._service.defect(error, visit)
            self._send()
            if not self.begun:
                self._whole(visit, answer, close=True)
            close = True
        self._task = None
        if close or self._service.closing or (self._last and not self._waiting):
            self._part()
        else:
            self._next()

    def _part(self) -> None:
        """The last answer is written: leave, once the caller has stopped talking, for a reset would take the answer from it."""
        if self._requests.phase == "rest" or self._service.closing or self._transport.is_closing():
            self.leave()
        else:
            self._last = True
            self._transport.write_eof()
            self._watch_writing()
            self._wait(_LINGER_S)

    def _whole(self, visit: Visit, answer: Answer, *, close: bool) -> None:
        start = head(answer, visit.request.id, self._service.date(), close=close, chunked=False)
        self.begun = True
        self._transport.write(start if visit.request.method == "HEAD" else start + answer.body)

    def _ended(self) -> bool:
        """A live answer is complete; whether the connection is over with it."""
        self._send()
        visit = self._visited
        if visit is None or not visit.chunks:
            return True
        self._transport.write(LAST_CHUNK)
        return visit.close

    # A live answer; see `dagi.services.face.Line`.

    def begin(self, headers: Headers) -> None:
        """See `Line`. To a caller who knows no chunks the end of the connection is the end of the answer."""
        visit = self._visited
        if visit is not None:
            close = visit.close or not visit.chunks
            answer = Answer(headers=headers)
            self._start = head(answer, visit.request.id, self._service.date(), close=close, chunked=visit.chunks, endless=True)
            self._chunks = visit.chunks
            self.begun = True
            self._loop.call_soon(self._send)

    def write(self, data: bytes) -> None:
        """See `Line`. What is written within one turn of the loop goes out in one piece, for each costs a system call."""
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)

    def _send(self) -> None:
        pieces, start = self._pieces, self._start
        if self._gone or not (pieces or start):
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._start = b""
        self._transport.write(start + (chunk(data) if self._chunks else data))

    async def room(self) -> None:
        """See `Line`."""
        while self.full:
            self._room = self._loop.create_future()
            try:
                await self._room
            finally:
                self._room = None

    def _next(self) -> None:
        if self._waiting:
            if len(self._waiting) == _AHEAD:
                self._transport.resume_reading()
            self._task = self._loop.create_task(self._answer(self._waiting.popleft()))
            return
        # What began while the answer before it was made has its time from now on.
        self._wait(self._service.bounds.of(self._requests.phase))
        self._welcome()

    # Times.

    def _wait(self, seconds: float) -> None:
        """What is read now has so long."""
        self._due = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= self._due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is not None:
            # Its caller waits for us, not we for it; afterwards the time is set anew.
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._ring)
        elif self._requests.phase == "head" and not self._last:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif self._last or self._requests.phase == "rest" or not self._requests.late():
            self.leave()

    def _watch_writing(self) -> None:
        """A closed connection, too, stays until everything has been taken from it: for ever, if nobody sees to it."""
        left = self._transport.get_write_buffer_size()
        if left and self._stall is None:
            self._stall = self._loop.call_later(self._service.bounds.unread_s, self._stalled, left)

    def _unwatch_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self, before: int) -> None:
        self._stall = None
        if self._transport.get_write_buffer_size() < before:
            self._watch_writing()
        else:
            self._transport.abort()

    def _refuse(self, status: HTTPStatus) -> None:
        """What came is no request, or none in time."""
        # No answer to an earlier request may be cut by ours; where one is under way it is the last.
        if self._task is None and not self._last:
            self._transport.write(bare(status))
            self.leave()
        self._last = True
