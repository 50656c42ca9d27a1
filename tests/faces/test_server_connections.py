"""What becomes of connections whose callers say too little or take nothing: over real sockets, with times cut short."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

import dagi.assemble.server
from dagi.assemble.server import Server
from dagi.observe.observer import SilentObserver
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"
PART = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{"
LARGE_BYTES = 30_000_000
MOST = 4


class Front:
    """A server whose slow answers wait until they are let go."""

    def __init__(self) -> None:
        self.port = 0
        self.go = asyncio.Event()
        self.slow = 0
        self.callers: Callable[[], int] = int

    async def __call__(self, scope, _receive, send) -> None:
        if scope["path"] == "/slow":
            self.slow += 1
            await self.go.wait()
        body = b"x" * (LARGE_BYTES if scope["path"] == "/large" else 10)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    @asynccontextmanager
    async def caller(self, say: bytes) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(say)
            yield reader, writer
        finally:
            writer.transport.abort()


@pytest.fixture
async def front(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Front]:
    for name in ("KEEP_ALIVE_S", "UNREAD_S"):
        monkeypatch.setattr(dagi.assemble.server, name, 0.3)
    made, ready = Front(), asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    made.port = listener.getsockname()[1]
    server = Server(made, 1, SilentObserver(), MOST, ready.set)
    server.config.timeout_keep_alive = 0.3  # pyright: ignore[reportAttributeAccessIssue] - seconds are whole there
    made.callers = lambda: len(server.server_state.connections)
    task = asyncio.create_task(server._serve([listener]))  # noqa: SLF001 - without its handlers of signals
    await ready.wait()
    yield made
    made.go.set()
    server.should_exit = True
    await asyncio.wait_for(task, 30)


@pytest.mark.parametrize(("say", "more"), [(GET, b"\r\n"), (PART, b"1")], ids=["empty line", "rest of a body"])
async def test_what_is_no_request_does_not_let_an_answered_caller_stay(front: Front, say: bytes, more: bytes) -> None:
    async with front.caller(say) as (reader, writer):
        await asyncio.wait_for(reader.readuntil(b"x" * 10), 5)
        writer.write(more)
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_callers_who_take_nothing_of_their_answers_are_let_go_and_keep_nobody_out(front: Front) -> None:
    ends: list[socket.socket] = []
    try:
        for _ in range(MOST):
            ends.append(socket.create_connection(("127.0.0.1", front.port)))
            ends[-1].sendall(LARGE)
        await eventually(lambda: front.callers() == MOST, within_s=5)
        async with front.caller(GET) as (reader, _):
            await asyncio.wait_for(reader.readuntil(b"x" * 10), 10)
        await eventually(lambda: front.callers() == 0, within_s=10)
    finally:
        for end in ends:
            end.close()


async def test_a_caller_who_takes_its_answer_slowly_gets_all_of_it(front: Front) -> None:
    async with front.caller(LARGE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")) as (reader, _):
        taken = 0
        while data := await asyncio.wait_for(reader.read(500_000), 5):
            taken += len(data)
            await asyncio.sleep(0.02)  # the caller is slow; nothing is waited for
        assert taken > LARGE_BYTES


async def test_a_request_in_line_behind_an_answer_does_not_make_its_caller_one_at_rest(front: Front) -> None:
    async with front.caller(SLOW + PART) as (first, _), front.caller(SLOW), front.caller(SLOW), front.caller(SLOW):
        await eventually(lambda: front.slow == MOST, within_s=5)
        async with front.caller(GET) as (new, _):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(new.read(1), 0.3)
            front.go.set()
            assert (await asyncio.wait_for(first.readuntil(b"x" * 10), 5)).startswith(b"HTTP/1.1 200")
            await asyncio.wait_for(new.readuntil(b"x" * 10), 10)
