"""Many small writes in one transaction: whoever comes while one is being written goes into the next, all of them together.

A transaction costs a wait for the disk and for other writers, whether it holds one row or a hundred.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.errors import StoreError
from dagi.stores.database import Database

T = TypeVar("T")
Item = TypeVar("Item")
MOST: Final = 500

Many = Callable[[AsyncConnection, Sequence[Any]], Awaitable[Sequence[Any]]]


class _Asked(NamedTuple):
    """One caller's item, what does it together with others of its kind, and what the caller waits for."""

    many: Many
    item: Any
    done: "asyncio.Future[Any]"


class Together:
    """Writes of several callers, in the order in which they came.

    Attributes:
        database: where they go.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._waiting: list[_Asked] = []
        self._writing: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do the work within a transaction that others share; returns once it is committed.

        A caller that is cancelled takes its work back only while nobody has begun with it.

        Raises:
            StoreError: the database cannot be written.
        """
        return await self.gathered(_each, work)

    async def gathered(self, many: Callable[[AsyncConnection, Sequence[Item]], Awaitable[Sequence[T]]], item: Item) -> T:
        """The same for an item of many of which one statement takes all; those of one `many` are done with the first of them.

        Args:
            many: does them within the transaction; gives a result for each, in their order.

        Raises:
            StoreError: the database cannot be written.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(many, item, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="together")
        return await done

    async def aclose(self) -> None:
        """Wait for what is being written."""
        if self._writing is not None:
            await self._writing

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = [asked for asked in self._waiting[:MOST] if not asked.done.cancelled()]
                del self._waiting[:MOST]
                await self._write(batch)
        finally:
            self._writing = None

    async def _write(self, batch: Sequence[_Asked]) -> None:
        try:
            await self._committed(batch)
        except StoreError as error:
            _fail(batch, error)
        except SQLAlchemyError as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:
                # One of them cannot be done: the others can.
                for one in batch:
                    await self._write([one])
        finally:
            # Nobody waits for ever, whatever went wrong here.
            _fail(batch, StoreError("A write broke off because of a defect; nothing of it was written."))

    async def _committed(self, batch: Sequence[_Asked]) -> None:
        if not batch:
            return
        kinds: dict[Many, list[_Asked]] = {}
        for asked in batch:
            kinds.setdefault(asked.many, []).append(asked)
        results: list[tuple[_Asked, Any]] = []
        async with self.database.write() as connection:
            for many, of_kind in kinds.items():
                results += zip(of_kind, await many(connection, [asked.item for asked in of_kind]), strict=True)
        for asked, result in results:
            if not asked.done.done():
                asked.done.set_result(result)


async def _each(connection: AsyncConnection, works: Sequence[Callable[[AsyncConnection], Awaitable[Any]]]) -> Sequence[Any]:
    return [await work(connection) for work in works]


def _fail(batch: Sequence[_Asked], error: Exception) -> None:
    for asked in batch:
        if not asked.done.done():
            asked.done.set_exception(error)
