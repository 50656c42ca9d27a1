"""The filter of system calls: a small program for the kernel, in the classic form of BPF (seccomp(2), linux/filter.h).

What is refused is what no test needs and what reaches beyond a process: looking into other processes, mounts and namespaces, kernel
keyrings, BPF, io_uring (which goes past filters like this one), modules, clocks, odd kinds of sockets. Where no control group counts a
run's memory, memory that belongs to no process is refused too, for nobody outside can see how much of it there is.

Numbers are those of the kernel's tables for x86-64 and for the generic table that 64-bit ARM uses; both are tested against the kernel's
headers where these are installed.
"""

import struct
from collections.abc import Mapping, Sequence
from errno import EAFNOSUPPORT, ENOSYS, EPERM
from typing import Final

import msgspec

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_GREATER_OR_EQUAL: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_IF_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

_KILL: Final = 0x8000_0000  # SECCOMP_RET_KILL_PROCESS
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000

# struct seccomp_data: nr, arch, instruction_pointer, args[6]; of the arguments the lower halves are looked at.
_NUMBER: Final = 0
_ARCH: Final = 4
_ARGS: Final = 16

# The calls of x32 are those of x86-64 with this bit.
_X32: Final = 0x4000_0000
# All CLONE_NEW… flags of clone(2), CLONE_NEWTIME too.
_NEW_NAMESPACES: Final = 0x7E02_0080
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK.
_FAMILIES: Final = (1, 2, 10, 16)
# TIOCSTI and TIOCLINUX put words into somebody else's terminal.
_TERMINAL: Final = (0x5412, 0x541C)
# MAP_SHARED (MAP_SHARED_VALIDATE holds its bit) and MAP_ANONYMOUS of mmap(2).
_SHARED: Final = 0x01
_ANONYMOUS: Final = 0x20

# By name: the number on x86-64 and on aarch64; None where the machine has no such call.
DENIED: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "_sysctl": (156, None),
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
# What makes memory that outlives its mappings: files without a name, and System V's segments and queues.
UNCOUNTED: Final[Mapping[str, tuple[int, int]]] = {
    "memfd_create": (319, 279),
    "msgget": (68, 186),
    "shmget": (29, 194),
}


class _Machine(msgspec.Struct, frozen=True):
    """What differs between machines. `arch` is AUDIT_ARCH_…; `column` that of `DENIED`."""

    arch: int
    column: int
    clone: int
    clone3: int
    socket: int
    ioctl: int
    mmap: int


_MACHINES: Final[Mapping[str, _Machine]] = {
    "x86_64": _Machine(0xC000_003E, 0, 56, 435, 41, 16, 9),
    "aarch64": _Machine(0xC000_00B7, 1, 220, 435, 198, 29, 222),
}


class UnknownMachine(Exception):
    """No table of system calls is known for this kind of machine."""


def program(machine: str, *, counted: bool = True) -> bytes:
    """The filter for a kind of machine, as `platform.machine()` names it: an array of `struct sock_filter`.

    Args:
        counted: a control group counts all memory of the run.

    Raises:
        UnknownMachine: there is none.
    """
    known = _MACHINES.get(machine)
    if known is None:
        raise UnknownMachine(machine)
    denied = sorted(number for numbers in DENIED.values() if (number := numbers[known.column]) is not None)
    return b"".join(
        (
            _step(_LOAD, _ARCH),
            # Calls of another architecture have other numbers, so they are none of those below.
            _step(_IF_EQUAL, known.arch, yes=1),
            _step(_RETURN, _KILL),
            _step(_LOAD, _NUMBER),
            _step(_IF_GREATER_OR_EQUAL, _X32, no=1),
            _refuse(ENOSYS),
            # The C library then falls back to clone, whose flags can be looked at; those of clone3 lie behind a pointer.
            _when(known.clone3, _refuse(ENOSYS)),
            *(_when(number, _refuse(EPERM)) for number in denied),
            *(() if counted else _uncounted(known)),
            _when(known.clone, _argument(0) + _step(_IF_ANY_BIT, _NEW_NAMESPACES, no=1) + _refuse(EPERM) + _step(_RETURN, _ALLOW)),
            _when(known.socket, _argument(0) + _only(_FAMILIES) + _refuse(EAFNOSUPPORT)),
            _when(known.ioctl, _argument(1) + _none_of(_TERMINAL) + _step(_RETURN, _ALLOW)),
            _step(_RETURN, _ALLOW),
        )
    )


def _uncounted(known: _Machine) -> Sequence[bytes]:
    # As from a kernel without them: most programs that ask have another way.
    calls = [_when(numbers[known.column], _refuse(ENOSYS)) for numbers in UNCOUNTED.values()]
    private = _step(_IF_ANY_BIT, _ANONYMOUS, yes=1) + _step(_RETURN, _ALLOW) + _step(_IF_ANY_BIT, _SHARED, no=1)
    return [*calls, _when(known.mmap, _argument(3) + private + _refuse(EPERM) + _step(_RETURN, _ALLOW))]


def _step(code: int, k: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; `yes` and `no` are how many of the next ones a jump passes over."""
    return struct.pack("=HBBI", code, yes, no, k)


def _when(number: int, then: bytes) -> bytes:
    """Where the number is loaded and is this one: do that, which ends the program."""
    return _step(_IF_EQUAL, number, no=len(then) // 8) + then


def _argument(index: int) -> bytes:
    return _step(_LOAD, _ARGS + 8 * index)


def _refuse(errno: int) -> bytes:
    return _step(_RETURN, _ERRNO | errno)


def _only(values: Sequence[int]) -> bytes:
    """Allow where what is loaded is one of them; go on where it is not."""
    return b"".join(_step(_IF_EQUAL, value, no=1) + _step(_RETURN, _ALLOW) for value in values)


def _none_of(values: Sequence[int]) -> bytes:
    return b"".join(_step(_IF_EQUAL, value, no=1) + _refuse(EPERM) for value in values)
