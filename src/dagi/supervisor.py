"""Keeps a few child processes alive: starts them, waits until they are ready, starts them again when they die, stops them in order."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from dagi.errors import DagiError
from dagi.ports.observer import Observer

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 5.0


EX_CONFIG = 78
# How long the start of all waits for a process that is not needed.
PATIENCE_S = 30.0


class StartFailed(DagiError):
    """A process ended before it was ready for the first time. It said why on stderr itself."""

    code = "INTERNAL"


class Misconfigured(StartFailed):
    """The same, and it said that the configuration or the data cannot be used."""

    code = "NOT_CONFIGURED"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One process to keep.

    Attributes:
        name: how it is called in logs.
        command: program and arguments; `{ready}` is replaced by the number of the file descriptor it writes to once it is ready.
        pass_fds: descriptors it inherits, for example a listening socket, which therefore outlives it.
        needed: without it there is nothing to start; the others are tried again and again.
    """

    name: str
    command: tuple[str, ...]
    pass_fds: tuple[int, ...] = ()
    needed: bool = True


class Supervised:
    """One process through all its lives.

    Attributes:
        ready: it is, or was in its last life.
        settled: the start need not wait for it any longer: it has been ready, or it is not needed and has failed.
    """

    def __init__(self, plan: Plan, observer: Observer) -> None:
        self.plan = plan
        self.ready = False
        self.settled = asyncio.Event()
        self.restarts = 0
        self.process: Process | None = None
        self._observer = observer
        self._stopping = False

    async def wait_settled(self) -> None:
        """Wait for `settled`; for one that is not needed, no longer than a start may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self.plan.needed else PATIENCE_S):
                await self.settled.wait()

    async def live(self) -> None:
        """Run the process again and again until `stop`.

        Raises:
            StartFailed: it is needed and did not even become ready once.
        """
        delay = FIRST_DELAY_S
        while not self._stopping:
            self.ready = False
            code = await self._run()
            if self._stopping:
                return
            if not self.settled.is_set() and self.plan.needed:
                kind = Misconfigured if code == EX_CONFIG else StartFailed
                raise kind(f"{self.plan.name} did not start (exit status {code}).", process=self.plan.name, exit_status=code)
            self.settled.set()
            # One that was ready comes back at once, however often it is killed; one that never gets there is given more and more time.
            delay = FIRST_DELAY_S if self.ready else min(delay * 2, LONGEST_DELAY_S)
            self.restarts += 1
            self._observer.note("process_died", level="error", process=self.plan.name, exit_status=code, restart_in_s=round(delay, 2))
            await asyncio.sleep(delay)

    async def _run(self) -> int | None:
        """One life; the exit status, or None where the system could not even start it."""
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        loop.add_reader(reader, self._heard, reader)
        try:
            process = await self._spawn(writer)
            if process is None:
                return None
            self.process = process
            if self._stopping:
                process.terminate()
            return await process.wait()
        finally:
            loop.remove_reader(reader)
            os.close(reader)
            self.process = None

    async def _spawn(self, writer: int) -> Process | None:
        command = [part.replace("{ready}", str(writer)) for part in self.plan.command]
        try:
            # A session of its own: Ctrl-C reaches the supervisor, which stops its children in order.
            return await asyncio.create_subprocess_exec(*command, pass_fds=(*self.plan.pass_fds, writer), start_new_session=True)
        except OSError as error:
            self._observer.note("process_not_started", level="error", process=self.plan.name, why=error.strerror)
            return None
        finally:
            os.close(writer)

    def _heard(self, reader: int) -> None:
        if os.read(reader, 1):
            self.ready = True
            self.settled.set()
            pid = self.process.pid if self.process is not None else None
            self._observer.note("process_ready", process=self.plan.name, pid=pid, restarts=self.restarts)
        else:
            asyncio.get_running_loop().remove_reader(reader)

    async def stop(self, grace_s: float) -> None:
        """Ask the process to stop; after `grace_s` it is killed."""
        self._stopping = True
        process = self.process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), grace_s)
        except TimeoutError:
            self._observer.note("process_killed", level="warning", process=self.plan.name, after_s=grace_s)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Supervisor:
    """All processes of an installation on this machine."""

    def __init__(self, plans: Sequence[Plan], observer: Observer) -> None:
        self.children = [Supervised(plan, observer) for plan in plans]
        self._lives: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start everything and wait until all of it is ready, or has failed where it is not needed.

        Raises:
            StartFailed: one that is needed never was.
        """
        self._lives = [asyncio.create_task(child.live(), name=child.plan.name) for child in self.children]
        waiting = [asyncio.create_task(child.wait_settled()) for child in self.children]
        everything = asyncio.gather(*waiting)
        try:
            await asyncio.wait([everything, *self._lives], return_when=asyncio.FIRST_COMPLETED)
            for life in self._lives:
                if life.done():
                    life.result()
        finally:
            everything.cancel()
            with suppress(asyncio.CancelledError):
                await everything

    def tell(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process of that name, where it runs."""
        for child in self.children:
            if child.plan.name == name and child.process is not None and child.ready:
                with suppress(ProcessLookupError):
                    child.process.send_signal(number)

    async def stop(self, grace_s: float) -> None:
        """Stop everything, the last started first."""
        for child in reversed(self.children):
            await child.stop(grace_s)
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
