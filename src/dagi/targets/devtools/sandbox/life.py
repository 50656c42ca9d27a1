"""One run from its start to its last process."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final

from dagi.targets.devtools.sandbox.cgroups import Group
from dagi.targets.devtools.sandbox.feeding import feed
from dagi.targets.devtools.sandbox.job import REPORT_FD, REPORT_TIMES, WORKSPACE, Ears, Ending, Finished, Job
from dagi.targets.devtools.sandbox.launch import ARGUMENTS_FD, ETC, FILTER_FD, FIRST_ETC_FD, INFO_FD, Launch
from dagi.targets.devtools.sandbox.pipes import Lines, Pipe
from dagi.targets.devtools.sandbox.spawning import memory, pipe, spawned
from dagi.targets.devtools.sandbox.watching import LOOK_S, Watch

# Until everything is mounted, which takes some hundredths of a second, and until all files are copied.
_SETUP_S: Final = 20.0
_FEED_S: Final = 120.0
# Where the run can write, and so where it is counted.
_MOUNTS: Final = (WORKSPACE, "/tmp", "/dev/shm")  # noqa: S108 - of the sandbox
# How many times its bound of output may be said before it is too much.
_FLOOD: Final = 64


class LaunchFailed(Exception):
    """The command never began; holds what the programs before it said."""


class Life:
    """A run. `close` ends its processes and frees its descriptors, however far it came."""

    def __init__(self, job: Job, ears: Ears, group: Group | None) -> None:
        self._job = job
        self._ears = ears
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._stack = ExitStack()
        self._lines = Lines(self._line)
        self._heard_lines = 0
        self._pipes: dict[str, Pipe] = {}
        # Set at the report's first and second line, when the process we started is gone, and when nothing is said any more.
        self._ready, self._begun, self._gone, self._silent = (asyncio.Event() for _ in range(4))
        self._launcher = self._first = self._info = self._feed_to = -1
        self._stopped: Ending | None = None
        self._status: int | None = None
        self._feeding: asyncio.Task[None] | None = None

    async def finished(self, how: Launch, filter_: bytes) -> Finished:
        """Run it to its end.

        Args:
            filter_: the filter of system calls.

        Raises:
            LaunchFailed: the command never began.
            OSError: no process can be started.
        """
        self._spawn(how, filter_)
        await self._first_of(self._ready, self._gone, _SETUP_S)
        if not self._ready.is_set():
            await self._end()
            raise LaunchFailed(self._pipes["stderr"].kept.decode(errors="replace"))
        root, watch = self._entered()
        self._feeding = asyncio.create_task(asyncio.to_thread(feed, self._taken_feed(), self._job.places))
        await self._watched(watch, self._begun, _FEED_S)
        began = time.monotonic()
        if self._begun.is_set():
            await self._watched(watch, self._gone, self._job.bounds.wall_s)
        wall_s = time.monotonic() - began
        await self._end()
        self._feeding.result()
        return self._account(root, wall_s)

    def _spawn(self, how: Launch, filter_: bytes) -> None:
        bounds = self._job.bounds
        descriptors: dict[int, int] = {FILTER_FD: memory(filter_), ARGUMENTS_FD: memory(how.arguments)}
        descriptors |= {FIRST_ETC_FD + at: memory(text.encode()) for at, text in enumerate(ETC.values())}
        reads: dict[str, int] = {}
        for name, number in (("stdout", 1), ("stderr", 2), ("report", REPORT_FD)):
            reads[name], descriptors[number] = pipe(self._stack)
        self._info, descriptors[INFO_FD] = pipe(self._stack)
        taken, self._feed_to = os.pipe2(os.O_CLOEXEC)
        descriptors[0] = taken
        self._launcher = spawned(how.line, descriptors)
        self._stack.callback(os.close, self._launcher)
        self._on(self._launcher, self._reap)
        flooded = partial(self._stop, "output")
        for name, hear in (("stdout", partial(self._ears.output, "stdout")), ("stderr", partial(self._ears.output, "stderr"))):
            self._pipes[name] = Pipe(reads[name], bounds.output, bounds.output * _FLOOD, hear, flooded)
        report = bounds.output * REPORT_TIMES
        self._pipes["report"] = Pipe(reads["report"], report, report, self._lines.feed, flooded)
        for name, end in reads.items():
            self._on(end, partial(self._read, name, end))

    def _on(self, descriptor: int, act: Callable[[], None]) -> None:
        self._loop.add_reader(descriptor, act)
        self._stack.callback(self._loop.remove_reader, descriptor)

    def _read(self, name: str, end: int) -> None:
        if not self._pipes[name].read():
            self._loop.remove_reader(end)
            if all(one.ended for one in self._pipes.values()):
                self._silent.set()

    def _line(self, line: bytes) -> None:
        """The first two lines are of our own start, the others are the command's."""
        self._heard_lines += 1
        if self._heard_lines > 2:
            self._ears.report(line)
        elif self._heard_lines == 1:
            self._ready.set()
        else:
            self._begun.set()
            self._ears.begun()

    def _reap(self) -> None:
        self._loop.remove_reader(self._launcher)
        result = os.waitid(os.P_PIDFD, self._launcher, os.WEXITED)
        if result is not None and result.si_code == os.CLD_EXITED:
            self._status = result.si_status
        self._gone.set()

    def _entered(self) -> tuple[int, Watch]:
        """Handles of what was set up, taken before anything of others runs: nothing can be put in their place later."""
        number = int(json.loads(os.read(self._info, 4096))["child-pid"])
        self._first = os.pidfd_open(number)
        self._stack.callback(os.close, self._first)
        mounts: list[int] = []
        for place in _MOUNTS:
            mounts.append(os.open(f"/proc/{number}/root{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            self._stack.callback(os.close, mounts[-1])
        return mounts[0], Watch(bounds=self._job.bounds, mounts=mounts, first=number, group=self._group, shares_network=self._job.network)

    def _taken_feed(self) -> int:
        end, self._feed_to = self._feed_to, -1
        return end

    async def _watched(self, watch: Watch, until: asyncio.Event, wall_s: float) -> None:
        """Wait for something or for the end, and stop what goes over its bounds."""
        over = time.monotonic() + wall_s
        while not (until.is_set() or self._gone.is_set() or self._stopped):
            if time.monotonic() >= over:
                self._stop("time")
            elif (broken := watch.broken()) is not None:
                self._stop(broken)
            else:
                await self._first_of(until, self._gone, min(LOOK_S, over - time.monotonic()))
        if self._stopped is None and self._gone.is_set() and (broken := watch.broken()) is not None:
            # It ended by itself before it was seen to have gone too far.
            self._stopped = broken

    async def _first_of(self, one: asyncio.Event, other: asyncio.Event, at_most_s: float) -> None:
        waiting = [asyncio.ensure_future(one.wait()), asyncio.ensure_future(other.wait())]
        try:
            await asyncio.wait(waiting, timeout=max(at_most_s, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def _stop(self, why: Ending) -> None:
        self._stopped = self._stopped or why
        self._kill()

    def _kill(self) -> None:
        # With its first process, 1 inside, the kernel ends all others of the sandbox. Who started that one then ends by itself.
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first if self._first >= 0 else self._launcher, signal.SIGKILL)

    async def _end(self) -> None:
        """Nothing is left of it: no process, no word unread."""
        self._kill()
        await self._gone.wait()
        if self._first >= 0:
            await self._over(self._first)
            _reaped(self._first)
        if self._feeding is not None:
            await asyncio.wait([self._feeding])
        await self._silent.wait()

    async def _over(self, handle: int) -> None:
        """Wait for a process that is not our own child. A sandbox's first process ends after all others of it."""
        ended = asyncio.Event()
        self._loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            self._loop.remove_reader(handle)

    async def close(self) -> None:
        """End what runs, wait for that, and free everything."""
        if self._feed_to >= 0:
            os.close(self._taken_feed())
        try:
            if self._launcher >= 0:
                await self._end()
        finally:
            self._stack.close()
            if self._group is not None:
                self._group.close()

    def _account(self, root: int, wall_s: float) -> Finished:
        out, err = self._pipes["stdout"], self._pipes["stderr"]
        ending: Ending = self._stopped or ("exit" if self._status is not None else "gone")
        return Finished(
            ending=ending,
            status=self._status if ending == "exit" else None,
            stdout=out.kept,
            stderr=err.kept,
            cut=out.cut or err.cut,
            wall_s=wall_s,
            root=root,
        )


def _reaped(handle: int) -> None:
    """Take note of a process that has ended. It is our child only where this process adopts what its children leave behind."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOHANG)
