"""HttpClient: requests to servers outside, for model providers and platforms."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `url` is absolute; `body` is sent as it is.

    Attributes:
        fresh: on a new connection, for servers that close those they have promised to keep (llama.cpp's after each stream).
    """

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    fresh: bool = False


class HttpFailure(Exception):
    """No usable answer came from the server: refused, unreachable, reset, TLS, broken framing. Holds a sentence without secrets."""


class HttpResponse(Protocol):
    """The head of an answer, and its body as it arrives."""

    status: int

    def header(self, name: str) -> str | None:
        """The header's first value; the name in any case."""
        ...

    def chunks(self) -> AsyncGenerator[bytes]:
        """The body's bytes as they arrive, unbuffered.

        Raises:
            HttpFailure: the connection broke before the body's end.
        """
        ...

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """The same, without a turn of the loop for each: `take` is called with the bytes in the moment they arrive.

        Args:
            take: whether it wants more now. Where it does not, the rest waits for the next `pour`. It raises nothing.

        Returns:
            Whether the body is over; False where `take` wanted no more.

        Raises:
            HttpFailure: the connection broke before the body's end.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            HttpFailure: the connection broke, or the body is longer than `limit` bytes.
        """
        ...


class HttpClient(Protocol):
    """One pooled client a process. Leaving the context closes or gives back the connection; it follows no redirects."""

    def open(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpResponse]:
        """Send the request and yield once the head of the answer is there.

        Timeouts belong to the caller: cancelling closes the connection.

        Raises:
            HttpFailure: see its docstring.
        """
        ...
