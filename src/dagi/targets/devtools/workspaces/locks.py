"""Who may read and who may change, across tasks and processes. A lock ends with the process that held it."""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from dagi.errors import Missing

_FIRST_LOOK_S: Final = 0.001
_LONGEST_LOOK_S: Final = 0.025
_HELD: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Lock:
    """A lock for many readers or one writer: a file under flock(2), with a turnstile before it.

    Whoever waits stands in a line: of this process in the order of asking, and the first of each process's line takes the turnstile (a file
    as well) while it waits for the lock itself. So those who read one after the other never keep a writer waiting for ever.

    Opening two files and flock without waiting take some microseconds, less than the way to a thread; so this is done on the event loop.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._turnstile = file.with_name(f"{file.name}.turn")
        self._line = asyncio.Lock()
        self._released = asyncio.Event()

    @asynccontextmanager
    async def shared(self) -> AsyncGenerator[int]:
        """Hold it together with other readers; gives the lock file's descriptor.

        Raises:
            Missing: the directory it is in is not there, or has gone while we waited.
        """
        async with self._held(fcntl.LOCK_SH) as fd:
            yield fd

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[int]:
        """Hold it alone; gives the lock file's descriptor.

        Raises:
            Missing: the directory it is in is not there, or has gone while we waited.
        """
        async with self._held(fcntl.LOCK_EX) as fd:
            yield fd

    @asynccontextmanager
    async def _held(self, kind: int) -> AsyncGenerator[int]:
        fd = -1
        try:
            async with self._line:
                turn = _opened(self._turnstile)
                try:
                    await self._taken(turn, fcntl.LOCK_EX)
                    fd = _opened(self.file)
                    await self._taken(fd, kind)
                finally:
                    os.close(turn)
            self._check(fd)
            yield fd
        finally:
            if fd >= 0:
                os.close(fd)
            self._released.set()

    async def _taken(self, fd: int, kind: int) -> None:
        pause = _FIRST_LOOK_S
        while not held_at_once(fd, kind):
            # Whoever holds it in this process tells when it is done; of other processes nobody tells.
            self._released.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._released.wait()
            pause = min(pause * 1.5, _LONGEST_LOOK_S)

    def _check(self, fd: int) -> None:
        # A workspace that was removed (and perhaps made anew) while we waited has another lock file, or none.
        try:
            same = os.path.samestat(os.fstat(fd), self.file.lstat())
        except FileNotFoundError:
            same = False
        if not same:
            raise _gone()


def held_at_once(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Take the lock if nobody has to be waited for."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(file: Path) -> int:
    try:
        return os.open(file, _HELD, 0o600)
    except FileNotFoundError:
        raise _gone() from None


def _gone() -> Missing:
    return Missing("There is no workspace of that name; make one first.")
