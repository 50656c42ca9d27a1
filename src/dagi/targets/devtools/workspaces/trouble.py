"""What the disk says when it fails, as callers may be told it: never where on this machine something is."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from dagi.errors import StoreError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_trouble(error: OSError) -> StoreError:
    """The error for it."""
    if error.errno in _FULL:
        return StoreError("The disk that holds the workspaces is full; the operator has to make room.")
    why = errno.errorcode.get(error.errno or 0, "an unknown error")
    return StoreError(f"The disk that holds the workspaces does not work ({why}); the operator has to look at it.")


@contextmanager
def disk_works() -> Generator[None]:
    """Whatever the disk says is trouble.

    Raises:
        StoreError: the disk is full, or does not work.
    """
    try:
        yield
    except OSError as error:
        raise disk_trouble(error) from error
