"""The HTTP client against servers that break the rules."""

import asyncio
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagi.outbound import Client
from dagi.ports.http import HttpFailure, HttpRequest
from dagi.testing.raw_server import raw_server, saying
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Both event loops: the stack runs on uvloop, tests and tools on the plain one too."""
    return "asyncio", {"use_uvloop": cast("str", request.param) == "uvloop"}


async def get(client: Client, url: str, limit: int = 1_000_000) -> tuple[int, bytes]:
    async with client.open(HttpRequest(method="GET", url=url)) as response:
        return response.status, await response.read(limit)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "closed the connection before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "closed the connection in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "closed the connection in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "sent something that is not HTTP"),
        (b"SSH-2.0-OpenSSH\r\n", "sent something that is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000, "sent headers without end"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "switched to another protocol"),
    ],
)
async def test_a_broken_answer_says_how_it_is_broken(answer: bytes, sentence: str) -> None:
    async with raw_server(saying(answer)) as url, Client() as client, asyncio.timeout(5):
        with pytest.raises(HttpFailure, match=sentence):
            await get(client, url)


async def test_a_body_may_end_with_the_connection_and_interim_answers_are_skipped() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: 2\r\n\r\nto the end"
    async with raw_server(saying(answer)) as url, Client() as client, client.open(HttpRequest(method="GET", url=url)) as response:
        assert (response.header("x-a"), response.header("link"), await response.read(100)) == ("1", None, b"to the end")


async def test_a_connection_the_server_closed_meanwhile_is_replaced() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        # It keeps the connection open, and closes it when the next request arrives.
        await reader.readuntil(b"\r\n\r\n")

    async with raw_server(once) as url, Client() as client:
        assert [await get(client, url) for _ in range(3)] == [(200, b"ok")] * 3


async def test_a_request_the_server_began_to_answer_is_not_sent_again() -> None:
    requests = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200"):
            await reader.readuntil(b"\r\n\r\n")
            requests += 1
            writer.write(answer)

    async with raw_server(handle) as url, Client() as client:
        await get(client, url)
        with pytest.raises(HttpFailure):
            await get(client, url)
    assert requests == 2


async def test_a_connection_on_which_the_server_speaks_unasked_is_not_used_again() -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await speak.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    speak = asyncio.Event()
    async with raw_server(handle) as url, Client() as client:
        await get(client, url)
        assert client.unused == 1
        speak.set()
        await eventually(lambda: client.unused == 0)
        assert await get(client, url) == (200, b"ok")
    assert connections == 2


async def test_an_answer_nobody_asked_for_is_never_given_to_the_next_request() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            await writer.drain()

    async with raw_server(twice) as url, Client() as client:
        assert [await get(client, url) for _ in range(3)] == [(200, b"ok")] * 3


PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.0 204 No\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Connection: close\r\n",
        b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"X: y\r\n",
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES | st.binary(max_size=10), max_size=12))
def test_whatever_a_server_sends_is_an_answer_or_a_failure(pieces: list[bytes]) -> None:
    async def run() -> None:
        async with raw_server(saying(b"".join(pieces))) as url, Client() as client, asyncio.timeout(5):
            for _ in range(2):
                with suppress(HttpFailure):
                    await get(client, url)

    asyncio.run(run())
