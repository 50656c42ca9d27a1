"""The process of the developer tools (port 8008): workspaces, the sandbox, the tools, and the service in front of them."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec

from dagi.assemble.background import cancelled, ended
from dagi.assemble.files import most_callers, raise_open_files
from dagi.assemble.installation import Installation, stack_version
from dagi.assemble.readiness import devtools_dependencies
from dagi.assemble.server import Server
from dagi.assemble.services import DEVTOOLS, built_callers
from dagi.assemble.signing import grant_verifier
from dagi.assemble.tools import Parts, built_toolbox, opened_parts
from dagi.observe.calls import ObservedCalls
from dagi.observe.clock import SystemClock
from dagi.observe.log import open_log
from dagi.observe.metrics import Metrics
from dagi.observe.observer import LoggingObserver
from dagi.services.callers import LOCAL_USER
from dagi.services.devtools.entrance import Entrance
from dagi.services.devtools.face import DevtoolsFace
from dagi.services.devtools.workspaces import WorkspacesFace
from dagi.services.http1.service import Bounds, Service
from dagi.services.operations import Operations
from dagi.services.rbac.door import Door
from dagi.stores.calls import CallStore
from dagi.stores.database import Database
from dagi.stores.denials import DenialStore
from dagi.stores.directory import Directory
from dagi.targets.devtools.toolbox import Records, Toolbox

MEGABYTE = 2**20


class Devtools(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the process holds, ready to serve."""

    service: Service
    toolbox: Toolbox
    observer: LoggingObserver
    directory: Directory


@asynccontextmanager
async def opened_devtools(installation: Installation, url: str, parts: Parts | None = None) -> AsyncGenerator[Devtools]:
    """Put the process together; leaving writes what is unwritten and closes everything, in reverse order.

    Args:
        url: where the service is reached.
        parts: other ones than the configuration's.

    Raises:
        StoreError: the database cannot be used.
    """
    clock, metrics = SystemClock(), Metrics()
    observer = LoggingObserver(open_log(installation.log_plan(), DEVTOOLS), metrics)
    async with AsyncExitStack() as stack:
        stack.callback(observer.flush)
        database = installation.database()
        stack.push_async_callback(database.close)
        directory = await _followed(stack, installation, database, clock, observer)
        denials = await stack.enter_async_context(DenialStore(database, clock, observer))
        store = await stack.enter_async_context(CallStore(database, clock, observer))
        calls = ObservedCalls(store, observer, metrics)
        found = await opened_parts(installation, clock) if parts is None else parts
        toolbox = built_toolbox(installation, found, Records(calls, denials), clock, metrics)
        callers = built_callers(installation, directory, clock)
        entrance = Entrance(Door(callers, directory, clock), grant_verifier(installation, DEVTOOLS), clock)
        needed = devtools_dependencies(database, directory, store, found.sandbox)
        open_details = installation.loaded.settings.environment == "development"
        face = DevtoolsFace(
            entrance=entrance,
            tools=toolbox,
            workspaces=WorkspacesFace(entrance, found.room, calls),
            operations=Operations(callers, needed, open_details=open_details),
            metrics=metrics.exposition,
            url=url,
            version=stack_version(),
        )
        service = Service(face.table(), _bounds(installation), observer, denials)
        yield Devtools(service=service, toolbox=toolbox, observer=observer, directory=directory)


async def _followed(
    stack: AsyncExitStack, installation: Installation, database: Database, clock: SystemClock, observer: LoggingObserver
) -> Directory:
    operators = frozenset({LOCAL_USER}) if installation.loaded.settings.environment == "development" else frozenset[str]()
    directory = Directory(database, clock, observer, operators)
    await directory.refresh()
    task = asyncio.create_task(directory.follow(), name="directory")
    task.add_done_callback(partial(ended, observer))
    stack.push_async_callback(cancelled, task)
    return directory


def _bounds(installation: Installation) -> Bounds:
    settings = installation.loaded.settings
    body_s = settings.server.body_timeout_ms / 1000
    return Bounds(body_bytes=settings.devtools.max_body_mb * MEGABYTE, body_s=body_s, body_key="devtools.max_body_mb")


async def serve_devtools(installation: Installation, listener: socket.socket, url: str, ready: Callable[[], None]) -> None:
    """Answer on a listening socket until the process is told to stop (SIGTERM).

    Args:
        ready: called once the first request could be answered.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with opened_devtools(installation, url) as devtools:
        server = _server(installation, devtools, most_callers(raise_open_files()), ready)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        if stopping.is_set():
            # Told so while it was still getting ready.
            server.stop()
        await server.serve([listener])


@asynccontextmanager
async def serving_devtools(devtools: Devtools, installation: Installation, listener: socket.socket) -> AsyncGenerator[None]:
    """Answer on a listening socket while the context lasts, on the caller's event loop."""
    started = asyncio.Event()
    server = _server(installation, devtools, 1_000, started.set)
    running = asyncio.create_task(server.serve([listener]))
    await started.wait()
    try:
        yield
    finally:
        server.stop()
        await running


def _server(installation: Installation, devtools: Devtools, most: int, ready: Callable[[], None]) -> Server:
    return Server(devtools.service, installation.loaded.settings.server.shutdown_timeout_ms / 1000, most, ready)
