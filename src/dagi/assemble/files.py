"""How many files a process may have open: each caller's connection is one."""

import resource
from typing import Final

# What the process itself needs: the database, logs, connections to providers.
RESERVED_FILES: Final = 256
# Ten thousand callers at rest, and what they need.
ENOUGH_FILES: Final = 16_384
_MOST_FILES: Final = 1_048_576


def attainable_files() -> int:
    """How many files a process of this user may have open once it has asked for all it may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)


def raise_open_files() -> int:
    """Let this process have as many files open as it may; returns their number."""
    wanted = attainable_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def most_callers(files: int) -> int:
    """How many connections of callers leave the process what it needs itself."""
    return max(files - RESERVED_FILES, files // 2)


def few_files(files: int) -> str | None:
    """What the operator should hear of a limit that is low; None where it is not."""
    if files >= ENOUGH_FILES:
        return None
    return (
        f"this process may have {files} files open, so at most {most_callers(files)} callers can be connected at once; raise the limit "
        f"before the start: ulimit -Hn {ENOUGH_FILES}, or LimitNOFILE={ENOUGH_FILES} in systemd"
    )
