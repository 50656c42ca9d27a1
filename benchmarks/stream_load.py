"""Asks for streams over many connections at once and looks at every one of them; prints one line of JSON.

`python stream_load.py '{"url": …}'` with the fields of `Order`.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Mapping
from statistics import median, quantiles
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from stream_upstream import TEXT

# One in so many is read whole, the others by their length and end; reading them all would cost the core that the upstream needs.
READ_EVERY = 25
PATIENCE_S = 60.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask.

    Attributes:
        streams: how many in all; each connection asks again as soon as its stream is over, until they are used up or `seconds` are over.
        every: read every stream whole.
    """

    url: str
    body: str
    headers: Mapping[str, str]
    connections: int
    seconds: float = 0
    streams: int = 0
    every: bool = False


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. Times are milliseconds."""

    streams: int
    bad: int
    why: str
    reconnects: int
    most_open: int
    seconds: float
    first_p50_ms: float
    first_p99_ms: float
    total_p50_ms: float
    total_p99_ms: float


class _Run:
    """Everything the connections share."""

    def __init__(self, order: Order) -> None:
        parts = urlsplit(order.url)
        self.order = order
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        body = order.body.encode()
        lines = [f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}", *(f"{name}: {value}" for name, value in order.headers.items())]
        self.request = ("\r\n".join([*lines, f"content-length: {len(body)}"]) + "\r\n\r\n").encode() + body
        self.until = time.perf_counter() + order.seconds if order.seconds else float("inf")
        self.first: list[float] = []
        self.total: list[float] = []
        self.asked = self.bad = self.reconnects = self.open = self.most_open = 0
        self.why = ""

    def more(self) -> bool:
        """Whether another stream is to be asked for; counts it."""
        if time.perf_counter() >= self.until or (self.order.streams and self.asked >= self.order.streams):
            return False
        self.asked += 1
        return True

    def failed(self, why: str) -> None:
        """One stream was not what it has to be."""
        self.bad += 1
        self.why = self.why or why[:300]


class _Connection(asyncio.Protocol):
    """One connection to what is measured."""

    def __init__(self, run: _Run) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body: list[bytes] = []
        self._sent = self._first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._parser is not None:
            self._run.open -= bool(self._first)
            self._run.failed(f"the connection ended within an answer: {exc}")
        if not self.over.done():
            self.over.set_result(None)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._parser is not None:
            self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if not self._first:
            self._first = time.perf_counter()
            self._run.open += 1
            self._run.most_open = max(self._run.most_open, self._run.open)
        self._body.append(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        run, now = self._run, time.perf_counter()
        status = 0 if self._parser is None else self._parser.get_status_code()
        stays = self._parser is not None and self._parser.should_keep_alive()
        self._parser = None
        run.open -= bool(self._first)
        body = b"".join(self._body)
        wrong = f"status {status}: {body[:200]!r}" if status != 200 else mistake(body, whole=run.order.every or run.asked % READ_EVERY == 0)
        if wrong:
            run.failed(wrong)
        else:
            run.first.append(self._first - self._sent)
            run.total.append(now - self._sent)
        if stays:
            self._ask()
        else:
            self._leave()

    def _ask(self) -> None:
        if self._transport is None or not self._run.more():
            self._leave()
            return
        self._parser, self._body, self._first = httptools.HttpResponseParser(self), [], 0.0
        self._sent = time.perf_counter()
        self._transport.write(self._run.request)

    def _leave(self) -> None:
        if self._transport is not None:
            self._transport.close()


def mistake(body: bytes, *, whole: bool) -> str:
    """What is wrong with a stream; empty for nothing."""
    if not body.endswith(b"data: [DONE]\n\n"):
        return f"no end: {body[-200:]!r}"
    pieces = body.count(b'"content"')
    if pieces < TEXT.count("word"):
        return f"only {pieces} pieces"
    if not whole:
        return ""
    text, reason = "", None
    for frame in body.removesuffix(b"data: [DONE]\n\n").split(b"\n\n"):
        choices = msgspec.json.decode(frame.removeprefix(b"data: "))["choices"] if frame.startswith(b"data: ") else []
        for choice in choices:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
    return "" if (text, reason) == (TEXT, "stop") else f"another text, or another end ({reason}): {text[:100]!r}"


async def _follow(run: _Run) -> None:
    while True:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(lambda: _Connection(run), run.host, run.port)
        except OSError as error:
            run.failed(f"no connection: {error}")
            return
        await connection.over
        if time.perf_counter() >= run.until or not run.order.seconds or run.bad > run.order.connections:
            return
        run.reconnects += 1


async def _load(order: Order) -> Seen:
    run, began = _Run(order), time.perf_counter()
    try:
        async with asyncio.timeout(order.seconds + PATIENCE_S):
            await asyncio.gather(*(_follow(run) for _ in range(order.connections)))
    except TimeoutError:
        run.failed(f"{run.open} streams had not ended {PATIENCE_S:g} s later")
    first, total = run.first or [0.0], run.total or [0.0]
    return Seen(
        streams=len(run.total),
        bad=run.bad,
        why=run.why,
        reconnects=run.reconnects,
        most_open=run.most_open,
        seconds=time.perf_counter() - began,
        first_p50_ms=median(first) * 1000,
        first_p99_ms=_slow(first) * 1000,
        total_p50_ms=median(total) * 1000,
        total_p99_ms=_slow(total) * 1000,
    )


def _slow(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]


def main() -> None:
    """Follow the order in the first argument."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    order = msgspec.json.decode(sys.argv[1].encode(), type=Order)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(msgspec.json.encode(runner.run(_load(order))).decode())


if __name__ == "__main__":
    sys.exit(main())
