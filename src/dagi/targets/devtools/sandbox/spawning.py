"""Starting a program with its descriptors under exactly the numbers it expects."""

import fcntl
import os
import select
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

# Descriptors that are handed on keep clear of the numbers they will have.
_CLEAR: Final = 64
_LAST_STANDARD: Final = 2
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def pipe(stack: ExitStack) -> tuple[int, int]:
    """A pipe: the end to read from, which does not block and is closed by the stack, and the end to write to."""
    read, write = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, read)
    os.set_blocking(read, False)
    return read, write


def memory(content: bytes) -> int:
    """A file in memory, to be read from its beginning."""
    made = os.memfd_create("dagi", os.MFD_CLOEXEC)
    os.write(made, content)
    os.lseek(made, 0, os.SEEK_SET)
    return made


def spawned(line: Sequence[str], descriptors: Mapping[int, int]) -> int:
    """Start a program that knows nothing of our environment.

    Args:
        descriptors: those it has, by the numbers they are to have. They are closed here, also where it cannot be started.

    Returns:
        Its process, as a handle (pidfd) that nothing else can ever be meant by.

    Raises:
        OSError: it cannot be started.
    """
    clear = {wanted: fcntl.fcntl(held, fcntl.F_DUPFD_CLOEXEC, _CLEAR) for wanted, held in descriptors.items()}
    for held in set(descriptors.values()):
        os.close(held)
    try:
        _keep_own()
        actions = [(os.POSIX_SPAWN_DUP2, held, wanted) for wanted, held in clear.items()]
        number = os.posix_spawnp(line[0], list(line), {"PATH": _PATH, "LC_ALL": "C"}, file_actions=actions, setsigdef=_usual_signals())
        return os.pidfd_open(number)
    finally:
        for held in clear.values():
            os.close(held)


def _keep_own() -> None:
    """No descriptor of ours goes along, such as a listening socket that we were given by whoever started us."""
    for descriptor in (int(path.name) for path in Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if descriptor > _LAST_STANDARD:
                fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)


def _usual_signals() -> list[int]:
    """Python ignores these, and a program that inherits that would not end where it should."""
    return [signal.SIGPIPE, signal.SIGXFSZ]


def is_over(handle: int) -> bool:
    """Whether the process has ended."""
    return bool(select.select([handle], [], [], 0)[0])
