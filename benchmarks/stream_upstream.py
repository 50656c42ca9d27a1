"""A model server that does nothing but stream: every answer in twenty frames of about 260 bytes, some time apart, on bare uvloop.

`python stream_upstream.py --gap-ms 1` writes its address as the first line.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Coroutine
from typing import cast

import uvloop

CHUNKS = 20
# Together the answer; each makes a frame of about 260 bytes.
WORDS = [f"word {number:02d} of an answer about gardens, kitchens and markets" for number in range(CHUNKS - 1)]
TEXT = "".join(WORDS)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n"
_ENDS_HEAD = b"\r\n\r\n"


def _frame(**parts: object) -> bytes:
    chunk = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "scripted", **parts}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _choice(delta: dict[str, object], finish_reason: str | None = None) -> list[object]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_USAGE = {"prompt_tokens": 57, "completion_tokens": CHUNKS, "total_tokens": 57 + CHUNKS}
_TOLD = [
    _piece(_frame(choices=_choice({"role": "assistant", "content": WORDS[0]}))),
    *(_piece(_frame(choices=_choice({"content": word}))) for word in WORDS[1:]),
    _piece(_frame(choices=_choice({}, "stop"))),
]
_COUNTED = _piece(_frame(choices=[], usage=_USAGE))
_DONE = _piece(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection; a request after the other."""

    gap_s = 0.001

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._counted = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += data
        head, found, body = self._received.partition(_ENDS_HEAD)
        if not found or len(body) < _length(head):
            return
        self._counted = b"include_usage" in body
        self._received = b""
        self._write(_HEAD + _TOLD[0])
        self._loop.call_later(self.gap_s, self._tell, 1)

    def _tell(self, number: int) -> None:
        if number < len(_TOLD):
            self._write(_TOLD[number])
            self._loop.call_later(self.gap_s, self._tell, number + 1)
        else:
            self._write(_COUNTED + _DONE if self._counted else _DONE)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def _serve(gap_ms: float) -> None:
    Connection.gap_s = gap_ms / 1000
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gap-ms", type=float, default=1.0, help="between frames")
    work: Coroutine[object, object, None] = _serve(parser.parse_args().gap_ms)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    sys.exit(main())
