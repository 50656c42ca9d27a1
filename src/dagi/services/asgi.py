"""From an ASGI server to a face and back: reading bodies within limits, sending answers, noticing callers who left.

The ASGI specification (asgi.readthedocs.io, HTTP protocol 2.x) gives the shapes of scope, receive and send.
"""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeVar

import msgspec

from dagi.errors import DagiError, Internal, Invalid, PayloadTooLarge
from dagi.ports.observer import Observer
from dagi.services.errors import encode, error_body, error_headers, status_of
from dagi.services.face import JSON, Answer, Request, Table

T = TypeVar("T")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ONCE: Final = frozenset({b"host", b"authorization", b"content-type", b"content-length", b"origin", b"x-request-id"})
_IDS_AT_ONCE: Final = 256
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")


class BodyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a body is read, and how long that may take."""

    max_bytes: int
    timeout_s: float


class Inbound(Protocol):
    """What a server may put into the scope's extensions as `dagi.inbound`, to spare each request a task and a timer."""

    def whole_body(self) -> bytes | None:
        """The body, where all of it has come already; it is given once. None: it has to be received."""
        ...

    def on_departure(self, callback: Callable[[], None] | None) -> None:
        """Call this when the caller hangs up; None when nobody wants to know any more."""
        ...


INBOUND: Final = "dagi.inbound"


class CallerGone(Exception):
    """The caller hung up; there is nobody to answer."""


class AsgiFace:
    """An ASGI application over a table of endpoints."""

    def __init__(self, table: Table, limits: BodyLimits, observer: Observer) -> None:
        self._table = table
        self._limits = limits
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer the server's lifespan."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        try:
            if len(headers) < len(scope["headers"]):
                _check_repeated(scope["headers"])
            answer = await self._answer(scope, headers, request_id, receive)
        except CallerGone:
            return
        except DagiError as error:
            if not error.accounted:
                client = scope.get("client")
                peer = client[0] if client else None
                self._observer.note("refused", request_id=request_id, path=_shown_path(scope), peer=peer, code=error.code)
            answer = error_answer(error, request_id)
        except Exception as error:  # noqa: BLE001 - the process edge: a defect of ours must not take the server down
            self._observer.note("internal_error", level="error", request_id=request_id, path=_shown_path(scope), exc_info=error)
            answer = error_answer(Internal("An internal error occurred."), request_id)
        await _send(answer, request_id, scope, receive, send)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], request_id: str, receive: Receive) -> Answer:
        endpoint = self._table.find(scope["method"], scope["path"])
        inbound = _inbound(scope)
        body = await self._read(headers, inbound, receive) if endpoint.method in {"POST", "PUT", "PATCH"} else b""
        client = scope.get("client")
        request = Request(
            id=request_id,
            method=endpoint.method,
            path=scope["path"],
            headers=headers,
            peer=client[0] if client else "",
            query=scope.get("query_string", b""),
            body=body,
        )
        return await _unless_gone(endpoint.handler(request), inbound, receive)

    async def _read(self, headers: dict[bytes, bytes], inbound: Inbound | None, receive: Receive) -> bytes:
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._limits.max_bytes:
            raise _too_large(self._limits.max_bytes)
        whole = inbound.whole_body() if inbound is not None else None
        if whole is not None:
            self._check_size(len(whole))
            return whole
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                while more:
                    event = await self._receive(receive)
                    parts.append(event.get("body", b""))
                    size += len(parts[-1])
                    more = event.get("more_body", False)
                    self._check_size(size)
        except TimeoutError as error:
            raise Invalid(f"The body did not arrive within {self._limits.timeout_s:g} s.", field="body") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _receive(self, receive: Receive) -> MutableMapping[str, Any]:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise CallerGone
        return event

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise _too_large(self._limits.max_bytes)


def _shown_path(scope: Scope) -> str:
    """The path as it was sent, so without what steers a terminal."""
    return scope.get("raw_path", b"")[:200].decode("ascii", "replace")


def _check_repeated(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """A header that decides who calls or what is sent counts once: two readers could each believe another one."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and name in _ONCE:
            raise Invalid(f"The header {name.decode()} is there more than once.", field=name.decode())
        seen.add(name)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than the {limit} bytes this server reads (server.max_body_bytes).", max_bytes=limit)


def _request_id(given: bytes | None) -> str:
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


def _inbound(scope: Scope) -> Inbound | None:
    extensions = scope.get("extensions")
    return None if extensions is None else extensions.get(INBOUND)


async def _unless_gone(work: Awaitable[T], inbound: Inbound | None, receive: Receive) -> T:
    """Do the work; when the caller hangs up meanwhile, stop it."""
    task = asyncio.current_task()
    gone = False

    def left() -> None:
        nonlocal gone
        gone = True
        if task is not None:
            task.cancel()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left()

    watcher = None
    if inbound is not None:
        inbound.on_departure(left)
    else:
        watcher = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task is not None:
            task.uncancel()
            raise CallerGone from None
        raise
    finally:
        if watcher is not None:
            watcher.cancel()
        elif inbound is not None:
            inbound.on_departure(None)


def error_answer(error: DagiError, request_id: str) -> Answer:
    """An error as an answer."""
    return Answer(status=status_of(error), headers=[JSON, *error_headers(error)], body=encode(error_body(error, request_id)))


async def _send(answer: Answer, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
    headers = [*answer.headers, (b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
    if answer.chunks is None:
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def pump() -> Answer:
        if answer.chunks is not None:
            async with aclosing(answer.chunks) as chunks:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        return answer

    try:
        await _unless_gone(pump(), _inbound(scope), receive)
    except CallerGone:
        return
    await send({"type": "http.response.body", "body": b""})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
