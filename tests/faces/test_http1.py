"""HTTP/1.1 as bytes on a socket: framing, order, and what is refused."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagi.assemble.server import Server
from dagi.errors import Invalid
from dagi.observe.observer import SilentObserver
from dagi.services.face import Answer, BrokenOff, Endpoint, Line, Request, Table
from dagi.services.http1.encoding import chunk, head
from dagi.services.http1.heads import split_target
from dagi.services.http1.service import Bounds, Service
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
BOUNDS = Bounds(body_bytes=1000, body_s=5, head_s=5, rest_s=5, unread_s=5)


class House:
    """A server with a few endpoints, and what they have heard."""

    def __init__(self) -> None:
        self.heard: list[Request] = []
        self.gone = 0
        self.go = asyncio.Event()
        handlers = {"/echo": self.echo, "/wait": self.wait, "/pieces": self.pieces, "/breaks": self.pieces, "/defect": self.pieces}
        endpoints = [Endpoint(method="POST", path=path, handler=handler, summary="") for path, handler in handlers.items()]
        endpoints.append(Endpoint(method="GET", path="/echo", handler=self.echo, summary=""))
        endpoints.append(Endpoint(method="GET", path="/pieces", handler=self.pieces, summary=""))
        self.service = Service(Table(endpoints), BOUNDS, SilentObserver())

    async def echo(self, request: Request) -> Answer:
        self.heard.append(request)
        return Answer(body=b"<%b>" % request.body)

    async def wait(self, request: Request) -> Answer:
        self.heard.append(request)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.gone += 1
            raise
        return Answer(body=b"[%b]" % request.body)

    async def pieces(self, request: Request) -> Answer:
        async def live(line: Line) -> None:
            line.begin([])
            line.write(b"one")
            line.write(b"")
            if request.path == "/breaks":
                raise BrokenOff
            if request.path == "/defect":
                raise ZeroDivisionError
            line.write(b"two")

        return Answer(live=live)

    async def talk(self, *said: bytes) -> bytes:
        """Say it piece by piece, and hear until the other side ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in said:
            writer.write(piece)
            await asyncio.sleep(0)
        heard = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return heard

    @asynccontextmanager
    async def open(self, shutdown_s: float = 1) -> AsyncGenerator["House"]:
        listener = await asyncio.to_thread(listening)
        self.port: int = listener.getsockname()[1]
        self.server = Server(self.service, shutdown_s, 100, lambda: None)
        task = asyncio.create_task(self.server.serve([listener]))
        try:
            yield self
        finally:
            self.server.stop()
            await asyncio.wait_for(task, 10)


def listening():
    import socket

    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
async def house() -> AsyncGenerator[House]:
    async with House().open() as made:
        yield made


def post(path: bytes, body: bytes, *more: bytes) -> bytes:
    fields = b"".join(line + b"\r\n" for line in (b"host: a", b"content-length: %d" % len(body), *more))
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (path, fields, body)


CLOSE = b"connection: close"


def statuses(heard: bytes) -> list[bytes]:
    return [part[:3] for part in heard.split(b"HTTP/1.1 ")[1:]]


async def test_requests_sent_ahead_are_answered_in_their_order(house: House) -> None:
    heard = await house.talk(b"".join(post(b"/echo", b"%d" % number) for number in range(20)) + post(b"/echo", b"last", CLOSE))
    assert statuses(heard) == [b"200"] * 21
    places = [heard.index(b"<%d>" % number) for number in range(20)] + [heard.index(b"<last>")]
    assert places == sorted(places)
    assert len(house.heard) == 21


async def test_of_requests_ahead_one_is_begun_at_a_time(house: House) -> None:
    talking = asyncio.create_task(house.talk(post(b"/wait", b"1") + post(b"/wait", b"2", CLOSE)))
    await eventually(lambda: len(house.heard) == 1)
    house.go.set()
    heard = await talking
    assert heard.index(b"[1]") < heard.index(b"[2]")


async def test_a_request_split_at_any_place_is_the_same_request(house: House) -> None:
    start = b"POST /echo?a=%20b HTTP/1.1\r\nHost: a\r\nX-Thing: 1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    said = start + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    for place in range(1, len(said), 7):
        assert b"<abcde>" in await house.talk(said[:place], said[place:])
    assert {(one.path, one.query, one.body, one.headers[b"x-thing"]) for one in house.heard} == {("/echo", b"a=%20b", b"abcde", b"1")}


@pytest.mark.parametrize(
    "said",
    [
        b"GET /echo HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /echo HTTP/1.1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /echo HTTP/1.1\r\nhost: a\r\nx: 1\r\n y\r\n\r\n",
        b"GET /echo HTTP/1.1\nhost: a\n\n",
        b"GET /echo HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET  /echo HTTP/9.9\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_two_readers_could_take_differently_is_refused_and_reaches_no_endpoint(house: House, said: bytes) -> None:
    heard = await house.talk(said + b"GET /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert statuses(heard)[0] == b"400"
    assert all(b"connection: close" in str(one.headers).encode() or one.headers.get(b"connection") == b"close" for one in house.heard)


async def test_an_answer_under_way_is_not_cut_by_nonsense_behind_its_request(house: House) -> None:
    talking = asyncio.create_task(house.talk(post(b"/wait", b"1") + b"nonsense\r\n\r\n"))
    await eventually(lambda: len(house.heard) == 1)
    house.go.set()
    heard = await talking
    assert heard.endswith(b"[1]")
    assert statuses(heard) == [b"200"]


async def test_whoever_asks_first_is_told_to_go_on_or_refused(house: House) -> None:
    expect = b"expect: 100-continue"
    said = post(b"/echo", b"abc", expect, CLOSE)
    heard = await house.talk(said[:-3], said[-3:])
    assert statuses(heard) == [b"100", b"200"]
    assert heard.endswith(b"<abc>")
    refused = await house.talk(post(b"/nowhere", b"", expect).replace(b"length: 0", b"length: 500"))
    assert statuses(refused) == [b"404"]
    assert b"connection: close" in refused


async def test_who_sent_its_body_unasked_is_not_told_to_send_it_later(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(post(b"/wait", b"1") + post(b"/echo", b"2", b"expect: 100-continue"))
    await eventually(lambda: len(house.heard) == 1)
    house.go.set()
    await reader.readuntil(b"<2>")
    writer.write(post(b"/echo", b"3", CLOSE))
    assert statuses(await asyncio.wait_for(reader.read(), 10)) == [b"200"]
    writer.close()


async def test_a_refusal_reaches_whoever_is_still_sending_and_wants_the_connection_to_end(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    body = b"x" * 300_000
    said = post(b"/echo", body, CLOSE)
    writer.write(said[: -len(body)])
    for start in range(0, len(body), 20_000):
        writer.write(body[start : start + 20_000])
        await writer.drain()
        await asyncio.sleep(0)
    heard = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert statuses(heard) == [b"413"]


async def test_a_body_over_the_bound_is_refused_and_what_follows_it_is_answered(house: House) -> None:
    heard = await house.talk(post(b"/echo", b"x" * 1001) + post(b"/echo", b"next", CLOSE))
    assert statuses(heard) == [b"413", b"200"]
    chunks = b"".join(b"64\r\n%b\r\n" % (b"x" * 100) for _ in range(11)) + b"0\r\n\r\n"
    said = b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + chunks
    assert statuses(await house.talk(said + post(b"/echo", b"next", CLOSE))) == [b"413", b"200"]
    assert [one.body for one in house.heard] == [b"next", b"next"]


async def test_a_wish_for_another_protocol_is_not_followed(house: House) -> None:
    upgrade = post(b"/echo", b"1", b"connection: upgrade", b"upgrade: h2c")
    heard = await house.talk(upgrade + post(b"/echo", b"2", CLOSE))
    assert (statuses(heard), b"<1>" in heard, b"<2>" in heard) == ([b"200", b"200"], True, True)


async def test_an_old_client_gets_its_answer_and_the_end_of_the_connection(house: House) -> None:
    heard = await house.talk(b"GET /echo HTTP/1.0\r\n\r\n")
    assert heard.endswith(b"<>")
    pieces = await house.talk(b"GET /pieces HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    assert b"chunked" not in pieces
    assert pieces.endswith(b"\r\n\r\nonetwo")


async def test_a_stream_ends_with_the_last_chunk_and_a_broken_one_without(house: House) -> None:
    whole = await house.talk(post(b"/pieces", b"", CLOSE))
    assert whole.endswith(b"6\r\nonetwo\r\n0\r\n\r\n")
    for path in (b"/breaks", b"/defect"):
        assert (await house.talk(post(path, b""))).endswith(b"\r\n\r\n3\r\none\r\n")


async def test_what_an_old_client_cannot_know_is_not_said_to_it_nor_taken_from_it(house: House) -> None:
    kept = b"POST /echo HTTP/1.0\r\nconnection: keep-alive\r\n"
    expecting = await house.talk(kept + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n", b"abc", post(b"/echo", b"", CLOSE))
    assert statuses(expecting) == [b"200", b"200"]
    house.heard.clear()
    in_chunks = kept + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert statuses(await house.talk(in_chunks + post(b"/echo", b"", CLOSE))) == [b"400"]
    assert not house.heard


async def test_a_head_request_gets_the_head_alone(house: House) -> None:
    heard = await house.talk(b"HEAD /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert b"content-length: 2\r\n" in heard
    assert heard.endswith(b"\r\n\r\n")


async def test_who_leaves_stops_what_was_done_for_them(house: House) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(post(b"/wait", b"1"))
    await eventually(lambda: len(house.heard) == 1)
    writer.close()
    await eventually(lambda: house.gone == 1 and not house.service.connections)


async def test_at_the_end_what_was_begun_is_finished_and_those_at_rest_are_let_go() -> None:
    async with House().open(shutdown_s=10) as house:
        resting, writer = await asyncio.open_connection("127.0.0.1", house.port)
        talking = asyncio.create_task(house.talk(post(b"/wait", b"1")))
        await eventually(lambda: len(house.heard) == 1)
        house.server.stop()
        assert await asyncio.wait_for(resting.read(), 5) == b""
        writer.close()
        house.go.set()
        heard = await talking
    assert heard.endswith(b"[1]")
    assert b"connection: close" in heard


async def test_who_comes_in_the_moment_of_the_end_is_let_go_at_once(house: House) -> None:
    house.service.closing = True
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()


async def test_at_the_end_what_takes_too_long_is_cut_off() -> None:
    house = House()
    async with house.open(shutdown_s=0.1):
        talking = asyncio.create_task(house.talk(post(b"/wait", b"1")))
        await eventually(lambda: len(house.heard) == 1)
    assert house.gone == 1
    assert await talking == b""


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=st.lists(st.binary(min_size=1, max_size=300), max_size=4))
async def test_whatever_bytes_come_the_next_caller_is_served(house: House, parts: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    for part in parts:
        writer.write(part)
    writer.write_eof()
    heard = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert statuses(heard) == [] or statuses(heard)[0] in {b"400", b"404", b"405", b"413", b"431"}
    assert (await house.talk(post(b"/echo", b"", CLOSE))).endswith(b"<>")


@given(bodies=st.lists(st.binary(max_size=50), min_size=1, max_size=5), status=st.sampled_from([200, 400, 503]))
def test_what_is_written_is_what_another_library_reads(bodies: list[bytes], status: int) -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    answer = Answer(status=status, headers=[(b"x-thing", b"1")])
    client.receive_data(head(answer, "id", b"now", close=False, chunked=True) + b"".join(map(chunk, bodies)) + b"0\r\n\r\n")
    read = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            assert (event.status_code, dict(event.headers)[b"x-request-id"], dict(event.headers)[b"x-thing"]) == (status, b"id", b"1")
        if isinstance(event, h11.Data):
            read += bytes(event.data)
    assert read == b"".join(bodies)


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb"])
def test_a_header_of_an_answer_never_becomes_two(value: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        head(Answer(headers=[(b"x", value)]), "id", b"now", close=False, chunked=False)


@given(st.binary(max_size=40))
def test_a_target_is_split_or_refused(target: bytes) -> None:
    try:
        path, query = split_target(target)
    except Invalid:
        return
    assert isinstance(path, str)
    assert b"#" not in query
