"""A face without a server: bytes in; status, headers and bytes out, or pieces written to a line as they come."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from dagi.errors import MethodNotAllowed, Missing

Headers = list[tuple[bytes, bytes]]
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
JSON: Final = (b"content-type", b"application/json")
EVENT_STREAM: Final[Headers] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request, read. Header names are lower case; `peer` is the address of the other end, empty where there is none; `query` is
    what stands behind the question mark, still encoded.
    """

    id: str
    method: str
    path: str
    headers: Mapping[bytes, bytes]
    peer: str
    query: bytes = b""
    body: bytes = b""


class Line(Protocol):
    """Where a live answer is written to.

    Attributes:
        begun: its head has been sent; until then an error is an answer of its own.
        full: the caller takes less than it is sent; see `room`.
    """

    begun: bool
    full: bool

    def begin(self, headers: Headers) -> None:
        """Send the head, of status 200."""
        ...

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        ...

    async def room(self) -> None:
        """Wait until the caller has taken most of what it was sent."""
        ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer: a whole body, or `live`: it is written while it is made, from the head on."""

    status: int = 200
    headers: Headers = msgspec.field(default_factory=lambda: [JSON])
    body: bytes = b""
    live: Callable[[Line], Awaitable[None]] | None = None


class BrokenOff(Exception):
    """Raised by a live answer: it ends here, without its end, so that nobody takes what came for all of it."""


Handler = Callable[[Request], Awaitable[Answer]]
Audience = Literal["public", "caller"]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter in the path or the query, for the description; `schema` in JSON Schema's words, a text where empty."""

    name: str
    description: str
    place: Literal["path", "query"] = "query"
    schema: Mapping[str, object] = {}


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path, with what the API description says about it.

    Attributes:
        path: exact, or with `{name}` in the place of whole segments; `path_values` reads them.
        greedy: what the path ends with, a `{name}`, stands for whatever follows the slash, further slashes included.
        audience: `public` answers anyone; `caller` needs a proven caller outside of development (the handler checks).
        takes, gives: types of the JSON bodies, for the description; `fails` of an error's where it is not the usual one.
        stream: whether it may answer as server-sent events too.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    greedy: bool = False
    description: str = ""
    audience: Audience = "caller"
    takes: type | None = None
    gives: type | None = None
    gives_text: str | None = None
    fails: type | None = None
    stream: bool = False
    errors: Sequence[int] = ()
    parameters: Sequence[Parameter] = ()


class Table:
    """The endpoints of a service."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)
        self._by_path: dict[str, dict[str, Endpoint]] = {}
        # The paths with parameters, as expressions that run in linear time: no two parts of one can match the same.
        patterns = {endpoint.path: _pattern(endpoint) for endpoint in endpoints if "{" in endpoint.path}
        self._patterns = sorted(patterns.items(), key=lambda item: _PARAMETER.sub("~", item[0]))
        for endpoint in endpoints:
            self._by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint

    def find(self, method: str, path: str) -> Endpoint:
        """The endpoint for a request; HEAD is a GET whose body nobody sends.

        Raises:
            Missing: no such path.
            MethodNotAllowed: the path exists, the method does not.
        """
        methods = self._by_path.get(path) or self._by_path.get(self._pattern(path))
        if methods is None:
            raise Missing("There is nothing at this path. GET /openapi.json lists what there is.", known=sorted(self._by_path))
        endpoint = methods.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            allow = sorted([*methods, "HEAD"] if "GET" in methods else methods)
            raise MethodNotAllowed(f"This path takes {', '.join(allow)}.", allow=allow)
        return endpoint

    def _pattern(self, path: str) -> str:
        return next((template for template, pattern in self._patterns if pattern.fullmatch(path)), "")


def _pattern(endpoint: Endpoint) -> re.Pattern[str]:
    fixed = _PARAMETER.split(endpoint.path)[::2]
    last = "(.+)" if endpoint.greedy else "([^/]+)"
    return re.compile("([^/]+)".join(re.escape(part) for part in fixed[:-1]) + last + re.escape(fixed[-1]), re.DOTALL)


def path_values(template: str, path: str) -> dict[str, str]:
    """What stands in the places of a template's `{name}`s, decoded; for a path that was found by it, whose last part may hold slashes."""
    parts = template.split("/")
    return {name[1:-1]: value for name, value in zip(parts, path.split("/", len(parts) - 1), strict=True) if name.startswith("{")}
