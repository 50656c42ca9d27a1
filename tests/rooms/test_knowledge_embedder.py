"""The embedder in its own process: the socket, its client, and every way the two can lose each other."""

import asyncio
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from dagi.errors import ConfigError
from dagi.ports.embedder import HEADER, MAX_FRAME, Answer, Ask, Embedder, EmbedderUnavailable, FromServer, Hello, Hits, frame
from dagi.remote.embedder import RemoteEmbedder
from dagi.services.embedder import MAX_IN_FLIGHT, serve

pytestmark = pytest.mark.anyio


class Echo:
    """An embedder that finds what it is asked; `gate` keeps the query "wait" waiting."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waiting = 0
        self.cancelled = 0

    async def nearest(self, dao_id: str, query: str, limit: int) -> Hits:
        if query == "fail":
            raise EmbedderUnavailable("not now")
        if query == "wait":
            self.waiting += 1
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return ((f"{dao_id}/{query}", float(limit)),)

    async def vector(self, text: str, *, query: bool) -> bytes:
        if text == "fail":
            raise EmbedderUnavailable("not now")
        return f"{text}/{query}".encode()


@asynccontextmanager
async def serving(path: Path, embedder: Embedder) -> AsyncGenerator[None]:
    ready = asyncio.Event()
    task = asyncio.create_task(serve(path, embedder, ready.set))
    async with asyncio.timeout(5):
        await ready.wait()
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def connected(path: Path, *, stalled_s: float = 2.0) -> AsyncGenerator[RemoteEmbedder]:
    client = RemoteEmbedder(path, stalled_s=stalled_s, retry_s=0.01)
    try:
        yield client
    finally:
        await client.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.002)


async def found(client: RemoteEmbedder, query: str = "q") -> Hits:
    async with asyncio.timeout(5):
        while True:
            with suppress(EmbedderUnavailable):
                return await client.nearest("dao", query, 3)
            await asyncio.sleep(0.002)


async def test_a_search_over_the_socket_finds_what_the_index_finds(tmp_path: Path) -> None:
    async with serving(tmp_path / "e.sock", Echo()), connected(tmp_path / "e.sock") as client:
        assert await found(client, "Що це?") == (("dao/Що це?", 3.0),)


async def test_a_vector_over_the_socket_is_that_of_the_model(tmp_path: Path) -> None:
    async with serving(tmp_path / "e.sock", Echo()), connected(tmp_path / "e.sock") as client:
        await found(client)
        assert await client.vector("Що це?", query=False) == "Що це?/False".encode()
        assert await client.vector("x" * 2000, query=True) == b"x" * 1500 + b"/True"
        with pytest.raises(EmbedderUnavailable, match="not now"):
            await client.vector("fail", query=False)


async def test_only_the_owner_may_open_the_socket_and_it_goes_with_the_process(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    async with serving(path, Echo()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_socket_left_by_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    async with serving(path, Echo()), serving(path, Echo()):
        pass
    async with serving(path, Echo()), connected(path) as client:
        assert await found(client)


async def test_a_socket_that_cannot_be_made_is_a_configuration_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="107 bytes"):
        await serve(tmp_path / ("x" * 120), Echo(), lambda: None)


async def test_several_searches_are_in_flight_and_answers_come_in_any_order(tmp_path: Path) -> None:
    echo = Echo()
    async with serving(tmp_path / "e.sock", echo), connected(tmp_path / "e.sock") as client:
        await found(client)
        slow = asyncio.create_task(client.nearest("dao", "wait", 1))
        await until(lambda: echo.waiting)
        assert await client.nearest("dao", "quick", 2) == (("dao/quick", 2.0),)
        echo.gate.set()
        assert await slow == (("dao/wait", 1.0),)


async def test_a_search_nobody_waits_for_is_stopped_in_the_embedder(tmp_path: Path) -> None:
    echo = Echo()
    async with serving(tmp_path / "e.sock", echo), connected(tmp_path / "e.sock") as client:
        await found(client)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.nearest("dao", "wait", 1)
        await until(lambda: echo.cancelled)
        assert await client.nearest("dao", "next", 1)


async def test_too_many_searches_are_refused_and_the_others_answered(tmp_path: Path) -> None:
    echo = Echo()
    async with serving(tmp_path / "e.sock", echo), connected(tmp_path / "e.sock") as client:
        await found(client)
        kept = [asyncio.create_task(client.nearest("dao", "wait", 1)) for _ in range(MAX_IN_FLIGHT)]
        await until(lambda: echo.waiting == MAX_IN_FLIGHT)
        with pytest.raises(EmbedderUnavailable, match="busy"):
            await client.nearest("dao", "one more", 1)
        echo.gate.set()
        assert len(await asyncio.gather(*kept)) == MAX_IN_FLIGHT


async def test_what_the_index_cannot_do_is_said(tmp_path: Path) -> None:
    async with serving(tmp_path / "e.sock", Echo()), connected(tmp_path / "e.sock") as client:
        await found(client)
        with pytest.raises(EmbedderUnavailable, match="not now"):
            await client.nearest("dao", "fail", 1)


@pytest.mark.parametrize(
    ("dao_id", "query"), [("dao", "\ud800"), ("dao", "\0"), ("dao", "x" * 200_000), ("d" * 70_000, "x"), ("\ud800", "x")]
)
async def test_nothing_but_unavailable_is_ever_raised(tmp_path: Path, dao_id: str, query: str) -> None:
    async with serving(tmp_path / "e.sock", Echo()), connected(tmp_path / "e.sock") as client:
        await found(client)
        with suppress(EmbedderUnavailable):
            await client.nearest(dao_id, query, -1)
        assert await client.nearest("dao", "still here", 1)


async def test_a_dead_embedder_is_not_waited_for(tmp_path: Path) -> None:
    async with connected(tmp_path / "nobody.sock") as client:
        await client.connect()
        for _ in range(20):
            # One step of the coroutine: had it to wait for anything, it would give that back instead of failing.
            with pytest.raises(EmbedderUnavailable):
                client.nearest("dao", "q", 1).send(None)
            await asyncio.sleep(0)


async def test_searches_that_wait_fail_when_the_embedder_dies_and_it_is_found_again(tmp_path: Path) -> None:
    path, echo = tmp_path / "e.sock", Echo()
    async with connected(path) as client:
        async with serving(path, echo):
            await found(client)
            waiting = asyncio.create_task(client.nearest("dao", "wait", 1))
            await until(lambda: echo.waiting)
        with pytest.raises(EmbedderUnavailable):
            await asyncio.wait_for(waiting, 5)
        with pytest.raises(EmbedderUnavailable):
            await client.nearest("dao", "q", 1)
        async with serving(path, echo):
            assert await found(client)


@asynccontextmanager
async def a_raw_server(path: Path, *says: bytes) -> AsyncGenerator[None]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said in says:
            writer.write(said)
        with suppress(OSError):
            while await reader.read(1000):
                pass
        writer.close()

    server = await asyncio.start_unix_server(talk, str(path))
    try:
        yield
    finally:
        server.close()


async def test_a_stopped_embedder_soon_counts_as_gone(tmp_path: Path) -> None:
    async with a_raw_server(tmp_path / "e.sock", frame(Hello())), connected(tmp_path / "e.sock", stalled_s=0.05) as client:

        async def refused_at_once() -> bool:
            try:
                async with asyncio.timeout(0.02):
                    await client.nearest("dao", "q", 1)
            except EmbedderUnavailable as error:
                return "not there" in str(error) and client._unheard_since is not None  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
            except TimeoutError:
                return False
            return False

        async with asyncio.timeout(5):
            while not await refused_at_once():
                await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    "said",
    [b"", b"\xff\xff\xff\xff", b"\0\0\0\3abc", frame(Answer(1)), frame(Hello()) + b"\0\0\0\1\xc1", frame(Hello()) + frame(Answer(7))],
)
async def test_a_server_that_talks_nonsense_is_unavailable_and_no_more(tmp_path: Path, said: bytes) -> None:
    async with a_raw_server(tmp_path / "e.sock", said), connected(tmp_path / "e.sock", stalled_s=0.02) as client:
        for _ in range(20):
            with suppress(EmbedderUnavailable, TimeoutError):
                async with asyncio.timeout(0.005):
                    await client.nearest("dao", "q", 1)


@pytest.mark.parametrize("said", [b"\xff\xff\xff\xff", b"\0\0\0\3abc", b"\0\0\0\0", frame(Answer(1)), (MAX_FRAME + 1).to_bytes(4, "big")])
async def test_a_client_that_talks_nonsense_is_sent_away_and_others_are_served(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "e.sock"
    async with serving(path, Echo()), connected(path) as client:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(said)
        async with asyncio.timeout(5):
            assert await reader.read(1000) == frame(Hello())
            assert await reader.read(1000) == b""
        writer.close()
        assert await found(client)


async def test_a_query_longer_than_a_question_is_cut_and_a_wild_limit_bounded(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    async with serving(path, Echo()):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(frame(Ask(1, "dao", "x" * 1000, 10**9)))
        decoder = msgspec.msgpack.Decoder(FromServer)
        heard: list[FromServer] = []
        async with asyncio.timeout(5):
            for _ in range(2):
                size = int.from_bytes(await reader.readexactly(HEADER), "big")
                heard.append(decoder.decode(await reader.readexactly(size)))
        writer.close()
        assert heard == [Hello(), Answer(1, ((f"dao/{'x' * 500}", 100.0),))]
