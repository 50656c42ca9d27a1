"""What the answering process has opened: everything with a life of its own, shared by the services in it."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from dagi.assemble.installation import Installation
from dagi.assemble.limits import local_limits, opened_limits
from dagi.assemble.providers import Configured
from dagi.assemble.tokens import Tokens
from dagi.knowledge.search import Search
from dagi.observe.clock import SystemClock
from dagi.observe.log import open_log
from dagi.observe.metrics import Metrics
from dagi.observe.observer import LoggingObserver
from dagi.outbound import Client
from dagi.remote.embedder import RemoteEmbedder
from dagi.services.callers import LOCAL_USER
from dagi.stores.chat_bindings import Bindings
from dagi.stores.database import Database
from dagi.stores.denials import DenialStore
from dagi.stores.directory import Directory
from dagi.stores.exchanges import ExchangeStore
from dagi.stores.limits import LocalLimits
from dagi.stores.open_proposals import OpenProposals
from dagi.stores.passages import SqlPassages
from dagi.stores.shared_limits import SharedLimits
from dagi.targets.resilience.answers import Answers


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What the process has opened: everything with a life of its own."""

    clock: SystemClock
    metrics: Metrics
    observer: LoggingObserver
    database: Database
    directory: Directory
    proposals: OpenProposals
    bindings: Bindings
    dialogs: ExchangeStore
    denials: DenialStore
    local_limits: LocalLimits
    limits: LocalLimits | SharedLimits
    embedder: RemoteEmbedder | None
    vectors: RemoteEmbedder | None
    facts: Search
    http: Client
    tokens: Tokens
    answers: Answers


async def opened_world(stack: AsyncExitStack, installation: Installation, configured: Sequence[Configured]) -> World:
    """Open it all; leaving the stack closes it in reverse order.

    Raises:
        StoreError: the database cannot be used.
    """
    settings = installation.loaded.settings
    clock, metrics = SystemClock(), Metrics()
    observer = LoggingObserver(open_log(installation.log_plan(), "router"), metrics)
    stack.callback(observer.flush)
    database = installation.database()
    stack.push_async_callback(database.close)
    operators = frozenset({LOCAL_USER}) if settings.environment == "development" else frozenset[str]()
    directory = Directory(database, clock, observer, operators)
    await directory.refresh()
    proposals = OpenProposals(database, clock)
    await proposals.refresh()
    bindings = Bindings(database, clock)
    await bindings.refresh()
    dialogs = await stack.enter_async_context(
        ExchangeStore(database, observer, flush_s=settings.dialogs.flush_ms / 1000, places=settings.dialogs.buffer)
    )
    local = await local_limits(installation, configured, database, directory, clock)
    limits = await opened_limits(stack, installation, local, database, observer)
    embedder = await _embedder(stack, installation) if settings.knowledge.embedder else None
    # Texts of callers take longer than searches, and more so on a busy machine.
    http = await stack.enter_async_context(Client())
    vectors = await _embedder(stack, installation, stalled_s=30.0) if settings.knowledge.embedder else None
    return World(
        clock=clock,
        metrics=metrics,
        observer=observer,
        database=database,
        directory=directory,
        proposals=proposals,
        bindings=bindings,
        dialogs=dialogs,
        denials=await stack.enter_async_context(DenialStore(database, clock, observer)),
        local_limits=local,
        limits=limits,
        embedder=embedder,
        vectors=vectors,
        facts=Search(SqlPassages(database), embedder, timeout_ms=settings.knowledge.search_timeout_ms),
        http=http,
        tokens=Tokens(installation, database, http, clock, observer),
        answers=Answers(clock, max_entries=settings.cache.max_entries, max_bytes=settings.cache.max_mb * 2**20),
    )


async def _embedder(stack: AsyncExitStack, installation: Installation, *, stalled_s: float = 2.0) -> RemoteEmbedder:
    embedder = RemoteEmbedder(installation.embedder_socket, stalled_s=stalled_s)
    stack.push_async_callback(embedder.close)
    await embedder.connect()
    return embedder
