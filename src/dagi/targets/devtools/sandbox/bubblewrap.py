"""The sandbox: bubblewrap in namespaces of its own, under a filter of system calls, within bounds, watched from outside."""

import asyncio
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from dagi.errors import SandboxUnavailable
from dagi.ports.clock import Clock
from dagi.targets.devtools.sandbox.cgroups import grouped
from dagi.targets.devtools.sandbox.job import DEAF, Ears, Finished, Job
from dagi.targets.devtools.sandbox.launch import PROGRAMS, ROOT_PROGRAMS, Base, launch
from dagi.targets.devtools.sandbox.life import LaunchFailed, Life
from dagi.targets.devtools.sandbox.proving import proven
from dagi.targets.devtools.sandbox.seccomp import UnknownMachine, program
from dagi.targets.devtools.sandbox.trouble import read_failure, unavailable

# How long it is taken to hold after its test, and how long to be of no use after a failed one.
_GOOD_S: Final = 600.0
_BAD_S: Final = 5.0
_FIRST_TO_FORBID: Final = (0, 8)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator decides about it.

    Attributes:
        user: as whom its processes run where root starts it.
        python: the environment with pytest and the like, made with the stack's own interpreter; None for none.
        inside: a directory with scripts of ours, shown at `/opt/dagi/inside`; None for none.
    """

    user: int = 65_534
    python: Path | None = None
    inside: Path | None = None


class Bubblewrap:
    """Implements `job.Sandbox`."""

    def __init__(self, setting: Setting, clock: Clock) -> None:
        self._setting = setting
        self._clock = clock
        self._base: Base | None = None
        self._checking = asyncio.Lock()
        self._until = 0.0
        self._wrong: SandboxUnavailable | None = None

    async def check(self) -> None:
        """See `job.Sandbox`."""
        async with self._checking:
            if self._clock.monotonic() >= self._until:
                self._wrong = None
                try:
                    await proven(self._run, _home(self._setting))
                except SandboxUnavailable as error:
                    self._wrong = error
                self._until = self._clock.monotonic() + (_BAD_S if self._wrong is not None else _GOOD_S)
            if self._wrong is not None:
                raise self._wrong

    @asynccontextmanager
    async def run(self, job: Job, ears: Ears = DEAF) -> AsyncGenerator[Finished]:
        """See `job.Sandbox`."""
        if job.command[0] == "python" and self._setting.python is None:
            raise unavailable("no_python")
        await self.check()
        async with self._run(job, ears) as finished:
            yield finished

    @asynccontextmanager
    async def _run(self, job: Job, ears: Ears = DEAF) -> AsyncGenerator[Finished]:
        base = self._base = self._base or await asyncio.to_thread(found_base, self._setting)
        group = grouped(job.bounds)
        how = launch(base, job, () if group is None else group.joins)
        life = Life(job, ears, group)
        try:
            yield await life.finished(how, program(platform.machine(), counted=group is not None))
        except LaunchFailed as failed:
            said = str(failed)
            raise unavailable(read_failure(said, as_root=base.user is not None), said) from failed
        finally:
            await _to_its_end(asyncio.create_task(life.close()))


async def _to_its_end(closing: asyncio.Task[None]) -> None:
    """Wait for it. Whoever is told to hurry meanwhile, however often, hurries afterwards: what runs has ended by then."""
    hurried: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.wait({closing})
        except asyncio.CancelledError as error:
            hurried = error
    closing.result()
    if hurried is not None:
        raise hurried


def found_base(setting: Setting) -> Base:
    """What this machine has for it. Asks bubblewrap for its version.

    Raises:
        SandboxUnavailable: something is missing.
    """
    as_root = os.geteuid() == 0
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise unavailable("no_bubblewrap")
    missing = [name for name in (*PROGRAMS, *(ROOT_PROGRAMS if as_root else ())) if shutil.which(name) is None]
    if missing:
        raise unavailable("no_programs", ", ".join(missing))
    try:
        program(platform.machine())
    except UnknownMachine as error:
        raise unavailable("unknown_machine", str(error)) from error
    return Base(
        bubblewrap=bubblewrap,
        disables_namespaces=_version(bubblewrap) >= _FIRST_TO_FORBID,
        python=setting.python,
        home=_home(setting),
        inside=setting.inside,
        user=setting.user if as_root else None,
    )


def _home(setting: Setting) -> Path | None:
    """Where the interpreter is that is shown."""
    return None if setting.python is None else Path(sys.base_prefix)


def _version(bubblewrap: str) -> tuple[int, ...]:
    said = subprocess.run([bubblewrap, "--version"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603 - found above
    with suppress(ValueError, IndexError):
        return tuple(int(part) for part in said.stdout.split()[1].split("."))
    return (0,)
