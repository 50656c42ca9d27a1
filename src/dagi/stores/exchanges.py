"""Exchanges on disk: written in batches, read back as a session's history."""

import asyncio
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self

import msgspec
from sqlalchemy import bindparam, select

from dagi.errors import Overloaded, StoreError
from dagi.message import Message, Turn
from dagi.ports.dialogs import Exchange, History
from dagi.ports.observer import Observer
from dagi.stores.batches import Batch
from dagi.stores.database import Database
from dagi.stores.erasure import forgotten
from dagi.stores.spend import add_spend
from dagi.stores.tables import exchange as table
from dagi.stores.tables import session_summary
from dagi.stores.trouble import Trouble

HISTORY_EXCHANGES = 20
RETRY_S = 1.0
SAVE_S = 10.0
BATCH = 5_000
# Sessions that wait for a summary.
TRIMMED = 100
# What the stack asked for itself, on behalf of the person.
STACK = "stack"
# Beside the number of exchanges: a few very long ones must not fill the memory while the disk takes nothing.
MOST_BYTES = 64 * 1024 * 1024

# Built once: putting a statement together costs as much as running it.
_OF = (bindparam("dao"), bindparam("user"), bindparam("session"))
# The session's latest exchanges, newest first, one more than are shown.
_TOLD = (
    select(table.c.id, table.c.request_id, table.c.at, table.c.prompt, table.c.answer)
    .where(table.c.dao_id == _OF[0], table.c.user_id == _OF[1], table.c.session_id == _OF[2])
    .where(table.c.outcome == "ok", table.c.mode == "chat", table.c.cleared_at.is_(None))
    .order_by(table.c.id.desc())
    .limit(HISTORY_EXCHANGES + 1)
)
_SUMMARY = select(session_summary.c.text, session_summary.c.through_id).where(
    session_summary.c.dao_id == _OF[0], session_summary.c.user_id == _OF[1], session_summary.c.session_id == _OF[2]
)

_EXCHANGES = Batch(table, [column.name for column in table.columns if column.name != "id"])

_Row = dict[str, object]
_Session = tuple[object, object, object]


class ExchangeStore:
    """Implements the port Dialogs.

    A finished exchange waits in memory for at most `flush_s`, then a batch is written in one transaction. When the disk does not take
    it, the batch is kept and tried again; when no place is left, new work is refused rather than a record dropped.

    Use as a context: entering starts the writer, leaving writes what is left.

    Attributes:
        trouble: why nothing can be written just now.
        overflowing: the latest message of sessions whose history did not fit and of which not all that was left out is in a summary.
    """

    def __init__(self, database: Database, observer: Observer, *, flush_s: float = 0.05, places: int = 10_000) -> None:
        self._database = database
        self._observer = observer
        self._flush_s = flush_s
        self._places = places
        self._taken = 0
        self._rows: list[_Row] = []
        self._bytes = 0
        self._pending: dict[_Session, list[_Row]] = {}
        self._trimmed: set[_Session] = set()
        self.overflowing: asyncio.Queue[Message] = asyncio.Queue(TRIMMED)
        self.trouble = Trouble(observer, "exchanges_unwritten", "exchanges_written_again")
        self._arrived = asyncio.Event()
        self._stopping = False
        self._written = asyncio.Condition()
        self._recorded_count = 0
        self._written_count = 0
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_until_stopped(), name="exchange-writer")
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        # The writer ends by itself once everything is written: cutting it off could write a batch twice.
        self._stopping = True
        self._arrived.set()
        if self._writer is not None:
            await self._writer

    @property
    def waiting(self) -> int:
        """Exchanges that are not on disk yet."""
        return len(self._rows)

    @property
    def has_room(self) -> bool:
        """Whether another exchange can be recorded."""
        return self._taken + len(self._rows) < self._places and self._bytes < MOST_BYTES

    def recording(self, exchange: Exchange) -> "_Recording":
        """See the port Dialogs."""
        return _Recording(self, exchange)

    def begin(self) -> None:
        """Keep a place for an exchange that begins.

        Raises:
            Overloaded: none is left.
        """
        if not self.has_room:
            raise Overloaded("The stack cannot record more just now. Try again shortly.", retry_after_s=1)
        self._taken += 1

    def end(self, exchange: Exchange) -> None:
        """Take over the exchange that has a place."""
        self._taken -= 1
        if exchange.grant is not None and exchange.grant.entitlements:
            self._take(_row(exchange))
        self._overflow(exchange.message)

    def _take(self, row: _Row) -> None:
        self._rows.append(row)
        self._bytes += _size(row)
        self._recorded_count += 1
        self._pending.setdefault(_session(row), []).append(row)
        self._arrived.set()

    def _overflow(self, message: Message) -> None:
        """After the answer, so that nobody waits for it: tell whose history no longer fits."""
        if not self._trimmed:
            return
        sender = message.sender
        key = (sender.dao_id, sender.user_id, sender.session_id)
        if key in self._trimmed:
            self._trimmed.discard(key)
            with suppress(asyncio.QueueFull):
                # What finds no place comes again with the session's next question.
                self.overflowing.put_nowait(message)

    async def saved(self) -> None:
        """See the port Dialogs.

        Raises:
            Overloaded: the disk took nothing for ten seconds; the exchanges are kept and written as soon as it does.
        """
        wanted = self._recorded_count
        try:
            async with asyncio.timeout(SAVE_S), self._written:
                await self._written.wait_for(lambda: self._written_count >= wanted)
        except TimeoutError as error:
            raise Overloaded("The exchange could not be written down in time. Try again later.", retry_after_s=10) from error

    async def history(self, message: Message, tokens: int) -> History:
        """See the port Dialogs. A session belongs to one person in one DAO; nobody reads another's by its id."""
        sender = message.sender
        key = (sender.dao_id, sender.user_id, sender.session_id)
        # What is not on disk yet, noted before the disk is asked: what is written meanwhile is found twice rather than not at all.
        waiting = list(self._pending.get(key, ()))
        of = {"dao": key[0], "user": key[1], "session": key[2]}
        async with self._database.read(sender.dao_id) as connection:
            rows = (await connection.execute(_TOLD, of)).all()
            written = {(row.request_id, row.at) for row in rows}
            told = [(str(row["prompt"]), str(row["answer"])) for row in reversed(waiting) if _is_news(row, written)]
            news = len(told)
            told += [(row.prompt, row.answer) for row in rows]
            turns = _within(told, tokens)
            fallen_out = rows[max(0, len(turns) // 2 - news) :]
            if not fallen_out:
                return History(turns)
            kept = (await connection.execute(_SUMMARY, of)).one_or_none()
        if (kept is None or kept.through_id < fallen_out[0].id) and len(self._trimmed) < TRIMMED:
            self._trimmed.add(key)
        return History(turns, "" if kept is None else kept.text)

    async def _write_until_stopped(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._stopping:
                await asyncio.sleep(self._flush_s)
            self._arrived.clear()
            try:
                while self._rows:
                    await self._write(self._rows[:BATCH])
            except StoreError as error:
                self.trouble.again(str(error), waiting=len(self._rows))
                if self._stopping:
                    self._observer.note("exchanges_lost", level="error", count=len(self._rows))
                    return
                self._arrived.set()
                await asyncio.sleep(RETRY_S)
            else:
                self.trouble.over()
            if self._stopping and not self._rows:
                return

    async def _write(self, batch: list[_Row]) -> None:
        try:
            await self._insert(batch)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - the writer must outlive whatever one record holds
            await self._write_one_by_one(batch)
        else:
            await self._done(batch)

    async def _insert(self, rows: list[_Row]) -> None:
        async with self._database.add() as connection:
            known = await forgotten(connection, rows)
            await _EXCHANGES.insert(connection, known)
            # An erased key's own sums go on, as all sums of keys do.
            spent = known if known is rows else [{**one, "key_id": row["key_id"]} for one, row in zip(known, rows, strict=True)]
            await add_spend(connection, spent)

    async def _write_one_by_one(self, batch: list[_Row]) -> None:
        """One record of the batch cannot be stored: keep all the others, and say which one it was."""
        for row in batch:
            try:
                await self._insert([row])
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - see above
                self._observer.note("exchange_unstorable", level="error", request_id=row["request_id"], why=type(error).__name__)
            await self._done([row])

    async def _done(self, rows: list[_Row]) -> None:
        """The first rows that waited are settled."""
        del self._rows[: len(rows)]
        for row in rows:
            self._bytes -= _size(row)
            session = self._pending[_session(row)]
            session.pop(0)
            if not session:
                del self._pending[_session(row)]
        async with self._written:
            self._written_count += len(rows)
            self._written.notify_all()


class _Recording:
    """The context in which one exchange happens."""

    def __init__(self, store: ExchangeStore, exchange: Exchange) -> None:
        self._store = store
        self._exchange = exchange

    def __enter__(self) -> None:
        self._store.begin()

    def __exit__(self, *_: object) -> None:
        self._store.end(self._exchange)


def _session(row: _Row) -> _Session:
    return row["dao_id"], row["user_id"], row["session_id"]


def _size(row: _Row) -> int:
    return len(str(row["prompt"])) + len(str(row["answer"]))


def _is_news(row: _Row, written: set[tuple[str, datetime]]) -> bool:
    return row["outcome"] == "ok" and row["mode"] == "chat" and (row["request_id"], row["at"]) not in written


def _within(told: list[tuple[str, str]], tokens: int) -> tuple[Turn, ...]:
    """The latest exchanges that fit, oldest first; `told` is newest first."""
    turns: list[Turn] = []
    for prompt, answer in told[:HISTORY_EXCHANGES]:
        tokens -= (len(prompt.encode()) + len(answer.encode())) // 4
        if tokens < 0:
            break
        turns += (Turn("assistant", answer), Turn("user", prompt))
    return tuple(reversed(turns))


def _row(exchange: Exchange) -> _Row:
    message, charge = exchange.message, exchange.charge
    return {
        "request_id": message.id,
        "dao_id": message.sender.dao_id,
        "user_id": message.sender.user_id,
        "session_id": message.sender.session_id,
        "source": STACK if message.purpose else message.sender.source,
        "mode": message.mode,
        "rule": exchange.rule,
        "provider": exchange.provider,
        "model": storable(exchange.model)[:200],
        "outcome": exchange.outcome,
        "prompt": storable(message.prompt),
        "answer": storable(exchange.record),
        "prompt_tokens": exchange.usage.prompt_tokens,
        "completion_tokens": exchange.usage.completion_tokens,
        "attempts": msgspec.json.encode(exchange.attempts).decode(),
        "duration_ms": exchange.timings_ms["total"],
        "at": exchange.at,
        "key_id": message.sender.key_id,
        "charged_on": "" if charge is None else charge.day,
        "charged_tokens": 0 if charge is None else charge.tokens,
        "charged_micros": 0 if charge is None else charge.micros,
        "cleared_at": None,
    }


def storable(text: str) -> str:
    """A model may say anything, also in its name: halves of characters, which no database takes, and NUL, which PostgreSQL does not."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
