"""Lines on their way out: gathered for a moment, then written at once, also beside other processes that write into the same file.

A file is opened for appending and every batch goes out in one `write`, which the kernel puts behind whatever is there already. Whoever
finds the file full renames it while holding a lock of its own; the others notice by the file's identity before they write next.
"""

import asyncio
import fcntl
import os
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TextIO

FLUSH_S = 0.05
_MOST_BYTES = 256 * 1024


def visible(text: str, *, but: str = "") -> str:
    """The text without what would steer a terminal, which is shown and not sent; `but` are signs that may stay."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() or sign in but else f"\\x{ord(sign):02x}" for sign in text)


class Place(Protocol):
    """Where lines go."""

    def write(self, data: bytes) -> None:
        """Take whole lines.

        Raises:
            OSError, ValueError: it cannot, for example because the disk is full or the stream is closed.
        """
        ...


class Lines:
    """Gathers lines for `FLUSH_S` where an event loop runs; elsewhere each goes out at once.

    A place that takes nothing is no reason to stop, nor to say so in that very place: its lines are counted, and the first that goes
    through again is preceded by one that says how many were lost.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = [(place, _Lost()) for place in places]
        self._buffer = bytearray()
        self._lock = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, line: bytes, *, urgent: bool = False) -> None:
        """Take one line, without its line break.

        Args:
            urgent: it must not be lost when the process dies in the next moment.
        """
        with self._lock:
            self._buffer += line
            self._buffer += b"\n"
            waits = not urgent and len(self._buffer) < _MOST_BYTES and self._wound()
        if not waits:
            self.flush()

    def flush(self) -> None:
        """Write what is gathered."""
        with self._lock:
            self._unwind()
            data, self._buffer = bytes(self._buffer), bytearray()
            if data:
                for place, lost in self._places:
                    lost.try_write(place, data)

    def _unwind(self) -> None:
        """Drop the timer. A loop's timers are its own thread's: from another one it is left to ring and find nothing."""
        if self._timer is not None and _running_loop() is self._loop:
            self._timer.cancel()
            self._timer = None

    def _wound(self) -> bool:
        """Whether the loop that runs here will flush in a moment."""
        loop = _running_loop()
        if loop is None:
            return False
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(FLUSH_S, self.flush)
        return True


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Lost:
    """How many lines a place did not take."""

    def __init__(self) -> None:
        self._count = 0

    def try_write(self, place: Place, data: bytes) -> None:
        try:
            if self._count:
                place.write(b'{"event":"log_lines_lost","level":"warning","count":%d}\n' % self._count)
            self._count = 0
            place.write(data)
        except (OSError, ValueError):
            self._count += data.count(b"\n")


class StreamPlace:
    """A stream of text, such as standard error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        """See `Place`."""
        self._stream.write(data.decode("utf-8", "replace"))
        self._stream.flush()


class RotatingFile:
    """A file of at most `max_bytes`, and the `max_files - 1` before it (`name.1` is the youngest of them).

    Any number of processes may write to it. A single line longer than `max_bytes` gets a file of its own.
    """

    def __init__(self, path: Path, max_bytes: int, max_files: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._fd: int | None = None

    def write(self, data: bytes) -> None:
        """See `Place`."""
        while data:
            fd, size = self._current()
            room = self._max_bytes - size
            fits = len(data) if len(data) <= room else data.rfind(b"\n", 0, max(room, 0)) + 1
            if not fits and size:
                self._rotate(fd)
                continue
            taken = fits or data.find(b"\n") + 1 or len(data)
            _append(fd, size, data[:taken])
            data = data[taken:]

    def _current(self) -> tuple[int, int]:
        """The open file and its size; another one where somebody has renamed or removed it."""
        if self._fd is not None:
            mine = os.fstat(self._fd)
            with suppress(FileNotFoundError):
                there = self._path.stat()
                if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                    return self._fd, mine.st_size
            self.close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd, os.fstat(self._fd).st_size

    def _rotate(self, fd: int) -> None:
        with self._alone():
            if self._current()[0] != fd:
                # Somebody else was faster.
                return
            if self._max_files == 1:
                os.ftruncate(fd, 0)
                return
            for number in range(self._max_files - 1, 0, -1):
                older = self._numbered(number - 1) if number > 1 else self._path
                with suppress(FileNotFoundError):
                    older.replace(self._numbered(number))
            self.close()

    @contextmanager
    def _alone(self) -> Generator[None]:
        # The lock is on the directory: it leaves no file behind that somebody would take for a log.
        fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        """Give the file back; the next line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _append(fd: int, size: int, data: bytes) -> None:
    """Write whole lines behind the `size` bytes that are there, all of them or none."""
    left = data
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        # A disk that is full takes the beginning of a line, and the next line would go on in the middle of it.
        if len(left) < len(data) and os.fstat(fd).st_size == size + len(data) - len(left):
            os.ftruncate(fd, size)
        raise
