"""Calls from commands to the running stack."""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from dagi.assemble.installation import Installation, Running
from dagi.errors import DagiError, Unauthenticated
from dagi.outbound import Client
from dagi.ports.http import HttpFailure, HttpRequest
from dagi.services.errors import STATUSES

LIMIT = 16 * 1024 * 1024


class NotRunning(DagiError):
    """Nothing answers at the stack's address."""

    code = "PROVIDER_UNAVAILABLE"


class Refused(DagiError):
    """The stack answered with an error; its code is kept."""

    def __init__(self, body: Mapping[str, object]) -> None:
        facts = {key: value for key, value in body.items() if key not in {"status", "code", "message"}}
        code = str(body.get("code"))
        # The stack speaks of headers, which whoever types a command does not see.
        hint = " Commands take it from --key or from the variable DAGI_KEY." if code == Unauthenticated.code else ""
        super().__init__(f"{body.get('message', 'The stack refused the request.')}{hint}", **facts)
        self.code = code if code in STATUSES else "INTERNAL"  # pyright: ignore[reportAttributeAccessIssue]


class Stack:
    """The running stack, as a program on the same machine sees it."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})

    @classmethod
    def of(cls, installation: Installation, url: str | None, key: str | None) -> "Stack":
        """The stack that the installation runs, with the demo key where no other is given; or the one at `url`.

        The demo key opens this installation and is for nobody else: an address that is not its own gets only a key that was named.

        Raises:
            NotRunning: the installation runs, but nothing of it answers questions.
        """
        found = running(installation.running_file)
        if url is None and found is not None and found.urls and "router" not in found.urls:
            alone = " and ".join(found.urls)
            raise NotRunning(
                f"The stack that runs here is the {alone} alone; questions need its router. Stop it, and start all: dagi serve."
            )
        there = None if found is None else found.url
        own = url is None or url.rstrip("/") == there
        named = key or installation.loaded.environment.get("DAGI_KEY")
        return cls(
            url or there or f"http://127.0.0.1:{installation.loaded.settings.server.port}",
            named or (_demo_key(installation.demo_key_file) if own else None),
        )

    async def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """The whole answer to a request.

        Raises:
            NotRunning: nothing answers there.
            Refused: the stack answered with an error.
        """
        return await self.call("POST", path, body)

    async def get(self, path: str, query: Mapping[str, str | None]) -> Mapping[str, object]:
        """What stands at a path; parameters that are None are left out. Raises as `post` does."""
        named = urlencode({name: value for name, value in query.items() if value is not None})
        return await self.call("GET", f"{path}?{named}")

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, object]:
        """The whole answer to a request of any method; see `post`."""
        sent = b"" if body is None else msgspec.json.encode(body)
        request = HttpRequest(method=method, url=self.url + path, headers=self._headers, body=sent)
        try:
            async with Client() as client, client.open(request) as response:
                answer = _decoded(await response.read(LIMIT))
                if response.status != 200:
                    raise Refused(answer)
                return answer
        except HttpFailure as error:
            raise self._unreachable() from error

    async def stream(self, path: str, body: Mapping[str, object]) -> AsyncGenerator[Mapping[str, object]]:
        """The events of a streamed answer.

        Raises:
            NotRunning: nothing answers there, or it stopped in the middle.
            Refused: the stack answered with an error, at once or at the end of the stream.
        """
        request = HttpRequest(method="POST", url=self.url + path, headers=self._headers, body=msgspec.json.encode({**body, "stream": True}))
        try:
            async with Client() as client, client.open(request) as response:
                if response.status != 200:
                    raise Refused(_decoded(await response.read(LIMIT)))
                buffer = b""
                async for chunk in response.chunks():
                    *frames, buffer = (buffer + chunk).split(b"\n\n")
                    for frame in frames:
                        event = _decoded(frame.removeprefix(b"data: "))
                        if event.get("type") == "error":
                            raise Refused(event)
                        yield event
        except HttpFailure as error:
            raise self._unreachable() from error

    def _unreachable(self) -> NotRunning:
        return NotRunning(f"Nothing answers at {self.url}. Start the stack in another terminal: dagi serve (or: make serve).")


def _decoded(body: bytes) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise NotRunning("What answers there is not DAGI Stack. Check the address (--url) and the port.") from error


def running(path: Path) -> Running | None:
    """The stack that runs, by the file in which it says so."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.lives else None


def _demo_key(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
