"""What all connections of a server share: the endpoints, the bounds, who is there, and how a request becomes an answer."""

import asyncio
import re
import secrets
import time
from collections import deque
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from dagi.errors import DagiError, Denied, Internal, Overloaded
from dagi.ports.audit import Denial, Denials
from dagi.ports.observer import Observer
from dagi.services.errors import encode, error_body, error_headers, openai_error, speaks_openai, status_of
from dagi.services.face import JSON, Answer, Handler, Line, Request, Table

if TYPE_CHECKING:
    from dagi.services.http1.connection import Connection

# What of a request is being read.
Phase = Literal["rest", "head", "body"]
_IDS_AT_ONCE: Final = 256
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may take of the server: bytes and seconds.

    Attributes:
        body_bytes, body_s: the largest body that is read, and how long it may take to arrive.
        body_key: the key of the configuration that says how large it may be.
        head_bytes, head_s: the same for a request's head, the time from its first byte; also what follows a chunked body.
        rest_s: how long a connection may say nothing.
        unread_s: how long a caller may take nothing of an answer. Whoever takes nothing has left, for a stream that waits for it keeps a
            provider's place from others.
    """

    body_bytes: int
    body_s: float
    body_key: str = "server.max_body_bytes"
    head_bytes: int = 64 * 1024
    head_s: float = 10.0
    rest_s: float = 75.0
    unread_s: float = 30.0

    def of(self, phase: Phase) -> float:
        """How long what is being read may take."""
        return self.rest_s if phase == "rest" else self.head_s if phase == "head" else self.body_s


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what is known of it before anybody answers.

    Attributes:
        target: the request target as it was sent.
        close: the connection ends with its answer.
        chunks: whether the caller understands a body in chunks.
    """

    request: Request
    handler: Handler
    target: bytes
    close: bool = False
    chunks: bool = True

    @property
    def shown(self) -> str:
        """The target for a log, as it was sent, so without what steers a terminal."""
        return self.target.partition(b"?")[0][:200].decode("ascii", "replace")


class Service:
    """A table of endpoints, served.

    Args:
        denials: where those are written down that no exchange tells of.

    Attributes:
        connections: those that are open.
        closing: whether each connection is to end after the request it has.
    """

    def __init__(self, table: Table, bounds: Bounds, observer: Observer, denials: Denials | None = None) -> None:
        self.table = table
        self.bounds = bounds
        self.observer = observer
        self._denials = denials
        self.connections: set[Connection] = set()
        self.closing = False
        self._empty = asyncio.Event()
        self._second = 0
        self._date = b""

    async def answer(self, visit: "Visit", line: Line) -> Answer:
        """What the endpoint says, be it that it refuses; a live answer has been written to the line afterwards."""
        try:
            answer = await visit.handler(visit.request)
            if answer.live is not None:
                await answer.live(line)
            return answer
        except DagiError as error:
            return error_answer(self._told(error, visit), visit.request.id, visit.shown)

    def _told(self, error: DagiError, visit: "Visit") -> DagiError:
        """The error, after operators have been told of it as far as nobody has done so yet."""
        request = visit.request
        if error.accounted:
            return error
        self.observer.note("refused", request_id=request.id, path=visit.shown, peer=request.peer or None, code=error.code)
        if isinstance(error, Denied) and error.whose is not None and not error.audited and self._denials is not None:
            try:
                self._denials.denied(Denial.of(error, error.whose, request.id))
            except Overloaded as full:
                return full
        return error

    def defect(self, error: Exception, visit: "Visit") -> Answer:
        """Note a defect of ours. All the caller learns is the request's id."""
        self.observer.note("internal_error", level="error", request_id=visit.request.id, path=visit.shown, exc_info=error)
        return error_answer(Internal("An internal error occurred."), visit.request.id, visit.shown)

    def left(self, connection: "Connection") -> None:
        """The connection is over, and so is what was done for it."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def gone(self) -> None:
        """Wait until nobody is there."""
        while self.connections:
            self._empty.clear()
            await self._empty.wait()

    def date(self) -> bytes:
        """The value of the header Date (RFC 9110, 6.6.1); it changes once a second."""
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, formatdate(now, usegmt=True).encode()
        return self._date


def error_answer(error: DagiError, request_id: str, path: str) -> Answer:
    """An error as an answer, in the shape that callers of the path expect."""
    told = openai_error(error, request_id) if speaks_openai(path) else error_body(error, request_id)
    return Answer(status=status_of(error), headers=[JSON, *error_headers(error)], body=encode(told))


def request_id(given: bytes | None) -> str:
    """The caller's own id of its request, where it is one; a new one otherwise."""
    if given is not None and _REQUEST_ID.match(given):
        return given.decode()
    return _fresh_id()


_randomness: deque[str] = deque()


def _fresh_id() -> str:
    # The kernel is asked for many at once: a system call for each would cost more than reading the request.
    if not _randomness:
        text = secrets.token_hex(16 * _IDS_AT_ONCE)
        _randomness.extend(text[at : at + 32] for at in range(0, len(text), 32))
    return _randomness.popleft()
