"""What is shown of an answer while it is made never comes after the answer itself."""

import asyncio
from contextlib import suppress

import pytest

from dagi.channels.discord.api import Api
from dagi.channels.discord.showing import Showing
from dagi.outbound import Client
from dagi.ports.target import Delta
from dagi.testing.clock import FakeClock
from dagi.testing.raw_server import raw_server

pytestmark = pytest.mark.anyio
DONE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


async def test_a_change_on_its_way_is_there_before_whoever_made_it_stops() -> None:
    heard, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        heard.set()
        await go.wait()
        writer.write(DONE)
        await writer.drain()
        done.set()

    async with raw_server(slow) as url, Client() as client, asyncio.timeout(15):
        showing = Showing(Api(client, url, ""), "/webhooks/1/token/messages/@original", FakeClock(), lambda: True)
        showing.hear(Delta("It is a cooperative of many gardens."))
        following = asyncio.create_task(showing.follow())
        await heard.wait()
        following.cancel()
        asyncio.get_running_loop().call_later(0.05, go.set)
        with suppress(asyncio.CancelledError):
            await following
        assert done.is_set()
