"""The process that answers: router and its face, on one event loop."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import msgspec

from dagi.assemble.caching import watch_cache
from dagi.assemble.dialogs import dialog_work
from dagi.assemble.embedding import local_embeddings
from dagi.assemble.files import ENOUGH_FILES, few_files, most_callers, raise_open_files
from dagi.assemble.installation import Installation, stack_version
from dagi.assemble.limits import local_limits, opened_limits, read_terms
from dagi.assemble.openai import openai_face
from dagi.assemble.providers import Built, Configured
from dagi.assemble.readiness import dependencies
from dagi.assemble.reload import Fresh, Live, Reloader, read_fresh
from dagi.assemble.server import Server
from dagi.knowledge.grounding import Grounding
from dagi.knowledge.search import Search
from dagi.observe.clock import SystemClock
from dagi.observe.log import open_log
from dagi.observe.metrics import Metrics
from dagi.observe.observer import LoggingObserver
from dagi.outbound import Client
from dagi.ports.cache import AnswerCache
from dagi.ports.provider import ProviderTools
from dagi.remote.embedder import RemoteEmbedder
from dagi.router import Policy, Ports, Router
from dagi.services.callers import LOCAL_USER, Callers
from dagi.services.dify import DifyFace
from dagi.services.http1.service import Bounds, Service
from dagi.services.operations import Info, Operations, ProviderState
from dagi.services.route import RouteFace
from dagi.services.router import RouterFace
from dagi.services.sessions import SessionsFace
from dagi.services.streams import Asking
from dagi.stores.database import Database
from dagi.stores.directory import Directory
from dagi.stores.erasure import ErasureWatch
from dagi.stores.exchanges import ExchangeStore
from dagi.stores.limits import LocalLimits
from dagi.stores.passages import SqlPassages
from dagi.stores.sessions import SqlSessions
from dagi.stores.shared_limits import SharedLimits
from dagi.targets.resilience.answers import Answers

SWITCH_S: Final = 0.0005


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the answering process holds, ready to serve."""

    router: Router
    service: Service
    directory: Directory
    observer: LoggingObserver
    reloader: Reloader
    cache: AnswerCache


class _World(msgspec.Struct, frozen=True, kw_only=True):
    """What the process has opened: everything with a life of its own."""

    clock: SystemClock
    metrics: Metrics
    observer: LoggingObserver
    database: Database
    directory: Directory
    dialogs: ExchangeStore
    local_limits: LocalLimits
    limits: LocalLimits | SharedLimits
    embedder: RemoteEmbedder | None
    vectors: RemoteEmbedder | None
    facts: Search
    http: Client
    answers: Answers


@asynccontextmanager
async def opened_front(installation: Installation, url: str, *, lasting: bool = True) -> AsyncGenerator[Front]:
    """Put the front together; leaving writes what is unwritten and closes everything, in reverse order.

    Args:
        lasting: do beside the requests what a server does; a command that asks one question does not.

    Raises:
        ConfigError: the configuration is wrong.
        StoreError: the database cannot be used.
    """
    fresh = read_fresh(installation)
    async with AsyncExitStack() as stack:
        world = await _opened(stack, installation, fresh.configured)
        local = local_embeddings(world.vectors, world.clock, world.observer)
        live = Live(fresh, world.clock, world.observer, lambda one: _tools(world, one), world.answers, local)
        stack.push_async_callback(live.aclose)
        router = _router(installation, world, live.policy)

        async def apply(fresh: Fresh) -> Sequence[str]:
            router.policy = live.replaced(fresh, router.quiet())
            world.local_limits.use(read_terms(fresh.installation.loaded.settings, fresh.configured))
            return live.renewed

        reloader = Reloader(installation, apply, world.clock.now, world.observer)
        for name, work in _background(installation, world, router, reloader).items() if lasting else ():
            stack.push_async_callback(_cancelled, asyncio.create_task(work, name=name))
        yield Front(
            router=router,
            service=_service(installation, world, router, live, url),
            directory=world.directory,
            observer=world.observer,
            reloader=reloader,
            cache=world.answers,
        )


def _tools(world: "_World", configured: Configured) -> ProviderTools:
    return ProviderTools(http=world.http, facts=world.facts, clock=world.clock, api_key=configured.api_key, note=world.observer.note)


def _background(installation: Installation, world: "_World", router: Router, reloader: Reloader) -> dict[str, Coroutine[None, None, None]]:
    """What goes on beside the requests, for as long as the process lives."""
    work: dict[str, Coroutine[None, None, None]] = {"directory": world.directory.follow(), "reload": reloader.follow()}
    work |= dialog_work(installation.loaded.settings, world.database, world.dialogs, router)
    work["erasures"] = ErasureWatch(world.database, world.clock).follow(world.answers.clear)
    if installation.loaded.settings.server.reload_on_change:
        work["watch"] = reloader.watch()
    return work


async def _opened(stack: AsyncExitStack, installation: Installation, configured: Sequence[Configured]) -> _World:
    settings = installation.loaded.settings
    clock, metrics = SystemClock(), Metrics()
    observer = LoggingObserver(open_log(installation.log_plan(), "router"), metrics)
    stack.callback(observer.flush)
    database = installation.database()
    stack.push_async_callback(database.close)
    operators = frozenset({LOCAL_USER}) if settings.environment == "development" else frozenset[str]()
    directory = Directory(database, clock, observer, operators)
    await directory.refresh()
    dialogs = await stack.enter_async_context(
        ExchangeStore(database, observer, flush_s=settings.dialogs.flush_ms / 1000, places=settings.dialogs.buffer)
    )
    local = await local_limits(installation, configured, database, directory, clock)
    limits = await opened_limits(stack, installation, local, database, observer)
    embedder = await _embedder(stack, installation) if settings.knowledge.embedder else None
    # Texts of callers take longer than searches, and more so on a busy machine.
    vectors = await _embedder(stack, installation, stalled_s=30.0) if settings.knowledge.embedder else None
    return _World(
        clock=clock,
        metrics=metrics,
        observer=observer,
        database=database,
        directory=directory,
        dialogs=dialogs,
        local_limits=local,
        limits=limits,
        embedder=embedder,
        vectors=vectors,
        facts=Search(SqlPassages(database), embedder, timeout_ms=settings.knowledge.search_timeout_ms),
        http=await stack.enter_async_context(Client()),
        answers=Answers(clock, max_entries=settings.cache.max_entries, max_bytes=settings.cache.max_mb * 2**20),
    )


async def _embedder(stack: AsyncExitStack, installation: Installation, *, stalled_s: float = 2.0) -> RemoteEmbedder:
    embedder = RemoteEmbedder(installation.embedder_socket, stalled_s=stalled_s)
    stack.push_async_callback(embedder.close)
    await embedder.connect()
    return embedder


def _router(installation: Installation, world: _World, policy: Policy) -> Router:
    settings = installation.loaded.settings
    grounding = Grounding(
        world.facts,
        world.dialogs,
        world.observer,
        dao_name=world.directory.name,
        facts_limit=settings.knowledge.context_facts,
        history_tokens=settings.dialogs.history_tokens,
    )
    ports = Ports(
        members=world.directory,
        grounding=grounding,
        dialogs=world.dialogs,
        limits=world.limits,
        observer=world.observer,
        clock=world.clock,
    )
    return Router(policy, ports)


def _service(installation: Installation, world: _World, router: Router, live: Live, url: str) -> Service:
    settings = installation.loaded.settings
    keyless = settings.environment == "development"
    callers = Callers(world.directory, world.directory, world.clock, keyless=keyless, default_dao=lambda: settings.dao.default)
    _gauges(world.metrics, world.dialogs, live)
    watch_cache(world.metrics, world.answers)
    needed = dependencies(world.database, world.directory, world.dialogs, world.embedder, world.limits)
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
            services=["router"],
            providers=len(live.built),
            rules=len(router.policy.rules.rules),
        ),
        providers=lambda: [_provider_state(one) for one in live.built],
        metrics=world.metrics.exposition,
        cache=world.answers,
        url=url,
        version=stack_version(),
    )
    bounds = Bounds(body_bytes=settings.server.max_body_bytes, body_s=settings.server.body_timeout_ms / 1000)
    return Service(face.table(), bounds, world.observer)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


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


async def serve_front(installation: Installation, listener: socket.socket, url: str, ready: Callable[[], None]) -> None:
    """Answer on a listening socket until the process is told to stop (SIGTERM).

    Args:
        ready: called once the first request could be answered.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with opened_front(installation, url) as front:
        loop.add_signal_handler(signal.SIGHUP, front.reloader.ask)
        _tune_collector()
        # The writer's thread asks for Python's lock some fifty times a batch. At the usual 5 ms each it could not keep up with a busy loop.
        sys.setswitchinterval(SWITCH_S)
        files = raise_open_files()
        if few_files(files) is not None:
            front.observer.note("few_open_files", level="warning", files=files, callers=most_callers(files), enough=ENOUGH_FILES)
        server = Server(front.service, _shutdown_s(installation), most_callers(files), ready)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        if stopping.is_set():
            # Told so while it was still getting ready.
            server.stop()
        await server.serve([listener])


def _shutdown_s(installation: Installation) -> float:
    return installation.loaded.settings.server.shutdown_timeout_ms / 1000


def _tune_collector() -> None:
    """What was loaded by now stays; looking through it again and again costs a tenth of every request (measured)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@asynccontextmanager
async def serving(front: Front, installation: Installation, listener: socket.socket, most: int = 1_000) -> AsyncGenerator[None]:
    """Answer on a listening socket while the context lasts, on the caller's event loop; `most` connections at once."""
    started = asyncio.Event()
    server = Server(front.service, _shutdown_s(installation), most, started.set)
    running = asyncio.create_task(server.serve([listener]))
    await started.wait()
    try:
        yield
    finally:
        server.stop()
        await running
