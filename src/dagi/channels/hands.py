"""Takes work that is kept elsewhere and does it, several pieces at once: what inbox and outbox have in common in their handling."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from dagi.errors import StoreError
from dagi.ports.clock import Clock
from dagi.ports.inbox import HELD_S
from dagi.ports.observer import Observer

# How soon what another process has put there is seen.
LOOK_S: Final = 0.25
RETRY_S: Final = 1.0


class Piece(Protocol):
    """What can be taken."""

    @property
    def id(self) -> int:
        """Its number where it is kept."""
        ...


P = TypeVar("P", bound=Piece)
P_co = TypeVar("P_co", bound=Piece, covariant=True)


class Kept(Protocol[P_co]):
    """Where pieces of work wait: the ports Inbox and Outbox."""

    async def take(self, most: int) -> Sequence[P_co]:
        """At most so many pieces that are ours then."""
        ...

    async def keep(self, ids: Sequence[int], /) -> None:
        """Have these for longer."""
        ...


class Hands(Generic[P]):
    """Does pieces of work as they are there.

    Args:
        do: does one; it raises nothing but StoreError, after which the piece is somebody's again once our time with it is over.
        places: how many at once.
    """

    def __init__(
        self,
        name: str,
        kept: Kept[P],
        do: Callable[[P], Awaitable[None]],
        observer: Observer,
        clock: Clock,
        *,
        places: int = 64,
    ) -> None:
        self._name = name
        self._kept = kept
        self._do = do
        self._observer = observer
        self._clock = clock
        self._places = places
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._there = asyncio.Event()

    @property
    def busy(self) -> int:
        """Pieces being done now."""
        return len(self._busy)

    def wake(self) -> None:
        """There is something to take."""
        self._there.set()

    async def follow(self) -> None:
        """Work until cancelled; what is being done then is left as it is, for whoever takes it next."""
        keeping = asyncio.create_task(self._keep_them(), name=f"{self._name}-keep")
        try:
            while True:
                await self._look()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._there.wait()
                except TimeoutError:
                    pass
                self._there.clear()
        finally:
            tasks = [keeping, *self._busy.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        free = self._places - len(self._busy)
        if free <= 0:
            return
        try:
            pieces = await self._kept.take(free)
        except StoreError as error:
            self._observer.note(f"{self._name}_waits", level="warning", why=str(error))
            await self._clock.sleep(RETRY_S)
            return
        for piece in pieces:
            if piece.id in self._busy:
                # Our time with it was over before we could have it for longer, and nobody else has begun: we go on with it.
                continue
            task = asyncio.create_task(self._one(piece), name=f"{self._name}-{piece.id}")
            self._busy[piece.id] = task
            task.add_done_callback(self._told)

    async def _one(self, piece: P) -> None:
        try:
            await self._do(piece)
        except StoreError as error:
            self._observer.note(f"{self._name}_undone", level="warning", id=piece.id, why=str(error))
        finally:
            self._busy.pop(piece.id, None)
            # Its lane is free, and so is its place.
            self._there.set()

    def _told(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.note("internal_error", level="error", where=task.get_name(), exc_info=error)

    async def _keep_them(self) -> None:
        while True:
            await self._clock.sleep(HELD_S / 3)
            try:
                await self._kept.keep(list(self._busy))
            except StoreError as error:
                self._observer.note(f"{self._name}_not_kept", level="warning", why=str(error))
