"""A scripted model server over real HTTP: OpenAI's chat completions and embeddings (`/v1`), Ollama's native API, on one port.

In a test: `async with Upstream() as upstream: …`. By hand or for a benchmark: `python -m dagi.testing.upstream --port 0`.
"""

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Self, cast

from dagi.testing import upstream_script as script
from dagi.testing.upstream_http import HttpConnection, Incoming
from dagi.testing.upstream_script import Answer, Heard, Protocol
from dagi.testing.upstream_vectors import vectors_body

__all__ = ["Answer", "Heard", "Upstream"]


class Upstream:
    """The server, and what it saw.

    Args:
        default: the script of answers nobody wrote one for.
        models: what it says it has.
        record: remember the requests; off for benchmarks.

    Attributes:
        heard: the requests, in order.
        active, most_active: answers under way now, and at most.
        disconnects: how many callers went away before their answer was over.
        connections: how many connections were accepted.
    """

    def __init__(self, *, default: Answer | None = None, models: tuple[str, ...] = ("scripted",), record: bool = True) -> None:
        self.heard: list[Heard] = []
        self.active = 0
        self.most_active = 0
        self.disconnects = 0
        self.connections = 0
        self.port = 0
        self._default = default or Answer()
        self._models = models
        self._record = record
        self._scripts: deque[Answer] = deque()
        self._server: asyncio.Server | None = None
        self._open: set[HttpConnection] = set()
        self._released = asyncio.Event()
        self._changed = asyncio.Event()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 takes a free one, which `port` tells then."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port)
        self.port = cast("int", self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and drop every connection, finished or not."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            await connection.drop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def origin(self) -> str:
        """The base URL for Ollama's API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def v1(self) -> str:
        """The base URL for OpenAI's API."""
        return f"{self.origin}/v1"

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def script(self, *answers: Answer) -> None:
        """Add the scripts of the next chat requests, one each."""
        self._scripts.extend(answers)

    def release(self) -> None:
        """Let every `hang_after` go on."""
        self._released.set()

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        """Wait until something is so on this server.

        Raises:
            TimeoutError: it did not come to be.
        """
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _connection(self) -> HttpConnection:
        self.connections += 1
        return HttpConnection(self._answer, self._closed, self._open)

    def _closed(self, unfinished: bool) -> None:  # noqa: FBT001 (a callback)
        self.disconnects += unfinished
        self._changed.set()

    async def _answer(self, incoming: Incoming) -> None:
        heard = Heard(method=incoming.method, path=incoming.path, headers=incoming.headers, body=incoming.json())
        if self._record:
            self.heard.append(heard)
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        self._changed.set()
        try:
            await self._serve(incoming, heard)
        finally:
            self.active -= 1
            self._changed.set()

    async def _serve(self, out: Incoming, heard: Heard) -> None:
        path = heard.path.partition("?")[0]
        if path.endswith("/chat/completions"):
            await self._chat(out, heard, "openai")
        elif path == "/api/chat":
            await self._chat(out, heard, "ollama")
        elif path.endswith("/embeddings"):
            await self._vectors(out, heard, "openai")
        elif path == "/api/embed":
            await self._vectors(out, heard, "ollama")
        elif path.endswith("/models"):
            await self._listing(out, "openai")
        elif path == "/api/tags":
            await self._listing(out, "ollama")
        else:
            out.send(404, {"Content-Type": "text/plain"}, b"404 page not found")

    async def _listing(self, out: Incoming, protocol: Protocol) -> None:
        answer = self._scripts.popleft() if self._scripts else Answer()
        if await self._spoiled(out, answer):
            return
        if answer.status != HTTPStatus.OK:
            out.send(answer.status, _headers("application/json", answer), script.error_body(protocol, answer))
        else:
            out.send(200, {"Content-Type": "application/json"}, answer.body or script.model_list(protocol, self._models))

    async def _vectors(self, out: Incoming, heard: Heard, protocol: Protocol) -> None:
        answer = self._scripts.popleft() if self._scripts else Answer()
        if await self._spoiled(out, answer):
            return
        headers = _headers("application/json", answer)
        if answer.status != HTTPStatus.OK:
            out.send(answer.status, headers, answer.body or script.error_body(protocol, answer))
        else:
            out.send(200, headers, answer.body or vectors_body(protocol, heard.body))

    async def _chat(self, out: Incoming, heard: Heard, protocol: Protocol) -> None:
        answer = self._scripts.popleft() if self._scripts else self._default
        if await self._spoiled(out, answer):
            return
        headers = _headers("application/json", answer)
        text = _echo(heard) if answer.text is None else answer.text
        model = answer.model or str(heard.body.get("model", "scripted"))
        pieces = script.tokens(text)
        counts = (7, len(pieces))
        if answer.body is not None:
            out.send(answer.status, headers, answer.body)
        elif answer.status != HTTPStatus.OK:
            out.send(answer.status, headers, script.error_body(protocol, answer))
        elif answer.whole or heard.body.get("stream", protocol == "ollama") is False:
            if await self._thought_through(out, answer, len(pieces), protocol):
                out.send(200, headers, script.whole_body(protocol, model, text, answer.finish_reason, counts))
        else:
            kind = "text/event-stream" if protocol == "openai" else "application/x-ndjson"
            out.begin(200, _headers(kind, answer))
            frames = [script.token_frame(protocol, model, piece) for piece in pieces]
            if answer.thinking:
                frames.insert(0, script.token_frame(protocol, model, answer.thinking, thought=True))
            end = script.ending(protocol, model, answer.finish_reason, counts) if answer.finish_reason else b""
            await self._stream(out, answer, frames, script.error_frame(protocol, answer), end)

    async def _spoiled(self, out: Incoming, answer: Answer) -> bool:
        """What a script does before the head; True when there is to be no head."""
        if answer.latency_s:
            await asyncio.sleep(answer.latency_s)
        if answer.hang_after == 0:
            await self._released.wait()
        if answer.reset_after == 0:
            out.reset()
            return True
        return False

    async def _thought_through(self, out: Incoming, answer: Answer, tokens: int, protocol: Protocol) -> bool:
        """The script of a stream for an answer in one piece, of which nothing is sent before the last token; False when it ends early."""
        for count in range(1, tokens + 1):
            if count == answer.error_after:
                out.send(500, {"Content-Type": "application/json"}, script.error_body(protocol, answer))
                return False
            if count == answer.hang_after:
                await self._released.wait()
            if count == answer.reset_after:
                out.reset()
                return False
            if answer.gap_s:
                await asyncio.sleep(answer.gap_s)
        return True

    async def _stream(self, out: Incoming, answer: Answer, frames: list[bytes], error: bytes, end: bytes) -> None:
        for count, frame in enumerate(frames, start=1):
            out.write(frame)
            if count == answer.error_after:
                out.write(error)
            if count == answer.hang_after:
                await self._released.wait()
            if count == answer.reset_after:
                out.reset()
                return
            if count == answer.error_after:
                out.end()
                return
            if answer.gap_s:
                await asyncio.sleep(answer.gap_s)
        if end:
            out.write(end)
        out.end()


def _headers(kind: str, answer: Answer) -> dict[str, str]:
    """The scripted headers, and the content type where they name none in any case."""
    named = any(name.lower() == "content-type" for name in answer.headers)
    return {**answer.headers} if named else {"Content-Type": kind, **answer.headers}


def _echo(heard: Heard) -> str:
    turns = heard.body.get("messages")
    if isinstance(turns, list):
        for turn in reversed(cast("list[object]", turns)):
            if isinstance(turn, dict) and turn.get("role") == "user":
                return f"echo: {turn.get('content')}"
    return "echo"


async def _serve(arguments: argparse.Namespace) -> None:
    text = " ".join(f"word{number}" for number in range(arguments.tokens)) if arguments.tokens else None
    default = Answer(text=text, latency_s=arguments.latency_ms / 1000, gap_s=arguments.gap_ms / 1000, whole=arguments.whole)
    upstream = Upstream(default=default, models=(arguments.model,), record=False)
    await upstream.start(arguments.port, arguments.host)
    sys.stdout.write(f"http://{arguments.host}:{upstream.port}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().create_future()


def main() -> None:
    """Serve until interrupted; the first line written is the address."""
    parser = argparse.ArgumentParser(description="A scripted model server: OpenAI's API under /v1 and Ollama's under /api.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--model", default="scripted", help="the model it says it has")
    parser.add_argument("--tokens", type=int, default=0, help="length of every answer; 0 echoes the prompt")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="before the head of an answer")
    parser.add_argument("--gap-ms", type=float, default=0.0, help="between tokens")
    parser.add_argument("--whole", action="store_true", help="answer in one JSON body")
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
