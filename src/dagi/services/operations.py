"""What operators ask a service: is it alive, is it ready, what is it, what does it count, what does it route where."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Literal

import msgspec

from dagi.errors import DagiError
from dagi.services.bodies import ShareBody
from dagi.services.callers import Callers
from dagi.services.errors import encode
from dagi.services.face import JSON, Answer, Endpoint, Request

Check = Callable[[], Awaitable[str | None]]
_CHECK_S = 2.0


class Dependency(msgspec.Struct, frozen=True):
    """Something the service works with.

    Attributes:
        check: None when it is well, else what is wrong with it, for operators.
        needed: the service cannot work without it.
        tells: what operators may want to know of it while it is well.
    """

    name: str
    check: Check
    needed: bool = True
    tells: Callable[[], str] = str


class Health(msgspec.Struct):
    """Alive."""

    status: Literal["ok"]


class DependencyState(msgspec.Struct):
    """One dependency's state and how long the check took."""

    name: str
    state: Literal["ok", "down"]
    needed: bool
    latency_ms: float
    detail: str


class Readiness(msgspec.Struct):
    """Whether the service can work; `dependencies` for callers with the entitlement `metrics.read`."""

    status: Literal["ready", "degraded", "not_ready"]
    dependencies: list[DependencyState]


class Info(msgspec.Struct):
    """What runs here."""

    name: str
    version: str
    environment: str
    services: list[str]
    providers: int
    rules: int


class ProviderState(msgspec.Struct):
    """One provider. `state` is its breaker: closed, open, half_open; or not_configured."""

    name: str
    type: str
    selectable: bool
    state: str
    detail: str = ""
    active: int = 0
    waiting: int = 0


class Providers(msgspec.Struct):
    """All configured providers."""

    providers: list[ProviderState]


class RuleBody(msgspec.Struct):
    """One rule, as it is in force."""

    name: str
    priority: int
    conditions: list[str]
    providers: list[str]
    follows_metadata_provider: bool
    requires: str | None
    timeout_ms: float | None
    deadline_ms: float | None
    context: dict[str, bool] | None
    shares: list[ShareBody]
    parameters: dict[str, object]
    cache_ttl_s: float | None


class Rules(msgspec.Struct):
    """All rules in the order in which they are tried."""

    rules: list[RuleBody]


class Operations:
    """Health, readiness and what is in force.

    Args:
        open_details: details are for everybody who may call at all (development).
    """

    def __init__(self, callers: Callers, dependencies: Sequence[Dependency], *, open_details: bool) -> None:
        self._callers = callers
        self._dependencies = dependencies
        self._open_details = open_details

    def endpoints(self, metrics: Callable[[], bytes]) -> Sequence[Endpoint]:
        """What every service has; `metrics` gives the exposition."""
        text = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
        return (
            Endpoint(method="GET", path="/health", handler=self.health, summary="Alive", audience="public", gives=Health),
            Endpoint(
                method="GET", path="/ready", handler=self.ready, summary="Ready to work", audience="public", gives=Readiness, errors=(503,)
            ),
            Endpoint(
                method="GET",
                path="/metrics",
                handler=self.for_operators("metrics.read", lambda: Answer(headers=text, body=metrics())),
                summary="Prometheus metrics",
                description="Needs the entitlement `metrics.read`.",
                gives_text="text/plain",
                errors=(401, 403),
            ),
        )

    async def health(self, _request: Request) -> Answer:
        """GET /health: the process answers; no dependency is asked."""
        return Answer(body=b'{"status":"ok"}')

    async def ready(self, request: Request) -> Answer:
        """GET /ready: 503 when something the service cannot work without is down."""
        states = await asyncio.gather(*(_state(dependency) for dependency in self._dependencies))
        down = [state for state in states if state.state == "down"]
        status = "not_ready" if any(state.needed for state in down) else "degraded" if down else "ready"
        body: Mapping[str, object] = {"status": status}
        if self._may_see_details(request):
            body = msgspec.to_builtins(Readiness(status, list(states)))
        return Answer(status=503 if status == "not_ready" else 200, headers=[JSON], body=encode(body))

    def _may_see_details(self, request: Request) -> bool:
        try:
            caller = self._callers.prove(request)
            if not self._open_details:
                self._callers.require(caller, "metrics.read")
        except DagiError:
            return False
        return True

    def for_operators(self, entitlement: str | None, give: Callable[[], Answer]) -> Callable[[Request], Awaitable[Answer]]:
        """A handler for callers with the entitlement (any proven caller where it is None)."""

        async def handler(request: Request) -> Answer:
            caller = self._callers.prove(request)
            if entitlement is not None:
                self._callers.require(caller, entitlement)
            return give()

        return handler


async def _state(dependency: Dependency) -> DependencyState:
    began = perf_counter()
    try:
        async with asyncio.timeout(_CHECK_S):
            wrong = await dependency.check()
    except TimeoutError:
        wrong = f"did not answer within {_CHECK_S:g} s"
    except DagiError as error:
        wrong = error.message
    return DependencyState(
        name=dependency.name,
        state="ok" if wrong is None else "down",
        needed=dependency.needed,
        latency_ms=round((perf_counter() - began) * 1000, 3),
        detail=wrong or dependency.tells(),
    )
