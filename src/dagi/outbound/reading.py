"""The answer on a connection, as whoever asked reads it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from types import TracebackType

from dagi.outbound.request import Origin
from dagi.ports.http import HttpFailure


class Reading:
    """What has come of an answer, and waiting for more of it.

    Attributes:
        complete: the whole answer has been received.
    """

    def __init__(self, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self.origin = origin
        self.complete = False
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: str | None = None
        self._forget()

    def _forget(self) -> None:
        self.status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._framing = 0
        self._has_head = False
        self._keep_alive = False
        self._paused = False
        self._abandoned = False
        self._take: Callable[[bytes], bool] | None = None
        self.defect: BaseException | None = None
        self._stopped = False

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body's bytes as they arrive.

        Raises:
            HttpFailure: the connection broke before the body's end.
        """
        while True:
            if self._chunks:
                data = self._taken()
                self._resume()
                yield data
            elif self.complete:
                return
            else:
                self._check()
                await self._change()

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """Hand the body's bytes over as they arrive, until it is over (True) or `take` wants no more (False).

        Raises:
            HttpFailure: the connection broke before the body's end.
        """
        while True:
            if self._chunks and not take(self._taken()):
                return False
            self._resume()
            if self.complete and self.defect is None:
                return True
            self._check()
            self._take = take
            try:
                await self._change()
            finally:
                self._take = None
            if self._stopped:
                self._stopped = False
                return False

    def _pour_now(self, take: Callable[[bytes], bool]) -> None:
        """Hand over what one read has brought. A defect of whoever takes it comes out where it was poured, not in the loop."""
        with _Carrying(self):
            if take(self._taken()):
                return
            self._stopped = True
        self._take = None
        self._wake()

    def _taken(self) -> bytes:
        data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        return data

    async def rest(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            HttpFailure: the connection broke before the body's end, or the body is longer than `limit` bytes.
        """
        parts: list[bytes] = []
        size = 0
        while True:
            while self._chunks:
                parts.append(self._chunks.popleft())
                size += len(parts[-1])
            if size > limit:
                raise HttpFailure(f"{self.origin} answered with more than {limit} bytes")
            self._buffered = 0
            self._resume()
            if self.complete:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            self._check()
            await self._change()

    def header(self, name: str) -> str | None:
        """The first value of the header of the answer; the name in any case."""
        wanted = name.lower().encode("latin-1", "replace")
        for found, value in self._headers:
            if len(found) == len(wanted) and found.lower() == wanted:
                return value.decode("latin-1")
        return None

    def _fail(self, sentence: str) -> None:
        if self._failure is None:
            self._failure = sentence
        self._wake()

    def _check(self) -> None:
        if self.defect is not None:
            raise self.defect
        if self._failure is not None:
            raise HttpFailure(self._failure)

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._transport.resume_reading()
        self._paused = False

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _change(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class _Carrying:
    """Carries an error to whoever waits for the answer."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> bool:
        self._reading.defect = error
        return True
