"""Keeps the process that holds a model: started with the first question, started again when it dies, ended with the target."""

import asyncio
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress

import msgspec

from dagi.errors import NotConfigured, ProviderError, TargetFailure
from dagi.ports.clock import Clock
from dagi.ports.provider import Noting
from dagi.targets.models.llama_process import HOST, Orders

PROGRAM = (sys.executable, "-P", "-m", "dagi.targets.models.llama_process")
# After so long a life the next death is the first in a row again.
STEADY_S = 10.0
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
_TAIL = 4096
_QUOTE = 200
_DRAIN_S = 1.0


class Address(msgspec.Struct, frozen=True):
    """Where a living child answers, and with which key."""

    base_url: str
    api_key: str


class Trouble(msgspec.Struct, frozen=True):
    """Why there is no child. `missing`: the operator has to do something first, so another try needs no pause."""

    why: str
    missing: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a child is started.

    Attributes:
        orders: what it is told; the key is made anew for each life.
        check: looks at the file before each start; what is wrong with it, or nothing.
        start_s: how long loading may take.
        program: what is started; it speaks as `llama_process` does.
    """

    orders: Orders
    check: Callable[[], str]
    start_s: float = 120.0
    program: tuple[str, ...] = PROGRAM


class LlamaChild:
    """The process of one target, through all its lives. The first death in a row is made good at once, later ones cost a pause.

    Attributes:
        process: the one that lives now.
    """

    def __init__(self, name: str, plan: Plan, clock: Clock, note: Noting) -> None:
        self._name = name
        self._plan = plan
        self._clock = clock
        self._note = note
        self._life: asyncio.Task[None] | None = None
        self._known: asyncio.Future[Address | Trouble] | None = None
        self._falls = 0
        self._not_before = 0.0
        self._closed = False
        self._last_words: asyncio.Task[bytes] | None = None
        self.process: Process | None = None

    async def where(self) -> Address:
        """Where it answers; starts it if need be. Leaving does not stop the start, so the next question may find it ready.

        Raises:
            NotConfigured: its file cannot be used.
            ProviderError: it cannot be started, or is given a pause after it failed.
        """
        if self._closed:
            raise self._failed(Trouble("its target has been closed"))
        known = self._known
        if known is None or (self._life is not None and self._life.done() and self._clock.monotonic() >= self._not_before):
            known = self._known = asyncio.get_running_loop().create_future()
            self._life = asyncio.create_task(self._live(), name=f"model of {self._name}")
        outcome = known.result() if known.done() else await asyncio.shield(known)
        if isinstance(outcome, Trouble):
            raise self._failed(outcome)
        return outcome

    async def aclose(self) -> None:
        """End the process. Nobody is being answered any more."""
        self._closed = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)

    async def _live(self) -> None:
        """One life after the other, until there has to be a pause."""
        pause_s = 0.0
        try:
            while not pause_s:
                outcome = await self._begin()
                self._tell(outcome)
                if isinstance(outcome, Trouble):
                    self._falls += not outcome.missing
                    self._not_before = self._clock.monotonic() + (0.0 if outcome.missing else _pause(self._falls))
                    return
                pause_s = await self._lived()
                await self._kill()
            self._not_before = self._clock.monotonic() + pause_s
            self._tell(Trouble(f"its process ends again and again and is given {pause_s:g} s"))
        finally:
            await self._kill()
            # Whatever ended this, nobody may wait for ever.
            self._tell(Trouble("its target has been closed"))

    async def _lived(self) -> float:
        """Wait until the process has ended; the pause before the next one."""
        process = self.process
        if process is None:
            return 0.0
        self._note("model_process_ready", provider=self._name, pid=process.pid)
        ready = self._clock.monotonic()
        status = await process.wait()
        # Whoever asks now waits for the next life.
        self._known = asyncio.get_running_loop().create_future()
        self._falls = 1 if self._clock.monotonic() - ready >= STEADY_S else self._falls + 1
        pause_s = _pause(self._falls - 1)
        self._note("model_process_died", level="error", provider=self._name, exit_status=status, pause_s=pause_s)
        return pause_s

    def _tell(self, outcome: Address | Trouble) -> None:
        if self._known is not None and not self._known.done():
            self._known.set_result(outcome)

    async def _begin(self) -> Address | Trouble:
        """Start the process and wait until it answers."""
        problem = await asyncio.to_thread(self._plan.check)
        if problem:
            return Trouble(problem, missing=True)
        key = secrets.token_urlsafe(32)
        orders = msgspec.json.encode(msgspec.structs.replace(self._plan.orders, api_key=key)) + b"\n"
        try:
            process = await asyncio.create_subprocess_exec(
                *self._plan.program, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        except OSError as error:
            return Trouble(f"its process could not be started: {error.strerror}")
        self.process = process
        last_words = self._last_words = asyncio.create_task(_tail(process))
        try:
            async with asyncio.timeout(self._plan.start_s):
                line = await _first_line(process, orders)
        except TimeoutError:
            await self._kill()
            return Trouble(f"its model was not loaded within {self._plan.start_s:g} s; raise start_timeout_s, or take a smaller model")
        if line.startswith(f"http://{HOST}:".encode()):
            return Address(f"{line.decode('ascii').strip()}/v1", key)
        await self._kill()
        return Trouble(f"its model could not be loaded: {_reason(await last_words)}")

    async def _kill(self) -> None:
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            # It holds nothing that could be lost.
            with suppress(ProcessLookupError):
                process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        # The pipes are closed once their ends have been read; a grandchild that holds one is not waited for.
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                if process.stdout is not None:
                    await process.stdout.read()
                if self._last_words is not None:
                    await asyncio.wait([self._last_words])
        # Only now, for who is cancelled on the way begins anew.
        self.process = self._last_words = None

    def _failed(self, trouble: Trouble) -> TargetFailure:
        detail = f"{self._name} cannot answer: {trouble.why}."
        if trouble.missing:
            return NotConfigured(f"{self._name} is not configured.", provider=self._name, detail=detail)
        return ProviderError(f"{self._name} could not be started.", provider=self._name, detail=detail, unreachable=True)


def _pause(falls: int) -> float:
    return min(FIRST_DELAY_S * 2 ** (falls - 1), LONGEST_DELAY_S) if falls else 0.0


async def _first_line(process: Process, orders: bytes) -> bytes:
    if process.stdin is None or process.stdout is None:
        return b""
    with suppress(ConnectionError):
        process.stdin.write(orders)
        await process.stdin.drain()
    with suppress(ValueError):
        return await process.stdout.readline()
    return b""


async def _tail(process: Process) -> bytes:
    """The last it wrote to stderr before it was ready or ended."""
    kept = b""
    while process.stderr is not None and (data := await process.stderr.read(_TAIL)):
        kept = (kept + data)[-_TAIL:]
    return kept


def _reason(tail: bytes) -> str:
    """The first error among its last words, else the last line."""
    lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.partition(" E ")[2] for line in lines if " E " in line]
    said = (errors or lines[-1:] or ["it said nothing; it may have run out of memory"])[0]
    return " ".join("".join(sign if sign.isprintable() else " " for sign in said).split())[:_QUOTE].rstrip(".")
