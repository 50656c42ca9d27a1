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
# How long giving back what we had may take when we are stopped.
GIVE_BACK_S: Final = 2.0


class Piece(Protocol):
    """What can be taken."""

    @property
    def id(self) -> int:
        """Its number where it is kept."""
        ...


P = TypeVar("P", bound=Piece)


class Kept(Protocol[P]):
    """Where pieces of work wait: the ports Inbox and Outbox."""

    async def take(self, most: int) -> Sequence[P]:
        """At most so many pieces that are ours then."""
        ...

    async def keep(self, ids: Sequence[int], /) -> None:
        """Have these for longer."""
        ...

    async def give_back(self, piece: P, /) -> None:
        """Let others have it at once."""
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
        self._pieces: dict[int, P] = {}
        self._taking: asyncio.Task[Sequence[P]] | None = None
        self._there = asyncio.Event()

    @property
    def busy(self) -> int:
        """Pieces being done now."""
        return len(self._busy)

    def wake(self) -> None:
        """There is something to take."""
        self._there.set()

    async def follow(self) -> None:
        """Work until cancelled; what is not done by then is given back, for whoever takes it next."""
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
            undone = dict(self._pieces)
            tasks = [keeping, *self._busy.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._busy.clear()
            self._pieces.clear()
            await self._give_back(undone)

    async def _give_back(self, undone: dict[int, P]) -> None:
        try:
            async with asyncio.timeout(GIVE_BACK_S):
                if (taking := self._taking) is not None and not (taking.done() and taking.exception()):
                    # Nobody has begun with what we are just taking.
                    undone |= {piece.id: piece for piece in await taking}
                # What is settled by now is nobody's, so all may be given back.
                await asyncio.gather(*(self._kept.give_back(piece) for piece in undone.values()))
        except (StoreError, TimeoutError) as error:
            self._observer.note(f"{self._name}_not_given_back", level="warning", number=len(undone), why=str(error), after_s=HELD_S)
        finally:
            self._taking = None

    async def _look(self) -> None:
        free = self._places - len(self._busy)
        if free <= 0:
            return
        # Of somebody who takes and is stopped meanwhile, nobody would hear what he had taken.
        self._taking = asyncio.create_task(self._taken(free), name=f"{self._name}-take")
        pieces = await asyncio.shield(self._taking)
        self._taking = None
        for piece in pieces:
            if piece.id in self._busy:
                # Our time with it was over before we could have it for longer, and nobody else has begun: we go on with it.
                continue
            task = asyncio.create_task(self._one(piece), name=f"{self._name}-{piece.id}")
            self._busy[piece.id], self._pieces[piece.id] = task, piece
            task.add_done_callback(self._told)

    async def _taken(self, most: int) -> Sequence[P]:
        try:
            return await self._kept.take(most)
        except StoreError as error:
            self._observer.note(f"{self._name}_waits", level="warning", why=str(error))
            await self._clock.sleep(RETRY_S)
            return ()

    async def _one(self, piece: P) -> None:
        try:
            await self._do(piece)
        except StoreError as error:
            self._observer.note(f"{self._name}_undone", level="warning", id=piece.id, why=str(error))
        finally:
            self._busy.pop(piece.id, None)
            self._pieces.pop(piece.id, None)
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
