"""`dagi serve`: run the stack until somebody stops it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated

import msgspec
import typer

from dagi.assemble.installation import Choice, Installation, Running, born, write_private
from dagi.assemble.processes import DEVTOOLS, EMBEDDER, FRONT, Orders, Place, plan
from dagi.assemble.services import SERVICES, usual_services
from dagi.assemble.start import Prepared, prepare
from dagi.assemble.tools import why_no_code_is_run
from dagi.cli.options import Config, Profile
from dagi.cli.output import say, table
from dagi.errors import ConfigError, Invalid
from dagi.observe.clock import SystemClock
from dagi.observe.log import open_log
from dagi.observe.metrics import Metrics
from dagi.observe.observer import LoggingObserver
from dagi.supervisor import Supervisor

ANSWERS = {
    "router": "/route, /route/explain, /ready, /metrics, /openapi.json",
    "devtools": "/fs/*, /ci/run-tests, /git/*, /notebook/execute, /workspaces, /tools",
    "rbac": "/rbac/resolve, /rbac/check, /roles, /daos, /openapi.json",
}
BACKLOG = 2048
# What a process may take beyond the requests under way: writing down what is unwritten.
WRITE_S = 10


def serve(
    services: Annotated[list[str] | None, typer.Argument(help=f"Which services; all where left out. Known: {', '.join(SERVICES)}.")] = None,
    profile: Profile = None,
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The router's port; 0 takes a free one.")] = None,
) -> None:
    """Run the stack. Ctrl-C stops it.

    Example: dagi serve --profile prod --port 9102
    """
    unknown = [name for name in services or () if name not in SERVICES]
    if unknown:
        raise Invalid(f"There is no service {unknown[0]!r}.", field="service", allowed=list(SERVICES))
    options: dict[str, str | int | bool | None] = {}
    if host is not None:
        options["server.host"] = host
    if port is not None:
        options["server.port"] = port
    asyncio.run(run_stack(Choice(profile=profile, config=config, options=options), services or ()))


async def _nothing() -> None: ...


async def run_stack(choice: Choice, named: Sequence[str], first: Callable[[], Awaitable[None]] = _nothing) -> None:
    """Run these services, or the usual ones, until somebody stops them.

    Args:
        first: done once nothing stands in the way of the start any more.

    Raises:
        ConfigError: the configuration is wrong or unsafe, or somebody else has the data or a port.
    """
    installation = Installation.of(choice)
    services = [name for name in SERVICES if name in (named or usual_services(installation.loaded.settings))]
    with installation.lock(), ExitStack() as stack:
        listeners = {name: stack.enter_context(_listen(installation, name)) for name in services}
        prepared = await prepare(installation, services)
        if DEVTOOLS in services and (why := await why_no_code_is_run(installation, SystemClock())) is not None:
            prepared = msgspec.structs.replace(prepared, notes=(*prepared.notes, why))
        await first()
        await _supervise(installation, prepared, listeners)


async def _supervise(installation: Installation, prepared: Prepared, listeners: Mapping[str, socket.socket]) -> None:
    choice = installation.choice
    places = {name: Place(_url(listener), listener.fileno()) for name, listener in listeners.items()}
    observer = LoggingObserver(open_log(installation.log_plan(), "supervisor"), Metrics())
    orders = _orders(installation, places)
    supervisor = Supervisor([plan(order) for order in orders], observer)
    stop = _stop_signal()
    _reload_signal(supervisor, stop)
    try:
        starting = asyncio.create_task(supervisor.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            urls = {name: place.url for name, place in places.items()}
            running = Running(os.getpid(), urls.get("router") or next(iter(urls.values())), choice, born(os.getpid()) or 0, urls)
            write_private(installation.running_file, msgspec.json.encode(running))
            states = {child.plan.name: "ready" if child.ready else "not ready" for child in supervisor.children}
            _show(installation, prepared, urls, states)
            await stopping
        starting.cancel()
    finally:
        installation.running_file.unlink(missing_ok=True)
        await supervisor.stop(installation.loaded.settings.server.shutdown_timeout_ms / 1000 + WRITE_S)
        say("Stopped.")


def _orders(installation: Installation, places: Mapping[str, Place]) -> list[Orders]:
    """What each process is told. They are started in this order and stopped in the other one: who asks stops before who is asked."""
    choice, parent = installation.choice, os.getpid()
    front = {name: place for name, place in places.items() if name != DEVTOOLS}
    orders: list[Orders] = []
    if installation.loaded.settings.knowledge.embedder and front:
        orders.append(Orders(name=EMBEDDER, choice=choice, parent=parent))
    own = places.get(DEVTOOLS)
    if own is not None:
        orders.append(Orders(name=DEVTOOLS, choice=choice, parent=parent, places={DEVTOOLS: own}, needed=not front))
    if front:
        elsewhere = {} if own is None else {DEVTOOLS: own.url}
        orders.append(Orders(name=FRONT, choice=choice, parent=parent, places=front, elsewhere=elsewhere, needed=True))
    return orders


def _listen(installation: Installation, service: str) -> socket.socket:
    """The listening socket. The supervisor holds it, so that callers wait instead of failing while a process starts again."""
    server = installation.loaded.settings.server
    # Whoever asks for a free port asks for free ports.
    port = server.port if service == "router" or not server.port else server.ports.model_dump()[service]
    try:
        family = socket.getaddrinfo(server.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((server.host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = f"{server.host}:{port} cannot be listened on for the {service}: {error.strerror or error}."
        other = "--port" if service == "router" else f"server.ports.{service} in the configuration"
        raise ConfigError(f"{why} Stop what uses it, or choose another: {other}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - named here to be replaced, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def _reload_signal(supervisor: Supervisor, stop: asyncio.Event) -> None:
    """SIGHUP reloads the configuration; only where it means that the terminal was closed, it ends the stack, as Ctrl-C does."""
    in_terminal = _has_terminal()

    def hung_up() -> None:
        if in_terminal and not _has_terminal():
            stop.set()
        else:
            supervisor.tell(FRONT, signal.SIGHUP)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


def _has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


def _show(installation: Installation, prepared: Prepared, urls: Mapping[str, str], states: Mapping[str, str]) -> None:
    settings = installation.loaded.settings
    say(f"DAGI Stack is ready ({settings.environment}). Ctrl-C stops it.\n")
    answers = {**ANSWERS, "gateway": ", ".join(prepared.platforms) or "nobody: see below"}
    rows: list[tuple[object, ...]] = [(name, url, states.get(name) or states[FRONT], answers[name]) for name, url in urls.items()]
    if EMBEDDER in states:
        rows.append(("embedder", "unix socket", states[EMBEDDER], "search by meaning in the DAO's facts"))
    table(("service", "address", "state", "what it answers"), rows, empty="")
    sys.stdout.write("\n")
    for note in prepared.notes:
        say(f"note: {note}")
    if settings.environment == "development":
        say("note: development serves callers on this machine without a key; staging and production need one.")
    if prepared.demo is not None:
        say(f"\nDemo DAO: {prepared.demo.dao_id}. Demo key (kept in {settings.data_dir}/keys/demo.key):\n  {prepared.demo.key}")
    if settings.dao.default is not None and "router" in urls:
        say('\nAsk it something in another terminal:\n  .venv/bin/dagi ask "Привіт! Що це за DAO і які тут проєкти?"')
    sys.stdout.flush()
