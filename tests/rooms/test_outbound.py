"""The HTTP client against a server that can misbehave."""

import asyncio
from contextlib import aclosing
from typing import cast

import pytest
import uvloop

from dagi.outbound import Client
from dagi.ports.http import HttpFailure, HttpRequest
from dagi.testing.raw_server import raw_server
from dagi.testing.upstream import Answer, Upstream
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Both event loops: the stack runs on uvloop, tests and tools on the plain one too."""
    return "asyncio", {"use_uvloop": cast("str", request.param) == "uvloop"}


def a_request(url: str, **fields: object) -> HttpRequest:
    return HttpRequest(method="POST", url=url, body=b'{"messages":[{"role":"user","content":"one two three"}],"stream":true}', **fields)  # pyright: ignore[reportArgumentType]


def chat(upstream: Upstream) -> HttpRequest:
    return a_request(f"{upstream.v1}/chat/completions")


async def get(client: Client, url: str, limit: int = 1_000_000) -> tuple[int, bytes]:
    async with client.open(HttpRequest(method="GET", url=url)) as response:
        return response.status, await response.read(limit)


async def test_it_runs_on_the_loop_of_the_parameter(anyio_backend: tuple[str, dict[str, object]]) -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop) is anyio_backend[1]["use_uvloop"]


async def test_the_first_chunk_comes_while_the_server_still_holds_the_second_back() -> None:
    async with Upstream() as upstream, Client() as client, asyncio.timeout(5):
        upstream.script(Answer(hang_after=1))
        async with client.open(chat(upstream)) as response, aclosing(response.chunks()) as chunks:
            first = await anext(chunks)
            assert b"echo:" in first
            upstream.release()
            assert b"[DONE]" in b"".join([chunk async for chunk in chunks])


async def test_the_server_learns_at_once_when_the_caller_is_cancelled_before_the_head() -> None:
    async with Upstream() as upstream, Client() as client:
        upstream.script(Answer(hang_after=0))
        task = asyncio.ensure_future(client.open(chat(upstream)).__aenter__())
        await upstream.until(lambda: upstream.active == 1)
        task.cancel()
        await upstream.until(lambda: upstream.disconnects == 1, within_s=1)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_server_learns_at_once_when_the_caller_is_cancelled_in_the_stream() -> None:
    async def read(client: Client, upstream: Upstream) -> None:
        async with client.open(chat(upstream)) as response, aclosing(response.chunks()) as chunks:
            async for _ in chunks:
                begun.set()

    begun = asyncio.Event()
    async with Upstream() as upstream, Client() as client:
        upstream.script(Answer(hang_after=1))
        task = asyncio.ensure_future(read(client, upstream))
        await begun.wait()
        task.cancel()
        await upstream.until(lambda: upstream.disconnects == 1, within_s=1)


async def test_leaving_an_unfinished_answer_in_order_closes_its_connection_soon() -> None:
    async with Upstream() as upstream, Client() as client:
        upstream.script(Answer(hang_after=1))
        async with client.open(chat(upstream)) as response, aclosing(response.chunks()) as chunks:
            await anext(chunks)
        await upstream.until(lambda: upstream.disconnects == 1, within_s=1)


async def test_a_finished_connection_is_used_again() -> None:
    async with Upstream() as upstream, Client() as client:
        for _ in range(3):
            async with client.open(chat(upstream)) as response:
                await response.read(100_000)
        assert upstream.connections == 1


async def test_a_connection_is_used_again_when_its_reader_stopped_just_before_the_end() -> None:
    async with Upstream() as upstream, Client() as client:
        upstream.script(Answer(text="x", hang_after=1))
        async with client.open(chat(upstream)) as response, aclosing(response.chunks()) as chunks:
            await anext(chunks)
            upstream.release()
        await eventually(lambda: client.unused == 1)
        await get(client, f"{upstream.v1}/models")
        assert (upstream.connections, upstream.disconnects) == (1, 0)


async def test_requests_at_once_have_connections_of_their_own() -> None:
    async with Upstream() as upstream, Client() as client:
        upstream.script(*[Answer(hang_after=0)] * 5)
        tasks = [asyncio.ensure_future(get(client, f"{upstream.v1}/models")) for _ in range(5)]
        await upstream.until(lambda: upstream.active == 5)
        upstream.release()
        assert {status for status, _ in await asyncio.gather(*tasks)} == {200}


async def test_unused_connections_are_closed_in_time() -> None:
    async with Upstream() as upstream, Client(idle_s=0.01) as client:
        await get(client, f"{upstream.v1}/models")
        await upstream.until(lambda: upstream.open_connections == 0)


async def test_no_more_unused_connections_are_kept_than_allowed() -> None:
    async with Upstream() as upstream, Client(max_idle=1) as client:
        upstream.script(*[Answer(hang_after=0)] * 3)
        tasks = [asyncio.ensure_future(get(client, f"{upstream.v1}/models")) for _ in range(3)]
        await upstream.until(lambda: upstream.active == 3)
        upstream.release()
        await asyncio.gather(*tasks)
        await upstream.until(lambda: upstream.open_connections == 1)
        assert client.unused == 1


async def test_nothing_is_listening_says_so_and_names_the_cause() -> None:
    async with Upstream() as upstream:
        url = f"{upstream.origin}/secret-token/x"
    async with Client() as client:
        with pytest.raises(HttpFailure, match=r"^127.0.0.1:\d+ refused the connection$") as caught:
            await get(client, url)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_an_unknown_name_says_so() -> None:
    async with Client() as client:
        with pytest.raises(HttpFailure, match=r"the name nothing.invalid could not be resolved"):
            await get(client, "http://nothing.invalid/")


async def test_a_server_that_never_speaks_tls_is_given_up_in_time() -> None:
    async with Upstream() as upstream, Client(connect_s=0.05) as client:
        with pytest.raises(HttpFailure, match=r"did not accept a connection within 0.05 s|TLS with"):
            await get(client, f"https://127.0.0.1:{upstream.port}/")


async def test_a_reset_in_the_stream_is_a_failure() -> None:
    async with Upstream() as upstream, Client() as client:
        upstream.script(Answer(reset_after=1))
        with pytest.raises(HttpFailure, match=r"broke the connection off|closed the connection"):
            async with client.open(chat(upstream)) as response:
                await response.read(1_000_000)


async def test_a_longer_body_than_allowed_is_a_failure() -> None:
    async with Upstream() as upstream, Client() as client:
        with pytest.raises(HttpFailure, match="more than 10 bytes"):
            await get(client, f"{upstream.v1}/models", limit=10)


async def test_redirects_are_not_followed_and_nothing_is_asked_for_that_was_not_wanted() -> None:
    async with Upstream() as upstream, Client() as client:
        upstream.script(Answer(status=302, headers={"Location": "http://example.org/", "Set-Cookie": "a=b"}))
        assert (await get(client, f"{upstream.v1}/models"))[0] == 302
        await get(client, f"{upstream.v1}/models")
        assert upstream.heard[1].headers == {"host": f"127.0.0.1:{upstream.port}"}


async def test_a_slow_reader_holds_the_server_back() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536
        writer.write(b"0\r\n\r\n")

    async with raw_server(flood) as url, Client() as client:
        async with client.open(HttpRequest(method="GET", url=url)) as response, aclosing(response.chunks()) as chunks:
            size, largest = 0, 0
            async for chunk in chunks:
                await asyncio.sleep(0)
                size, largest = size + len(chunk), max(largest, len(chunk))
        assert size == 65_536_000
        assert largest < 1_000_000


async def test_a_body_is_poured_as_it_arrives_and_to_its_end() -> None:
    async with Upstream() as upstream, Client() as client, asyncio.timeout(5):
        upstream.script(Answer(hang_after=1))
        parts: list[bytes] = []
        async with client.open(chat(upstream)) as response:
            pouring = asyncio.ensure_future(response.pour(lambda data: parts.append(data) is None))
            await eventually(lambda: b"echo:" in b"".join(parts))
            assert not pouring.done()
            upstream.release()
            assert await pouring is True
        assert b"".join(parts).endswith(b"data: [DONE]\n\n")


async def test_who_wants_no_more_for_now_gets_the_rest_with_the_next_pour() -> None:
    async with Upstream() as upstream, Client() as client, asyncio.timeout(5):
        parts: list[bytes] = []

        def take(data: bytes) -> bool:
            parts.append(data)
            return False

        async with client.open(chat(upstream)) as response:
            stops = 0
            while not await response.pour(take):
                stops += 1
        assert stops == len(parts)
        assert b"".join(parts).endswith(b"data: [DONE]\n\n")


async def test_a_body_that_breaks_off_while_it_is_poured_is_a_failure() -> None:
    async with Upstream() as upstream, Client() as client, asyncio.timeout(5):
        upstream.script(Answer(reset_after=1))
        async with client.open(chat(upstream)) as response:
            with pytest.raises(HttpFailure):
                while not await response.pour(lambda _: True):
                    pass


async def test_a_defect_of_whoever_takes_the_body_comes_out_where_it_was_poured() -> None:
    def take(_: bytes) -> bool:
        raise ZeroDivisionError

    async with Upstream() as upstream, Client() as client, asyncio.timeout(5):
        upstream.script(Answer(hang_after=1))
        async with client.open(chat(upstream)) as response:
            with pytest.raises(ZeroDivisionError):
                await response.pour(take)
        assert client.unused == 0


async def test_a_defect_at_the_very_end_of_the_body_comes_out_as_well() -> None:
    def take(_data: bytes) -> bool:
        raise ZeroDivisionError

    async def all_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await go.wait()
        writer.write(b"last")

    go = asyncio.Event()
    async with (
        raw_server(all_at_once) as url,
        Client() as client,
        asyncio.timeout(5),
        client.open(HttpRequest(method="GET", url=url)) as response,
    ):
        pouring = asyncio.ensure_future(response.pour(take))
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(ZeroDivisionError):
            await pouring
