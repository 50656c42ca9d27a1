"""The developer tools in another process, seen from here: HTTP, with a grant that is signed for each call."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Final, cast

import msgspec

from dagi.access.entitlements import TOOL_ENTITLEMENTS
from dagi.access.signed import Signer
from dagi.errors import (
    AccessUnavailable,
    Conflict,
    DagiError,
    Denied,
    Gone,
    Internal,
    Invalid,
    Missing,
    NotConfigured,
    Overloaded,
    PayloadTooLarge,
    PreconditionFailed,
    ProviderError,
    ProviderUnavailable,
    QueueFull,
    SandboxUnavailable,
    Suspended,
    UnknownTool,
)
from dagi.message import Grant
from dagi.ports.clock import Clock
from dagi.ports.devtools import Hear, Order, ToolInfo
from dagi.ports.http import HttpClient, HttpFailure, HttpRequest, HttpResponse

NAME: Final = "devtools"
# The largest file in base64, and what is said around it; a stream of events in all.
_MOST: Final = 64 << 20
_MOST_STREAMED: Final = 256 << 20
_ABOUT_ALL_S: Final = 5.0
# The service says every ten seconds that it is still at work. Whoever is silent for longer hangs, or the machine is gone.
SILENCE_S: Final = 45.0
_TOOL: Final = re.compile(r"[a-z][a-z_]{0,63}\Z")
_OWN: Final = frozenset({"status", "code", "message", "request_id", "type"})
# What is signed for the service and no more, so that a grant is short, and whoever gets hold of one can neither make nor remove workspaces.
# Of chat.use it is told that there is a role, which only lacks the right.
_LENT: Final = frozenset({*TOOL_ENTITLEMENTS.values(), "chat.use"})
_object: Final = msgspec.json.Decoder(dict[str, object])


class _ToolsReply(msgspec.Struct):
    tools: list[ToolInfo]


class RemoteTools:
    """Implements the port Tools.

    Args:
        url: where the service is; told to operators alone.
        silence_s: after so many seconds without a word it is taken to be gone.
    """

    def __init__(self, url: str, http: HttpClient, signer: Signer, clock: Clock, *, silence_s: float = SILENCE_S) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._signer = signer
        self._clock = clock
        self._silence_s = silence_s
        self._known: tuple[ToolInfo, ...] = ()

    def tools(self) -> Sequence[ToolInfo]:
        """See the port: as they were told last; none until then."""
        return self._known

    async def refresh(self) -> None:
        """Ask the service which tools it has. Raises what `call` raises of a service that is not there."""
        grant = Grant(dao_id="", user_id="system:router")
        request = HttpRequest(method="GET", url=f"{self._url}/tools", headers=self._headers(grant, "", ""))
        try:
            async with asyncio.timeout(self._silence_s), self._http.open(request) as response:
                body = await response.read(_MOST)
                if response.status != 200:
                    raise _error(_decoded(body))
        except (HttpFailure, TimeoutError) as failure:
            raise self._unreachable(failure) from failure
        try:
            self._known = tuple(msgspec.json.decode(body, type=_ToolsReply).tools)
        except msgspec.MsgspecError as error:
            raise _strange() from error

    async def follow(self) -> None:
        """Ask again and again, for as long as the process lives."""
        while True:
            with suppress(DagiError):
                await self.refresh()
            await self._clock.sleep(_ABOUT_ALL_S if not self._known else 12 * _ABOUT_ALL_S)

    async def call(self, order: Order, hear: Hear) -> Mapping[str, object]:
        """See the port. The grant is checked when the call begins, however long it takes.

        Raises:
            ProviderUnavailable: nobody answers there.
            ProviderError: the answer broke off.
            NotConfigured: the service does not take our grants.
        """
        body = _encoded(order)
        headers = {**self._headers(order.grant, order.key_id, order.id), "accept": "text/event-stream"}
        if not _TOOL.match(order.tool):
            allowed = sorted(tool.name for tool in self._known)
            raise UnknownTool("No developer tool has that name.", tool=order.tool[:64], allowed=allowed)
        request = HttpRequest(method="POST", url=f"{self._url}/tools/{order.tool}", headers=headers, body=body)
        begun = False
        try:
            async with asyncio.timeout(self._silence_s) as silence, self._http.open(request) as response:
                begun = True
                if response.status != 200:
                    raise _error(_decoded(await response.read(_MOST)))
                return await _result(response, hear, lambda: silence.reschedule(_now() + self._silence_s))
        except (HttpFailure, TimeoutError) as failure:
            if not begun:
                raise self._unreachable(failure) from failure
            raise _broken_off() from failure

    def _headers(self, grant: Grant, key_id: str, request_id: str) -> dict[str, str]:
        narrow = msgspec.structs.replace(grant, entitlements=grant.entitlements & _LENT)
        signed = self._signer.sign(narrow, "devtools", self._clock.now(), key_id)
        headers = {"authorization": f"Bearer {signed}", "content-type": "application/json"}
        return {**headers, "x-request-id": request_id} if request_id else headers

    def _unreachable(self, failure: HttpFailure | TimeoutError) -> ProviderUnavailable:
        sentence = "The developer tools do not answer just now. Try again shortly."
        why = f"it said nothing for {self._silence_s:g} s" if isinstance(failure, TimeoutError) else str(failure)
        detail = f"the devtools service at {self._url} cannot be reached: {why}"
        return ProviderUnavailable(sentence, provider=NAME, detail=detail, retry_after_s=2)


def _encoded(order: Order) -> bytes:
    try:
        return msgspec.json.encode({"params": order.params})
    except (UnicodeEncodeError, RecursionError) as error:
        raise Invalid("A parameter holds what no JSON text can hold.", field="params") from error


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _result(response: HttpResponse, hear: Hear, lives: Callable[[], None]) -> Mapping[str, object]:
    """The result at the end of the stream; what comes before it is heard.

    Args:
        lives: called with whatever comes.
    """
    async with aclosing(_events(response, lives)) as events:
        async for event in events:
            kind = event.pop("type", None)
            if kind == "progress":
                hear(event)
            elif kind == "end" and isinstance(event.get("result"), dict):
                return cast("Mapping[str, object]", event["result"])
            elif kind == "error":
                raise _error(event)
    raise _broken_off()


async def _events(response: HttpResponse, lives: Callable[[], None]) -> AsyncGenerator[dict[str, object]]:
    # A result may be some megabytes in one frame: its pieces are put together once.
    pieces: list[bytes] = []
    taken = 0
    async with aclosing(response.chunks()) as chunks:
        async for chunk in chunks:
            lives()
            taken += len(chunk)
            if taken > _MOST_STREAMED:
                raise _strange()
            pieces.append(chunk)
            if b"\n" not in chunk:
                continue
            *frames, rest = b"".join(pieces).split(b"\n\n")
            pieces = [rest]
            for frame in frames:
                if frame.startswith(b"data: "):
                    yield _decoded(frame[6:])


def _decoded(body: bytes) -> dict[str, object]:
    try:
        return _object.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _strange() from error


_KINDS: Final[Mapping[str, Callable[..., DagiError]]] = {
    "UNKNOWN_TOOL": UnknownTool,
    "NOT_FOUND": Missing,
    "CONFLICT": Conflict,
    "GONE": Gone,
    "PRECONDITION_FAILED": PreconditionFailed,
    "PAYLOAD_TOO_LARGE": PayloadTooLarge,
    "SANDBOX_UNAVAILABLE": SandboxUnavailable,
    "ACCESS_UNAVAILABLE": AccessUnavailable,
    "RBAC_PERMISSION_DENIED": Denied,
    "DAO_SUSPENDED": Suspended,
    "INTERNAL": Internal,
}


def _error(body: Mapping[str, object]) -> DagiError:
    """The error that a body tells of, as the service raised it: its code, its sentence, its facts."""
    code, message = body.get("code"), body.get("message")
    facts = {key: value for key, value in body.items() if key not in _OWN}
    if not isinstance(code, str) or not isinstance(message, str):
        return _strange()
    if code == "VALIDATION_ERROR":
        return Invalid(message, field=str(facts.pop("field", "params")), **facts)
    if code == "QUEUE_FULL":
        seconds = facts.get("retry_after_s", 1)
        if "provider" in facts:
            return QueueFull(message, provider=NAME, retry_after_s=seconds)
        return Overloaded(message, retry_after_s=seconds)
    if code == "UNAUTHENTICATED":
        detail = f"the devtools service refuses our grants; both need the same key, and clocks that agree. It said: {message}"
        return NotConfigured("The developer tools are not set up for this router.", provider=NAME, detail=detail)
    kind = _KINDS.get(code)
    if kind is None:
        return ProviderError("The developer tools did not answer usably.", provider=NAME, detail=f"{code}: {message}")
    error = kind(message, **facts)
    if isinstance(error, Denied):
        # The service has written it down.
        error.audited = True
    return error


def _strange() -> ProviderError:
    detail = "what answers at its address is no devtools service of this version"
    return ProviderError("The developer tools did not answer usably.", provider=NAME, detail=detail)


def _broken_off() -> ProviderError:
    return ProviderError("The developer tools broke off before their answer was complete.", provider=NAME)
