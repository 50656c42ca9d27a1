"""The child processes of `dagi serve`: how they are started, and what they do first."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

import msgspec
import uvloop

from dagi.assemble.installation import Choice, Installation
from dagi.errors import DagiError
from dagi.supervisor import Plan

WORD = "_process"
FRONT = "front"
EMBEDDER = "embedder"
DEVTOOLS = "devtools"
EX_CONFIG = 78
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Place(msgspec.Struct, frozen=True):
    """Where a service is reached, and the listening socket the process inherits for it."""

    url: str
    listen_fd: int


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is told on its command line, as JSON.

    Attributes:
        parent: the supervisor's process id.
        places: the services it has, by their names; none for a process that nobody calls over a network.
        elsewhere: services of other processes that it calls, and where they are reached.
        needed: without it there is nothing to start.
    """

    name: str
    choice: Choice
    parent: int
    places: Mapping[str, Place] = {}
    elsewhere: Mapping[str, str] = {}
    needed: bool = False


def plan(orders: Orders) -> Plan:
    """How the supervisor starts the child."""
    return Plan(
        name=orders.name,
        command=(sys.executable, "-m", "dagi", WORD, "{ready}", msgspec.json.encode(orders).decode()),
        pass_fds=tuple(place.listen_fd for place in orders.places.values()),
        # Without the embedder facts are searched by words alone, without the developer tools questions are answered: better than no stack.
        needed=orders.needed,
    )


def run(arguments: Sequence[str]) -> int:
    """Be the child the arguments name; returns the exit status."""
    ready_fd, orders = int(arguments[0]), msgspec.json.decode(arguments[1], type=Orders)
    _end_with(orders.parent)

    def ready() -> None:
        os.write(ready_fd, b"+")
        os.close(ready_fd)

    try:
        installation = Installation.of(orders.choice)
        listeners = {name: socket.socket(fileno=place.listen_fd) for name, place in orders.places.items()}
        urls = {name: place.url for name, place in orders.places.items()}
        if orders.name == FRONT:
            from dagi.assemble.front import serve_front  # noqa: PLC0415 - only that process loads the server

            uvloop.run(serve_front(installation, listeners, {**urls, **orders.elsewhere}, ready))
        elif orders.name == DEVTOOLS:
            adopt()
            from dagi.assemble.devtools import serve_devtools  # noqa: PLC0415 - only that process loads the tools

            uvloop.run(serve_devtools(installation, listeners[DEVTOOLS], urls[DEVTOOLS], ready))
        else:
            from dagi.assemble.embedder import serve_embedder  # noqa: PLC0415 - only that process loads the model

            asyncio.run(serve_embedder(installation, ready))
    except DagiError as error:
        sys.stderr.write(f"{error.message}\n")
        return EX_CONFIG
    return 0


def adopt() -> None:
    """Become the parent of what the children of this process leave behind: the sandbox's first process outlives who started it for a
    moment, and in a container without an init nobody else would ever reap it.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_with(parent: int) -> None:
    """Be told (SIGTERM) when the supervisor dies, even by kill -9: an orphan would hold the port and the database."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the kernel was asked to tell.
        sys.exit(0)
