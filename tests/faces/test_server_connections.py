"""What becomes of connections whose callers say too little or take nothing: over real sockets, with times cut short."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from dagi.assemble.server import Server
from dagi.observe.observer import SilentObserver
from dagi.services.face import Answer, Endpoint, Request, Table
from dagi.services.http1.service import Bounds, Service
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"
PART = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{"
REFUSED = PART.replace(b"POST /", b"POST /nowhere")
PLACES = (("GET", "/"), ("POST", "/"), ("GET", "/large"), ("GET", "/slow"))
LARGE_BYTES = 30_000_000
MOST = 4


class Front:
    """A server whose slow answers wait until they are let go."""

    def __init__(self) -> None:
        self.port = 0
        self.go = asyncio.Event()
        self.slow = 0
        table = Table([Endpoint(method=method, path=path, handler=self.answer, summary="") for method, path in PLACES])
        self.service = Service(table, Bounds(body_bytes=1000, body_s=0.3, rest_s=0.3, unread_s=0.3), SilentObserver())

    async def answer(self, request: Request) -> Answer:
        if request.path == "/slow":
            self.slow += 1
            await self.go.wait()
        return Answer(body=b"x" * (LARGE_BYTES if request.path == "/large" else 10))

    def callers(self) -> int:
        return len(self.service.connections)

    @asynccontextmanager
    async def caller(self, say: bytes) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(say)
            yield reader, writer
        finally:
            writer.transport.abort()


@pytest.fixture
async def front() -> AsyncGenerator[Front]:
    made, ready = Front(), asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    made.port = listener.getsockname()[1]
    server = Server(made.service, 1, MOST, ready.set)
    task = asyncio.create_task(server.serve([listener]))
    await ready.wait()
    yield made
    made.go.set()
    server.stop()
    await asyncio.wait_for(task, 30)


@pytest.mark.parametrize(
    ("say", "end", "more"), [(GET, b"x" * 10, b"\r\n"), (REFUSED, b"NOT_FOUND", b"1")], ids=["empty line", "rest of a body"]
)
async def test_what_is_no_request_does_not_let_an_answered_caller_stay(front: Front, say: bytes, end: bytes, more: bytes) -> None:
    async with front.caller(say) as (reader, writer):
        await asyncio.wait_for(reader.readuntil(end), 5)
        writer.write(more)
        assert b"HTTP" not in await asyncio.wait_for(reader.read(), 5)


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
