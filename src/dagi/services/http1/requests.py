"""A caller's bytes become visits. Never awaits; whoever holds the connection says when time is over."""

from collections.abc import Callable
from http import HTTPStatus

import httptools

from dagi.errors import DagiError, Invalid, PayloadTooLarge
from dagi.services.face import Answer, Handler, Request
from dagi.services.http1.heads import read_headers, split_target
from dagi.services.http1.service import Phase, Service, Visit, request_id


class Unreadable(Exception):
    """What came is no request, or more than one may be; nothing behind it can be read."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Requests:
    """Reads the requests of one connection, within the service's bounds.

    A request that can be refused by its head is visited at once; what still comes of its body is read over.

    Args:
        visit: called with each request that is complete, or refused.
        welcome: called when a head is accepted whose body is still to come.

    Attributes:
        phase: what is being read: nothing, the head of a request, or its body.
        number: how many requests have begun.
        expects: the caller sends its body when it is told to (RFC 9110, 10.1.1).
    """

    def __init__(self, service: Service, visit: Callable[[Visit], None], welcome: Callable[[], None]) -> None:
        self.phase: Phase = "rest"
        self.number = 0
        self.expects = False
        self.peer = ""
        self._service = service
        self._tell = visit
        self._welcome = welcome
        self._parser = httptools.HttpRequestParser(self)
        self._unreadable: HTTPStatus | None = None
        self._replaying = False
        self._head_bytes = 0
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._headers: dict[bytes, bytes] = {}
        self._method, self._path, self._query = "", "", b""
        self._handler: Handler | None = None
        self._body: bytes | bytearray = b""
        self._close = False

    def feed(self, data: bytes) -> None:
        """Take what has come.

        Raises:
            Unreadable: it is no request of HTTP/1.1, or its head is too long. Requests before it have been visited.
        """
        size, number = len(data), self.number
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._stay()
            except httptools.HttpParserError:
                raise Unreadable(self._unreadable or HTTPStatus.BAD_REQUEST) from None
            else:
                break
        # Where the head began within this read, it cannot be told how much of it is the head's.
        if self.phase == "head" and number == self.number:
            self._count(size)
        if self._unreadable is not None:
            raise Unreadable(self._unreadable)

    def late(self) -> bool:
        """The body has not come in time: refuse the request, unless it is refused already."""
        if self._handler is None:
            return False
        self._close = True
        self._refuse(Invalid(f"The body did not arrive within {self._service.bounds.body_s:g} s.", field="body"))
        return True

    def close(self) -> None:
        """Nothing comes any more."""
        # The parser knows us and we know it; that is a circle.
        del self._parser

    # What the parser calls.

    def on_message_begin(self) -> None:
        """See httptools."""
        if self._replaying:
            return
        self.phase = "head"
        self.number += 1
        self._head_bytes = 0
        self._target = b""
        self._fields = []

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        if not self._replaying:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Trailers come this way too; nothing reads them, so nothing keeps them."""
        if self.phase == "head":
            self._fields.append((name.lower(), value))
        elif not self._replaying:
            self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """See httptools."""
        if self._replaying:
            return
        self.phase = "body"
        self._head_bytes = 0
        self._body = b""
        self._headers = {}
        self._path, self._query = "", b""
        self._method = self._parser.get_method().decode("ascii")
        self._close = not self._parser.should_keep_alive()
        self.expects = False
        try:
            self._read_head()
        except DagiError as error:
            self._refuse(error)
            return
        if b"expect" in self._headers:
            self.expects = self._headers[b"expect"].lower() == b"100-continue" and self._parser.get_http_version() == "1.1"
            self._welcome()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self._handler is None:
            return
        if len(self._body) + len(body) > self._service.bounds.body_bytes:
            self._refuse(self._too_large())
        elif not self._body:
            self._body = body
        else:
            # Not a list: a body in chunks of a few bytes would take twenty times its size.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._parser.should_upgrade() and self._has_body():
            # The parser leaves the body to the other protocol.
            return
        self.phase = "rest"
        self.expects = False
        handler, self._handler = self._handler, None
        if handler is not None:
            body, self._body = bytes(self._body), b""
            self._visit(handler, body)

    # One request.

    def _read_head(self) -> None:
        self._headers = read_headers(self._fields)
        if b"host" not in self._headers and self._parser.get_http_version() == "1.1":
            raise Invalid("The header host is missing.", field="host")
        if b"transfer-encoding" in self._headers and self._parser.get_http_version() != "1.1":
            # Who stands between may have taken something else for the body's end (RFC 9112, 6.1).
            self._close = True
            raise Invalid("The header transfer-encoding is none of HTTP/1.0.", field="transfer-encoding")
        self._path, self._query = split_target(self._target)
        endpoint = self._service.table.find(self._method, self._path)
        declared = self._headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._service.bounds.body_bytes:
            raise self._too_large()
        self._handler = endpoint.handler

    def _too_large(self) -> PayloadTooLarge:
        bounds = self._service.bounds
        limit = bounds.body_bytes
        return PayloadTooLarge(f"The body is larger than the {limit} bytes this server reads ({bounds.body_key}).", max_bytes=limit)

    def _refuse(self, error: DagiError) -> None:
        # Whoever asks before it sends a body need not send it after a refusal, and then what follows cannot be told apart.
        self._close = self._close or b"expect" in self._headers
        self._handler, self._body = None, b""
        self._visit(_refusing(error), b"")

    def _visit(self, handler: Handler, body: bytes) -> None:
        if self._unreadable is not None:
            return
        request = Request(
            id=request_id(self._headers.get(b"x-request-id")),
            method=self._method,
            path=self._path,
            headers=self._headers,
            peer=self.peer,
            query=self._query,
            body=body,
        )
        chunks = self._parser.get_http_version() == "1.1"
        self._tell(Visit(request=request, handler=handler, target=self._target, close=self._close, chunks=chunks))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._service.bounds.head_bytes:
            self._unreadable = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE

    def _has_body(self) -> bool:
        return b"transfer-encoding" in self._headers or self._headers.get(b"content-length", b"0").strip(b"0") != b""

    def _stay(self) -> None:
        """Nobody has to follow a wish for another protocol (RFC 9110, 7.8): the body comes next, and the next request after it."""
        self._parser = httptools.HttpRequestParser(self)
        if self.phase == "body":
            framing = [(name, self._headers[name]) for name in (b"content-length", b"transfer-encoding") if name in self._headers]
            self._replaying = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % field for field in framing]))
            self._replaying = False


def _refusing(error: DagiError) -> Handler:
    async def refuse(_request: Request) -> Answer:
        raise error

    return refuse
