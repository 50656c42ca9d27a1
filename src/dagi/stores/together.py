"""Many small writes in one transaction: whoever comes while one is being written goes into the next, all of them together.

A transaction costs a wait for the disk and for other writers, whether it holds one row or a hundred.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.errors import StoreError
from dagi.stores.database import Database

T = TypeVar("T")
MOST: Final = 500

_Work = Callable[[AsyncConnection], Awaitable[Any]]
_Asked = tuple[_Work, "asyncio.Future[Any]"]


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
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
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
                batch = [(work, done) for work, done in self._waiting[:MOST] if not done.cancelled()]
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
        async with self.database.write() as connection:
            results = [await work(connection) for work, _ in batch]
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():
                done.set_result(result)


def _fail(batch: Sequence[_Asked], error: Exception) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)
