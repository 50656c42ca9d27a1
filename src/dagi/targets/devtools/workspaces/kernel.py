"""What Linux can and Python has no words for: opening beneath a directory, exchanging two names, writing out a file system."""

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

# openat2(2) and renameat2(2); the former has one number on every architecture we run on.
_SYS_OPENAT2: Final = 437
_RESOLVE: Final = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
_TRIES: Final = 16

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Neither waits for a FIFO's other end nor takes a terminal.
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# Opens a relative path beneath an open directory: (root, path, flags) -> descriptor. "" is the root itself.
Opener = Callable[[int, str, int], int]

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_by_kernel(root: int, path: str, flags: int) -> int:
    """Open with openat2: the kernel itself neither leaves the root nor follows any link.

    Raises:
        OSError: of opening; ENOSYS or EPERM where the kernel, or a filter of system calls, has no openat2.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE)
    name, code = os.fsencode(path) or b".", errno.EAGAIN
    for _ in range(_TRIES):
        fd = int(_libc.syscall(_SYS_OPENAT2, root, name, ctypes.byref(how), ctypes.sizeof(how)))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        # EAGAIN: something was renamed while the path was walked.
        if code not in {errno.EAGAIN, errno.EINTR}:
            break
    raise OSError(code, os.strerror(code), path)


def open_by_walking(root: int, path: str, flags: int) -> int:
    """The same for kernels without openat2: part by part, each from the directory before it, never through a link.

    Raises:
        OSError: of opening; EXDEV where another file system begins.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    device = os.fstat(root).st_dev
    at = os.open(".", DIRECTORY, dir_fd=root)
    try:
        for number, part in enumerate(parts, 1):
            how = flags | os.O_NOFOLLOW | os.O_CLOEXEC if number == len(parts) else DIRECTORY
            following = os.open(part, how, dir_fd=at)
            os.close(at)
            at = following
            if os.fstat(at).st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    except OSError:
        os.close(at)
        raise
    return at


def either(first: Opener, second: Opener) -> Opener:
    """Open by the first; by the second where the first is not there (ENOSYS), or may not be used (EPERM)."""

    def opened(root: int, path: str, flags: int) -> int:
        try:
            return first(root, path, flags)
        except OSError as error:
            if error.errno not in {errno.ENOSYS, errno.EPERM}:
                raise
        return second(root, path, flags)

    return opened


open_beneath: Final = either(open_by_kernel, open_by_walking)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names of one file system in one step; False where the file system cannot.

    Raises:
        OSError: it could, but it failed.
    """
    return _renamed((_AT_FDCWD, str(one)), (_AT_FDCWD, str(other)), _RENAME_EXCHANGE)


def rename_to_new(source: tuple[int, str], target: tuple[int, str]) -> None:
    """Rename, but never onto something that exists. Both are a directory's descriptor and a name in it.

    Raises:
        FileExistsError: there is something.
        OSError: of renaming.
    """
    if _renamed(source, target, _RENAME_NOREPLACE):
        return
    # EINVAL means "no such flag here" as well as "a directory into itself"; renaming without the flag tells them apart.
    with suppress(FileNotFoundError):
        os.stat(target[1], dir_fd=target[0], follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target[1])
    os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])


def _renamed(source: tuple[int, str], target: tuple[int, str], flag: int) -> bool:
    if _libc.renameat2(source[0], os.fsencode(source[1]), target[0], os.fsencode(target[1]), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL}:
        return False
    raise OSError(code, os.strerror(code), target[1])


def sync_file_system(fd: int) -> None:
    """Write out the file system that this is on: one call for what would be one fsync a file.

    Raises:
        OSError: something could not be written.
    """
    if _libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
