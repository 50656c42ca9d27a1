"""A flight: one answer under way that several callers wait for. It belongs to none of them: it goes on as long as one is left."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from dagi.errors import ProviderTimeout
from dagi.ports.clock import Clock
from dagi.ports.target import Delta, End, Event, Failure, Other, Thought, ToolCall, Tried, Used, Waited

Hear = Callable[[Event], None]


class Reader(msgspec.Struct, eq=False, kw_only=True):
    """One caller who waits.

    Attributes:
        name: whom to name when the time is up.
        deadline: when it gives up, on the monotonic clock; None leaves it to the flight.
    """

    name: str
    deadline: float | None = None


class Flight:
    """An answer under way.

    The first of those who wait is told what it costs, for it is spent once; whoever stands behind gets an answer that is `cached`.

    Args:
        work: asks for the answer, and gives every event to the function it is called with.
        ended: called when nothing more comes, well or badly.
    """

    def __init__(self, work: Callable[[Hear], Awaitable[None]], ended: Callable[["Flight"], None], clock: Clock) -> None:
        self._heard: list[Event] = []
        self._news = asyncio.Event()
        self._readers: list[Reader] = []
        self._paid = False
        self._over = False
        self._ended = ended
        self._clock = clock
        self._task = asyncio.ensure_future(self._run(work))
        self._task.add_done_callback(self._done)

    async def read(self, reader: Reader) -> AsyncGenerator[Event]:
        """Every event from the beginning, as it comes.

        Raises:
            ProviderTimeout: the reader's own deadline has passed.
            DagiError: as the target that was asked.
        """
        self._readers.append(reader)
        place = 0
        try:
            while True:
                while place < len(self._heard):
                    event = self._heard[place]
                    place += 1
                    shown = self._shown(event, reader)
                    if shown is not None:
                        yield shown
                if self._task.done():
                    self._task.result()
                    return
                await self._more(reader)
        finally:
            self._readers.remove(reader)
            if not self._readers and not self._over:
                self._ended(self)
                self._task.cancel()
                await asyncio.wait([self._task])

    def _shown(self, event: Event, reader: Reader) -> Event | None:
        if self._paid or self._readers[0] is not reader:
            return _shared(event)
        self._paid = isinstance(event, End)
        return event

    async def _run(self, work: Callable[[Hear], Awaitable[None]]) -> None:
        try:
            await work(self._hear)
        finally:
            self._over = True
            self._ended(self)

    async def _more(self, reader: Reader) -> None:
        if reader.deadline is None:
            await self._news.wait()
            return
        try:
            async with asyncio.timeout(reader.deadline - self._clock.monotonic()):
                await self._news.wait()
        except TimeoutError:
            text = f"{reader.name} did not finish its answer before the request's deadline."
            raise ProviderTimeout(text, provider=reader.name) from None

    def _hear(self, event: Event) -> None:
        self._heard.append(event)
        # What comes after the end is tidying up, which nobody has to wait for.
        self._over = self._over or isinstance(event, End | Failure)
        self._wake()

    def _done(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled():
            # Looked at, so that nobody complains where no reader is left.
            task.exception()
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _shared(event: Event) -> Event | None:
    """The event for somebody on whom nothing is spent; the upstream's own bytes tell of that and go to the first alone."""
    match event:
        case Waited() | Tried() | Used() | Other():
            return None
        case Delta(text):
            return Delta(text)
        case Thought(text):
            return Thought(text)
        case ToolCall():
            return msgspec.structs.replace(event, raw=None)
        case End():
            return msgspec.structs.replace(event, raw=None, cached=True)
        case _:
            return event
