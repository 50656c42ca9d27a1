"""The HTTP client over TLS."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from dagi.outbound import Client
from dagi.ports.http import HttpFailure, HttpRequest

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Both event loops; their TLS is not the same code."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key, both thrown away afterwards."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=DNS:localhost", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)  # noqa: S603 (fixed arguments)
    return paths


class Server:
    """Streams two chunks, the second when it is released, and notices who goes away."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.release = asyncio.Event()
        self.gone = asyncio.Event()
        self.connections = 0


@asynccontextmanager
async def serving(certificate: tuple[Path, Path]) -> AsyncGenerator[Server]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
                gone = asyncio.ensure_future(reader.read(1))
                released = asyncio.ensure_future(server.release.wait())
                await asyncio.wait([gone, released], return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                released.cancel()
                await asyncio.gather(gone, released, return_exceptions=True)
                if not server.release.is_set():
                    break
                writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        server.gone.set()
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    server = Server(f"https://localhost:{listening.sockets[0].getsockname()[1]}/")
    async with asyncio.timeout(10):
        yield server
    listening.close()


def trusting(certificate: tuple[Path, Path]) -> Client:
    return Client(trust=ssl.create_default_context(cafile=str(certificate[0])))


async def test_chunks_come_as_they_are_sent_and_the_connection_is_used_again(certificate: tuple[Path, Path]) -> None:
    async with serving(certificate) as server, trusting(certificate) as client:
        for _ in range(2):
            async with client.open(HttpRequest(method="GET", url=server.url)) as response, aclosing(response.chunks()) as chunks:
                assert await anext(chunks) == b"one"
                server.release.set()
                assert b"".join([chunk async for chunk in chunks]) == b"two"
        assert server.connections == 1


async def test_the_server_learns_at_once_when_the_caller_is_cancelled(certificate: tuple[Path, Path]) -> None:
    async def read() -> None:
        async with client.open(HttpRequest(method="GET", url=server.url)) as response, aclosing(response.chunks()) as chunks:
            async for _ in chunks:
                begun.set()

    begun = asyncio.Event()
    async with serving(certificate) as server, trusting(certificate) as client:
        task = asyncio.ensure_future(read())
        await begun.wait()
        task.cancel()
        async with asyncio.timeout(1):
            await server.gone.wait()


async def test_a_certificate_nobody_vouches_for_is_refused(certificate: tuple[Path, Path]) -> None:
    async with serving(certificate) as server, Client() as client:
        with pytest.raises(HttpFailure, match=r"^the certificate of localhost:\d+ is not valid: self-signed certificate"):
            async with client.open(HttpRequest(method="GET", url=server.url)):
                pass


async def test_a_certificate_of_another_name_is_refused(certificate: tuple[Path, Path]) -> None:
    async with serving(certificate) as server, trusting(certificate) as client:
        with pytest.raises(HttpFailure, match=r"^the certificate of 127.0.0.1:\d+ is not valid: .*mismatch"):
            async with client.open(HttpRequest(method="GET", url=server.url.replace("localhost", "127.0.0.1"))):
                pass
