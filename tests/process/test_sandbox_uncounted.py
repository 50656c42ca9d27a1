"""The sandbox where no control group counts a run's memory, as for an ordinary user: no memory is out of sight."""

import platform
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from dagi.targets.devtools.sandbox.bubblewrap import Setting, found_base
from dagi.targets.devtools.sandbox.cgroups import grouped
from dagi.targets.devtools.sandbox.job import DEAF, Bounds, Finished, Job
from dagi.targets.devtools.sandbox.launch import launch
from dagi.targets.devtools.sandbox.life import Life
from dagi.targets.devtools.sandbox.seccomp import program

pytestmark = pytest.mark.anyio
SMALL = Bounds(wall_s=20, cpu_s=10, memory=256 << 20, processes=24, output=64 << 10, disk=8 << 20, files=500)
FORKED = """
import os, time
held = b"1" * (60 << 20)
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        time.sleep(0.3)
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
print("well")
"""
UNSEEN = """
import ctypes, mmap, os
libc = ctypes.CDLL(None)
def refused(what):
    try:
        return what() == -1
    except OSError:
        return True
print(all(map(refused, (
    lambda: mmap.mmap(-1, 1 << 20),
    lambda: mmap.mmap(os.open("/dev/zero", os.O_RDWR), 1 << 20),
    lambda: os.memfd_create("x"),
    lambda: libc.shmget(0, 1 << 20, 0o1600),
    lambda: libc.msgget(0, 0o1600),
))))
print(len(mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)), open("/dev/zero", "rb").read(2))
"""
SOCKETS = """
import socket
held = []
while True:
    one, other = socket.socketpair()
    held += [one, other]
    for end in (one, other):
        end.setblocking(False)
        try:
            while end.send(b"x" * 65536):
                pass
        except BlockingIOError:
            pass
"""


@asynccontextmanager
async def ran(code: str, *, counted: bool = False) -> AsyncGenerator[Finished]:
    job = Job(command=("/usr/bin/python3", "-c", code), bounds=SMALL)
    group = grouped(SMALL) if counted else None
    life = Life(job, DEAF, group)
    how = launch(found_base(Setting()), job, () if group is None else group.joins)
    try:
        yield await life.finished(how, program(platform.machine(), counted=group is not None))
    finally:
        await life.close()


async def test_memory_that_belongs_to_no_process_is_not_to_be_had() -> None:
    async with ran(UNSEEN) as finished:
        assert finished.stdout.decode().split("\n") == ["True", "1048576 b'\\x00\\x00'", ""], finished.stderr.decode()


async def test_what_processes_share_since_they_forked_counts_once() -> None:
    async with ran(FORKED) as finished:
        assert (finished.ending, finished.stdout) == ("exit", b"well\n")


@pytest.mark.parametrize("counted", [False, True])
async def test_what_the_kernel_holds_for_sockets_counts(counted: bool) -> None:
    async with ran(SOCKETS, counted=counted) as finished:
        assert finished.ending == "memory"
