"""`POST /route` and `POST /route/explain`: the stack's own protocol."""

from collections.abc import Iterable

import msgspec

from dagi.access.limits import MICROS, Gauge
from dagi.errors import DagiError
from dagi.message import Message
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Data, Delta, Event, Step, TargetInfo, Tried, Used
from dagi.router import Explanation
from dagi.rules.shares import Share
from dagi.services.bodies import (
    AttemptBody,
    ExplainReply,
    GrantBody,
    LimitsBody,
    RouteBody,
    RouteReply,
    ShareBody,
    TargetLimits,
    UsageBody,
    UsageLimit,
    VerdictBody,
    read_body,
    read_claims,
    to_message,
)
from dagi.services.callers import Callers
from dagi.services.errors import encode, error_body
from dagi.services.face import JSON, Answer, Request
from dagi.services.ratelimits import limit_headers
from dagi.services.streams import Asking


class RouteFace:
    """Decodes, asks the router, encodes."""

    def __init__(self, asking: Asking, callers: Callers) -> None:
        self._asking = asking
        self._router = asking.router
        self._callers = callers

    async def route(self, request: Request) -> Answer:
        """POST /route."""
        message, body = self._message(request)
        exchange = self._router.exchange(message)
        if body.stream:
            return self._asking.streamed(exchange, RouteFrames())
        await self._asking.whole(exchange)
        return Answer(headers=[JSON, *limit_headers(exchange.allowance)], body=encode(reply_body(exchange)))

    async def explain(self, request: Request) -> Answer:
        """POST /route/explain."""
        caller = self._callers.prove(request)
        self._callers.require(caller, "explain.read")
        body = read_body(request.body)
        message = to_message(body, self._callers.sender(caller, read_claims(body), request.id), request.id)
        explanation = self._router.explain(message)
        return Answer(body=encode(explanation_body(explanation, request.id, await self._usage(explanation, message))))

    async def _usage(self, explanation: Explanation, message: Message) -> tuple[Gauge, ...]:
        """The limits in force for the sender; nothing of a DAO that the sender is a stranger to."""
        if not explanation.grant.entitlements:
            return ()
        try:
            allowance = await self._router.ports.limits.look(message.sender)
        except DagiError as error:
            explanation.refusal = explanation.refusal or error
            return ()
        explanation.refusal = explanation.refusal or allowance.refusal
        return allowance.gauges

    def _message(self, request: Request) -> tuple[Message, RouteBody]:
        caller = self._callers.prove(request)
        body = read_body(request.body)
        return to_message(body, self._callers.sender(caller, read_claims(body), request.id), request.id), body


class RouteFrames:
    """Our own protocol's frames; see `dagi.services.streams.Frames`."""

    cuts = False
    framed = False
    raw = False

    def frame(self, event: Event) -> bytes | None:
        """See `Frames`."""
        match event:
            case Delta(text):
                return _sse({"type": "delta", "text": text})
            case Data(values):
                return _sse({"type": "data", "data": values})
            case Step(told):
                return _sse({**told, "type": "progress"})
            case Tried(attempt) if attempt.outcome != "ok":
                return _sse({"type": "attempt", "provider": attempt.provider, "outcome": attempt.outcome, "ms": round(attempt.ms, 3)})
            case Used(usage):
                return _sse({"type": "usage", "usage": usage})
            case _:
                # End and Failure close the stream with the whole account; thoughts and waiting are not the caller's business.
                return None

    def ending(self, exchange: Exchange) -> bytes:
        """See `Frames`."""
        closing = msgspec.to_builtins(reply_body(exchange))
        return _sse({"type": "end", **{key: value for key, value in closing.items() if key not in {"response", "data"}}})

    def failure(self, error: DagiError, exchange: Exchange) -> bytes:
        """See `Frames`."""
        return _sse({"type": "error", **error_body(error, exchange.message.id)})


def _sse(value: dict[str, object]) -> bytes:
    return b"data: " + encode(value) + b"\n\n"


def reply_body(exchange: Exchange) -> RouteReply:
    """The exchange's reply as JSON has it."""
    usage = exchange.usage
    return RouteReply(
        request_id=exchange.message.id,
        mode=exchange.message.mode,
        rule=exchange.rule,
        provider=exchange.provider,
        model=exchange.model,
        response=exchange.text,
        data=exchange.data,
        usage=UsageBody(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens, usage.reasoning_tokens),
        timings_ms={name: round(ms, 3) for name, ms in exchange.timings_ms.items()},
        attempts=[AttemptBody(attempt.provider, attempt.outcome, round(attempt.ms, 3)) for attempt in exchange.attempts],
        cached=exchange.cached,
    )


def explanation_body(explanation: Explanation, request_id: str, gauges: tuple[Gauge, ...] = ()) -> ExplainReply:
    """An explanation as JSON has it."""
    grant, refusal = explanation.grant, explanation.refusal
    return ExplainReply(
        request_id=request_id,
        allowed=refusal is None,
        grant=GrantBody(grant.dao_id, grant.user_id, list(grant.roles), sorted(grant.entitlements), grant.reason),
        rules=[
            VerdictBody(verdict.rule, verdict.priority, verdict.outcome, verdict.condition)  # pyright: ignore[reportArgumentType]
            for verdict in explanation.rules
        ],
        rule=explanation.rule,
        requires=explanation.requires,
        targets=[target.name for target in explanation.targets],
        limits=LimitsBody(
            explanation.deadline_ms,
            [_limits(target, explanation.timeout_ms) for target in explanation.targets],
            [_usage(gauge) for gauge in gauges],
        ),
        context=msgspec.to_builtins(explanation.context),
        shares=share_bodies(explanation.shares),
        parameters=dict(explanation.parameters),
        cache_ttl_s=explanation.cache_ttl_s,
        refusal=None if refusal is None else _refusal(refusal, request_id),
    )


def share_bodies(shares: Iterable[Share]) -> list[ShareBody]:
    """A rule's shares as JSON has them."""
    return [ShareBody(share.name, share.weight, round(share.share, 4)) for share in shares]


def _usage(gauge: Gauge) -> UsageLimit:
    unit = MICROS if gauge.kind == "money_per_month" else 1
    value, used, remaining = (amount / unit if unit > 1 else amount for amount in (gauge.limit, gauge.used, gauge.remaining))
    return UsageLimit(gauge.of, gauge.kind, value, used, remaining, round(gauge.reset_s, 3))


def _limits(target: TargetInfo, timeout_ms: float | None) -> TargetLimits:
    values: dict[str, object] = msgspec.to_builtins(target)
    return msgspec.convert(values if timeout_ms is None else {**values, "timeout_ms": timeout_ms}, TargetLimits)


def _refusal(error: DagiError, request_id: str) -> dict[str, object]:
    return {key: value for key, value in error_body(error, request_id).items() if key not in {"status", "request_id"}}
