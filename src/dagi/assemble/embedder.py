"""The process that searches by meaning: the model, the vectors, a socket."""

import asyncio
import os
import signal
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dagi.assemble.installation import Installation
from dagi.errors import ConfigError
from dagi.knowledge.e5 import E5
from dagi.knowledge.index import Index
from dagi.observe.log import open_log
from dagi.observe.metrics import Metrics
from dagi.observe.observer import LoggingObserver
from dagi.services.embedder import serve
from dagi.stores.vectors import SqlVectors


def _make_private(directory: Path) -> None:
    """Only we may put sockets there; where it lies in a common directory, somebody else may have been first."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = directory.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{directory} belongs to somebody else, or others may write there; remove it, or set a shorter data_dir.")


async def serve_embedder(installation: Installation, ready: Callable[[], None]) -> None:
    """Index and search until the process is told to stop (SIGTERM).

    Raises:
        ConfigError: its socket cannot be made.
        StoreError: the database cannot be read.
    """
    observer = LoggingObserver(open_log(installation.log_plan(), "embedder"), Metrics())
    _make_private(installation.sockets)
    database = installation.database()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with Index(SqlVectors(database), await asyncio.to_thread(E5), observer) as index:
            await index.refresh()
            work = [asyncio.create_task(index.run()), asyncio.create_task(serve(installation.embedder_socket, index, ready))]
            stopped = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait([*work, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in (*work, stopped):
                task.cancel()
                if task not in done:
                    with suppress(asyncio.CancelledError):
                        await task
            for task in done:
                task.result()
    finally:
        await database.close()
        with suppress(OSError):
            # Only where nothing else is kept there, as beside a data directory whose own path is too long.
            installation.sockets.rmdir()
