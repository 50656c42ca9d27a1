"""The process that answers: the router, and the services that are as light as it, on one event loop."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from secrets import token_hex
from typing import Final

import msgspec

from dagi.access.decide import decide
from dagi.assemble.background import cancelled, ended, kept_going
from dagi.assemble.dialogs import dialog_work
from dagi.assemble.embedding import local_embeddings
from dagi.assemble.files import ENOUGH_FILES, few_files, most_callers, raise_open_files
from dagi.assemble.gateway import Gateway, gateway_service
from dagi.assemble.installation import Installation
from dagi.assemble.limits import read_terms
from dagi.assemble.platforms import read_platforms
from dagi.assemble.providers import Configured
from dagi.assemble.rbac import rbac_service
from dagi.assemble.reload import Fresh, Live, Reloader, read_fresh
from dagi.assemble.router import built_router, router_service
from dagi.assemble.server import Server
from dagi.assemble.services import DEVTOOLS
from dagi.assemble.signing import grant_signer
from dagi.assemble.world import World, opened_world
from dagi.message import Grant, Sender
from dagi.observe.observer import LoggingObserver
from dagi.ports.cache import AnswerCache
from dagi.ports.devtools import Tools
from dagi.ports.provider import ProviderTools
from dagi.ports.target import Chain
from dagi.remote.devtools import RemoteTools
from dagi.router import Router
from dagi.services.http1.service import Service
from dagi.stores.directory import Directory
from dagi.stores.erasure import ErasureWatch

SWITCH_S: Final = 0.0005
# The part of all connections that a service beside the router may have open.
ASIDE: Final = 8


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the answering process holds, ready to serve; `services` by their names."""

    router: Router
    services: Mapping[str, Service]
    directory: Directory
    observer: LoggingObserver
    reloader: Reloader
    cache: AnswerCache


@asynccontextmanager
async def opened_front(installation: Installation, urls: Mapping[str, str], *, lasting: bool = True) -> AsyncGenerator[Front]:
    """Put the front together; leaving writes what is unwritten and closes everything, in reverse order.

    Args:
        urls: the services that are wanted, and where each is reached; and those of other processes that are asked.
        lasting: do beside the requests what a server does; a command that asks one question does not.

    Raises:
        ConfigError: the configuration is wrong.
        StoreError: the database cannot be used.
    """
    fresh = read_fresh(installation)
    async with AsyncExitStack() as stack:
        world = await opened_world(stack, installation, fresh.configured)
        local = local_embeddings(world.vectors, world.clock, world.observer)
        devtools = _devtools(installation, world, urls)

        def asked(names: tuple[str, ...]) -> Chain:
            # By the policy of the moment in which a provider asks another one.
            return live.policy.targets.chain(names)

        live = Live(fresh, world.clock, world.observer, lambda one: _tools(world, one, devtools, asked), world.answers, local)
        stack.push_async_callback(live.aclose)
        router = built_router(installation, world, live.policy)

        async def apply(fresh: Fresh) -> Sequence[str]:
            router.policy = live.replaced(fresh, router.quiet())
            world.local_limits.use(read_terms(fresh.installation.loaded.settings, fresh.configured))
            return live.renewed

        reloader = Reloader(installation, apply, world.clock.now, world.observer)
        gateway = _gateway(installation, world, router) if "gateway" in urls else None
        if gateway is not None:
            stack.push_async_callback(gateway.aclose)
        work = _background(installation, world, router, reloader, gateway) if lasting else {}
        if devtools is not None and lasting:
            work["devtools"] = devtools.follow()
        for name, each in work.items():
            task = asyncio.create_task(each, name=name)
            task.add_done_callback(partial(ended, world.observer))
            stack.push_async_callback(cancelled, task)
        yield Front(
            router=router,
            services=_services(installation, world, (router, live, devtools), urls, gateway),
            directory=world.directory,
            observer=world.observer,
            reloader=reloader,
            cache=world.answers,
        )


def _gateway(installation: Installation, world: World, router: Router) -> Gateway:
    platforms = read_platforms(installation)
    return Gateway(installation, world, router, platforms.bots, platforms.applications)


def _devtools(installation: Installation, world: World, urls: Mapping[str, str]) -> RemoteTools | None:
    """The developer tools, in another process of this stack or wherever the configuration says."""
    url = installation.loaded.settings.devtools.url or urls.get(DEVTOOLS)
    return None if url is None else RemoteTools(url, world.http, grant_signer(installation), world.clock)


def _services(
    installation: Installation,
    world: World,
    routing: tuple[Router, Live, RemoteTools | None],
    urls: Mapping[str, str],
    gateway: Gateway | None,
) -> dict[str, Service]:
    services: dict[str, Service] = {}
    if "router" in urls:
        services["router"] = router_service(installation, world, routing, urls)
    if "rbac" in urls:
        services["rbac"] = rbac_service(installation, world, urls["rbac"])
    if gateway is not None:
        services["gateway"] = gateway_service(installation, world, gateway, urls["gateway"])
    return services


def _tools(world: World, configured: Configured, devtools: Tools | None, chain: Callable[[tuple[str, ...]], Chain]) -> ProviderTools:
    def rights(sender: Sender) -> Grant:
        return decide(sender, world.directory.standing(sender.dao_id, sender.user_id), world.clock.now(), token_hex(8))

    return ProviderTools(
        http=world.http,
        facts=world.facts,
        clock=world.clock,
        api_key=configured.api_key,
        note=world.observer.note,
        proposals=world.proposals,
        devtools=devtools,
        chain=chain,
        rights=rights,
    )


def _background(
    installation: Installation, world: World, router: Router, reloader: Reloader, gateway: Gateway | None
) -> dict[str, Coroutine[None, None, None]]:
    """What goes on beside the requests, for as long as the process lives."""
    work: dict[str, Coroutine[None, None, None]] = {"directory": world.directory.follow(), "reload": reloader.follow()}
    work["proposals"] = world.proposals.follow()
    work["tokens"] = world.tokens.checks.follow()
    if gateway is not None:
        clock = world.clock
        work |= {name: kept_going(name, begin, world.observer, clock) for name, begin in gateway.work().items()}
    work |= dialog_work(installation.loaded.settings, world.database, world.dialogs, router)
    work["erasures"] = ErasureWatch(world.database, world.clock).follow(world.answers.clear)
    if installation.loaded.settings.server.reload_on_change:
        work["watch"] = reloader.watch()
    return work


async def serve_front(
    installation: Installation, listeners: Mapping[str, socket.socket], urls: Mapping[str, str], ready: Callable[[], None]
) -> None:
    """Answer on listening sockets, one a service, until the process is told to stop (SIGTERM).

    Args:
        ready: called once the first request could be answered.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with opened_front(installation, urls) as front:
        loop.add_signal_handler(signal.SIGHUP, front.reloader.ask)
        _tune_collector()
        # The writer's thread asks for Python's lock some fifty times a batch. At the usual 5 ms each it could not keep up with a busy loop.
        sys.setswitchinterval(SWITCH_S)
        files = raise_open_files()
        if few_files(files) is not None:
            front.observer.note("few_open_files", level="warning", files=files, callers=most_callers(files), enough=ENOUGH_FILES)
        servers = _Servers(front, installation, most_callers(files), ready)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, servers.stop)
        if stopping.is_set():
            # Told so while it was still getting ready.
            servers.stop()
        await servers.serve(listeners)


class _Servers:
    """One server a service, which begin and end together."""

    def __init__(self, front: Front, installation: Installation, most: int, ready: Callable[[], None]) -> None:
        shutdown_s = installation.loaded.settings.server.shutdown_timeout_ms / 1000
        aside = max(most // ASIDE, 1)
        shares = {name: aside for name in front.services if name != "router"}
        shares["router"] = most - sum(shares.values())
        self._waiting = len(front.services)
        self._ready = ready
        self._servers = {name: Server(one, shutdown_s, shares[name], self._one_is_ready) for name, one in front.services.items()}

    def _one_is_ready(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._ready()

    def stop(self) -> None:
        """See Server."""
        for server in self._servers.values():
            server.stop()

    async def serve(self, listeners: Mapping[str, socket.socket]) -> None:
        """See Server."""
        await asyncio.gather(*(server.serve([listeners[name]]) for name, server in self._servers.items()))


def _tune_collector() -> None:
    """What was loaded by now stays; looking through it again and again costs a tenth of every request (measured)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@asynccontextmanager
async def serving(
    front: Front, installation: Installation, listeners: Mapping[str, socket.socket], most: int = 1_000
) -> AsyncGenerator[None]:
    """Answer on listening sockets while the context lasts, on the caller's event loop; `most` connections at once."""
    started = asyncio.Event()
    servers = _Servers(front, installation, most, started.set)
    running = asyncio.create_task(servers.serve(listeners))
    await started.wait()
    try:
        yield
    finally:
        servers.stop()
        await running
