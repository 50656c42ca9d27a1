"""Exchanges on disk: written in batches, read back as a session's history."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import msgspec
from sqlalchemy import insert, select

from dagi.errors import Overloaded, StoreError
from dagi.message import Message, Turn
from dagi.ports.dialogs import Exchange
from dagi.ports.observer import Observer
from dagi.stores.database import Database
from dagi.stores.tables import exchange as table

HISTORY_EXCHANGES = 20
RETRY_S = 1.0
BATCH = 1000

_Row = dict[str, object]


class ExchangeStore:
    """Implements the port Dialogs.

    A finished exchange waits in memory for at most `flush_s`, then a batch is written in one transaction. When the disk does not take
    it, the batch is kept and tried again; when no place is left, new work is refused rather than a record dropped.

    Use as a context: entering starts the writer, leaving writes what is left.
    """

    def __init__(self, database: Database, observer: Observer, *, flush_s: float = 0.05, places: int = 10_000) -> None:
        self._database = database
        self._observer = observer
        self._flush_s = flush_s
        self._places = places
        self._taken = 0
        self._rows: list[_Row] = []
        self._arrived = asyncio.Event()
        self._written = asyncio.Condition()
        self._recorded_count = 0
        self._written_count = 0
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_for_ever(), name="exchange-writer")
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._write_batches()

    @property
    def waiting(self) -> int:
        """Exchanges that are not on disk yet."""
        return len(self._rows)

    @contextmanager
    def recording(self, exchange: Exchange) -> Generator[None]:
        """See the port Dialogs."""
        if self._taken + len(self._rows) >= self._places:
            raise Overloaded("The stack cannot record more just now. Try again shortly.", retry_after_s=1)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
            if exchange.grant is not None and exchange.grant.entitlements:
                self._rows.append(_row(exchange))
                self._recorded_count += 1
                self._arrived.set()

    async def saved(self) -> None:
        """See the port Dialogs."""
        wanted = self._recorded_count
        async with self._written:
            await self._written.wait_for(lambda: self._written_count >= wanted)

    async def history(self, message: Message, tokens: int) -> tuple[Turn, ...]:
        """See the port Dialogs. A session belongs to one person in one DAO; nobody reads another's by its id."""
        sender = message.sender
        key = (sender.dao_id, sender.user_id, sender.session_id)
        if any((row["dao_id"], row["user_id"], row["session_id"]) == key for row in self._rows):
            await self.saved()
        query = (
            select(table.c.prompt, table.c.answer)
            .where(table.c.dao_id == key[0], table.c.user_id == key[1], table.c.session_id == key[2])
            .where(table.c.outcome == "ok", table.c.mode == "chat")
            .order_by(table.c.id.desc())
            .limit(HISTORY_EXCHANGES)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        turns: list[Turn] = []
        for prompt, answer in rows:
            tokens -= (len(prompt.encode()) + len(answer.encode())) // 4
            if tokens < 0:
                break
            turns += (Turn("assistant", answer), Turn("user", prompt))
        return tuple(reversed(turns))

    async def _write_for_ever(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._flush_s)
            self._arrived.clear()
            try:
                await self._write_batches()
            except StoreError as error:
                self._observer.note("exchanges_unwritten", level="error", waiting=len(self._rows), why=str(error))
                self._arrived.set()
                await asyncio.sleep(RETRY_S)

    async def _write_batches(self) -> None:
        while self._rows:
            batch = self._rows[:BATCH]
            # Shielded: a batch that is cut off half-way by a shutdown would be written a second time.
            await asyncio.shield(self._write(batch))

    async def _write(self, batch: list[_Row]) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(table), batch)
        del self._rows[: len(batch)]
        async with self._written:
            self._written_count += len(batch)
            self._written.notify_all()


def _row(exchange: Exchange) -> _Row:
    message = exchange.message
    return {
        "request_id": message.id,
        "dao_id": message.sender.dao_id,
        "user_id": message.sender.user_id,
        "session_id": message.sender.session_id,
        "source": message.sender.source,
        "mode": message.mode,
        "rule": exchange.rule,
        "provider": exchange.provider,
        "model": exchange.model[:200],
        "outcome": exchange.outcome,
        "prompt": message.prompt,
        "answer": _storable(exchange.text),
        "prompt_tokens": exchange.usage.prompt_tokens,
        "completion_tokens": exchange.usage.completion_tokens,
        "attempts": msgspec.json.encode(exchange.attempts).decode(),
        "duration_ms": exchange.timings_ms["total"],
        "at": exchange.at,
    }


def _storable(text: str) -> str:
    """A model may say anything, also halves of characters, which no database takes."""
    return text.encode("utf-8", "replace").decode()
