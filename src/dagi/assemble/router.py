"""The router and its service (port 9102), put together."""

from collections.abc import Mapping

from dagi.assemble.caching import watch_cache
from dagi.assemble.installation import Installation, stack_version
from dagi.assemble.openai import openai_face
from dagi.assemble.providers import Built
from dagi.assemble.readiness import dependencies
from dagi.assemble.reload import Live
from dagi.assemble.services import built_callers, built_service
from dagi.assemble.world import World
from dagi.knowledge.grounding import Grounding, Measure
from dagi.observe.metrics import Metrics
from dagi.remote.devtools import RemoteTools
from dagi.router import Policy, Ports, Router
from dagi.services.dify import DifyFace
from dagi.services.http1.service import Service
from dagi.services.operations import Info, Operations, ProviderState
from dagi.services.route import RouteFace
from dagi.services.router import RouterFace
from dagi.services.sessions import SessionsFace
from dagi.services.streams import Asking
from dagi.stores.exchanges import ExchangeStore
from dagi.stores.sessions import SqlSessions


def built_router(installation: Installation, world: World, policy: Policy) -> Router:
    """The router over what the process has opened."""
    settings = installation.loaded.settings
    grounding = Grounding(
        world.facts,
        world.dialogs,
        world.observer,
        dao_name=world.directory.name,
        proposals=world.proposals,
        measure=Measure(facts=settings.knowledge.context_facts, history_tokens=settings.dialogs.history_tokens),
    )
    ports = Ports(
        members=world.directory,
        grounding=grounding,
        dialogs=world.dialogs,
        limits=world.limits,
        denials=world.denials,
        observer=world.observer,
        clock=world.clock,
    )
    return Router(policy, ports)


def router_service(
    installation: Installation, world: World, routing: tuple[Router, Live, RemoteTools | None], urls: Mapping[str, str]
) -> Service:
    """The router's endpoints; `urls` says where each service of the stack is reached."""
    (router, live, devtools), url = routing, urls["router"]
    settings = installation.loaded.settings
    keyless, callers = settings.environment == "development", built_callers(installation, world.directory, world.clock)
    _gauges(world.metrics, world.dialogs, live)
    watch_cache(world.metrics, world.answers)
    needed = dependencies(world.database, world.directory, world.dialogs, world.embedder, world.limits, devtools)
    asking = Asking(router, before_reply=settings.dialogs.durability == "before_reply")
    face = RouterFace(
        router=router,
        route=RouteFace(asking, callers),
        openai=openai_face(asking, callers),
        sessions=SessionsFace(SqlSessions(world.database), callers, router.grant),
        dify=DifyFace(callers, url=url, version=stack_version()),
        operations=Operations(callers, needed, open_details=keyless),
        info=lambda: Info(
            name="dagi-stack",
            version=stack_version(),
            environment=settings.environment,
            services=list(urls),
            providers=len(live.built),
            rules=len(router.policy.rules.rules),
        ),
        providers=lambda: [_provider_state(one) for one in live.built],
        metrics=world.metrics.exposition,
        cache=world.answers,
        url=url,
        version=stack_version(),
    )
    return built_service(installation, world, face.table())


def _gauges(metrics: Metrics, dialogs: ExchangeStore, live: Live) -> None:
    metrics.gauge("dagi_exchanges_unwritten", "Exchanges that are not on disk yet", lambda: dialogs.waiting)
    metrics.gauge(
        "dagi_provider_requests_active",
        "Requests at providers now",
        lambda: sum(one.resilient.active for one in live.built if one.resilient is not None),
    )
    metrics.gauge(
        "dagi_provider_requests_waiting",
        "Requests waiting for a provider now",
        lambda: sum(one.resilient.waiting for one in live.built if one.resilient is not None),
    )


def _provider_state(one: Built) -> ProviderState:
    configured, wrapped = one.configured, one.resilient
    return ProviderState(
        name=configured.name,
        type=configured.type,
        selectable=configured.selectable,
        state="not_configured" if wrapped is None else wrapped.breaker_state,
        detail=configured.missing,
        active=0 if wrapped is None else wrapped.active,
        waiting=0 if wrapped is None else wrapped.waiting,
    )
