"""Requests as bytes. Never awaits."""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from dagi.ports.http import HttpFailure, HttpRequest

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE_URL = re.compile(r"[\x00-\x20\x7f]")
# The client alone decides about framing, and asks for no compression, which would delay tokens.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade"})


class Origin(NamedTuple):
    """Where a connection goes."""

    tls: bool
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Place(NamedTuple):
    """A parsed URL: the origin, the request target, the Host header."""

    origin: Origin
    target: str
    host: str


def encoded(request: HttpRequest) -> tuple[Origin, bytes]:
    """The request's origin and its bytes, head and body.

    Raises:
        HttpFailure: the URL or a header cannot be sent. The sentence holds neither, for both may contain secrets.
    """
    origin, head = _head(request.method, request.url, tuple(request.headers.items()))
    if request.body or request.method in {"POST", "PUT", "PATCH"}:
        return origin, b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(request.body), request.body)
    return origin, b"%b\r\n\r\n" % head


# A provider's requests differ in their bodies alone.
@lru_cache(maxsize=256)
def _head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    place = _place(url)
    if not _TOKEN.fullmatch(method):
        raise HttpFailure("the request's method is not a token")
    if method == "HEAD":
        raise HttpFailure("HEAD is not supported: its answers have no body though they announce one")
    lines = [f"{method} {place.target} HTTP/1.1\r\nHost: {place.host}"]
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise HttpFailure("a header of the request has an invalid name")
        if _UNSAFE_VALUE.search(value):
            raise HttpFailure(f"the request's header {name} holds a line break or a control character")
        if name.lower() not in _OURS:
            lines.append(f"{name}: {value}")
    try:
        return place.origin, "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        raise HttpFailure("a header of the request holds a character outside latin-1") from None


def _place(url: str) -> Place:
    if _UNSAFE_URL.search(url):
        raise HttpFailure("the request's URL holds a space or a control character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host:
            host = host.encode("idna" if not host.isascii() else "ascii").decode()
    except ValueError:
        raise HttpFailure("the request's URL is not valid") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise HttpFailure("the request's URL is not an absolute http or https URL")
    if parts.username is not None:
        raise HttpFailure(f"the URL of {host} holds credentials; put them into a header")
    tls = parts.scheme == "https"
    origin = Origin(tls, host, port or (443 if tls else 80))
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    bare = str(origin).rpartition(":")[0]
    return Place(origin, path + query, str(origin) if port else bare)
