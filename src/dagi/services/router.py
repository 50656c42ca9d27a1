"""The router's face (port 9102): its table of endpoints."""

from collections.abc import Callable, Sequence

import msgspec

from dagi.ports.cache import AnswerCache, CacheCleared, CacheStats
from dagi.router import Router
from dagi.rules.rule import Rule
from dagi.services.bodies import ExplainReply, RouteBody, RouteReply
from dagi.services.dify import DifyFace
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Table
from dagi.services.openai.face import OpenAIFace
from dagi.services.openapi import describe
from dagi.services.operations import Info, Operations, Providers, ProviderState, RuleBody, Rules
from dagi.services.route import RouteFace, share_bodies
from dagi.services.sessions import SessionsFace

_STREAM = (
    "With `stream: true` the answer is `text/event-stream`; every frame is `data: {…}` and a blank line, with a `type`: "
    "`delta` (`text`), `data` (`data`), `progress` (`kind`: what a tool does meanwhile), `attempt` (`provider`, `outcome`, `ms`: an "
    "attempt that failed), `usage` (`usage`), and one of `end` (the reply without `response` and `data`) or `error` (as an error body) as "
    "the last."
)


class RouterFace(msgspec.Struct, frozen=True, kw_only=True):
    """What the router's endpoints need."""

    router: Router
    route: RouteFace
    openai: OpenAIFace
    sessions: SessionsFace
    dify: DifyFace
    operations: Operations
    info: Callable[[], Info]
    providers: Callable[[], Sequence[ProviderState]]
    metrics: Callable[[], bytes]
    cache: AnswerCache
    url: str
    version: str

    def table(self) -> Table:
        """All endpoints of the router."""
        operations = self.operations
        endpoints = [
            Endpoint(
                method="POST",
                path="/route",
                handler=self.route.route,
                summary="Ask the DAO's assistant, a tool or a workflow",
                description=_STREAM,
                takes=RouteBody,
                gives=RouteReply,
                stream=True,
                errors=(400, 401, 403, 404, 413, 429, 502, 503, 504),
            ),
            Endpoint(
                method="POST",
                path="/route/explain",
                handler=self.route.explain,
                summary="Why a message would go where it would go, without asking a target",
                takes=RouteBody,
                gives=ExplainReply,
                errors=(400, 401, 403),
            ),
            *self.openai.endpoints(),
            *self.sessions.endpoints(),
            self.dify.endpoint(),
            *operations.endpoints(self.metrics),
            self._operators("/info", None, lambda: _json(self.info()), "What runs here", gives=Info),
            self._operators("/providers", "explain.read", lambda: _json(Providers(list(self.providers()))), "Providers", gives=Providers),
            self._operators(
                "/cache", "metrics.read", lambda: _json(self.cache.stats()), "Answers kept for equal questions", gives=CacheStats
            ),
            msgspec.structs.replace(
                self._operators("/cache", "config.update", lambda: _json(self.cache.clear()), "Forget every answer", gives=CacheCleared),
                method="DELETE",
            ),
            self._operators("/rules", "explain.read", lambda: _json(self._rules()), "Routing rules in force", gives=Rules),
        ]
        description: list[bytes] = []
        endpoints.append(self._operators("/openapi.json", None, lambda: Answer(body=description[0]), "This description"))
        description.append(encode(describe(endpoints, title="DAGI Stack router", version=self.version, server=self.url)))
        return Table(endpoints)

    def _operators(
        self,
        path: str,
        entitlement: str | None,
        give: Callable[[], Answer],
        summary: str,
        *,
        gives: type | None = None,
        gives_text: str | None = None,
    ) -> Endpoint:
        needs = f"Needs the entitlement `{entitlement}`." if entitlement else ""
        return Endpoint(
            method="GET",
            path=path,
            handler=self.operations.for_operators(entitlement, give),
            summary=summary,
            description=needs,
            gives=gives,
            gives_text=gives_text,
            errors=(401, 403),
        )

    def _rules(self) -> Rules:
        return Rules([_rule(rule) for rule in self.router.policy.rules.rules])


def _json(value: object) -> Answer:
    return Answer(body=encode(value))


def _rule(rule: Rule) -> RuleBody:
    return RuleBody(
        name=rule.name,
        priority=rule.priority,
        conditions=[condition.text for condition in rule.conditions],
        providers=list(rule.providers),
        follows_metadata_provider=rule.by_wish,
        requires=rule.requires,
        timeout_ms=None if rule.timeout_s is None else rule.timeout_s * 1000,
        deadline_ms=None if rule.deadline_s is None else rule.deadline_s * 1000,
        context=None if rule.wanted is None else msgspec.to_builtins(rule.wanted),
        shares=share_bodies(rule.shares),
        parameters={} if rule.parameters is None else dict(rule.parameters.values),
        cache_ttl_s=rule.reuse_s,
    )
