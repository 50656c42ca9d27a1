"""One person's data, removed: the text, and everything that says whose it was. What can be counted stays, without a name."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Table, case, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.actor import Actor
from dagi.access.names import check_identity
from dagi.errors import StoreError
from dagi.ports.clock import Clock
from dagi.stores.audit import Entry, append, erase_content, naming
from dagi.stores.ballots import forget_voter
from dagi.stores.changes import STACK
from dagi.stores.channel_traces import Reading, forget, traces
from dagi.stores.chat_bindings import forget_private
from dagi.stores.database import Database
from dagi.stores.feedback import forget_feedback
from dagi.stores.governance_tables import vote
from dagi.stores.link_tables import pending_link, wrong_code
from dagi.stores.tables import erasure, exchange, feedback, identity, session_summary, spend

BATCH = 500
WATCH_S = 0.25
Row = dict[str, object]
# A question outside of any conversation belongs to no session.
_named_session = case((exchange.c.session_id != "", exchange.c.dao_id + " " + exchange.c.session_id))


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, of which accounts. `records` of the audit and `votes` stay without saying whose they are.

    Attributes:
        opinions: what they thought of answers.
        messages: what they said to a bot and was not answered yet, and what was not delivered to them; where one DAO is named, of the chats
            that belong to it.
    """

    accounts: tuple[str, ...]
    exchanges: int
    sessions: int
    summaries: int
    records: int
    votes: int
    opinions: int
    messages: int


class Erasure:
    """Removes a person's dialogs, and the person from the audit.

    Args:
        reading: what is known of messages on their way; where left out, private chats alone are found to be somebody's.
    """

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK, reading: Reading | None = None) -> None:
        self._reading = reading or Reading()
        self._database = database
        self._clock = clock
        self._by = by

    async def count(self, user_id: str, dao_id: str | None = None) -> Erased:
        """What `erase` would remove.

        Raises:
            Invalid: it is no account.
        """
        check_identity(user_id)
        async with self._database.read(dao_id) as connection:
            accounts = await accounts_of(connection, user_id)
            exchanges, sessions = (
                await connection.execute(
                    select(func.count(), func.count(_named_session.distinct()))
                    .select_from(exchange)
                    .where(exchange.c.user_id.in_(accounts), *_within(exchange, dao_id)),
                )
            ).one()
            summaries = await connection.scalar(
                select(func.count())
                .select_from(session_summary)
                .where(session_summary.c.user_id.in_(accounts), *_within(session_summary, dao_id)),
            )
            records = len(await naming(connection, accounts, dao_id))
            named = select(func.count()).select_from(vote).where(vote.c.user_id.in_(accounts), *_within(vote, dao_id))
            votes = await connection.scalar(named)
            thought = select(func.count()).select_from(feedback).where(feedback.c.user_id.in_(accounts), *_within(feedback, dao_id))
            opinions = await connection.scalar(thought)
        # Within one DAO the bindings of others would be out of sight.
        async with self._database.read() as connection:
            on_their_way = await traces(connection, accounts, self._reading, dao_id)
        return Erased(
            accounts=accounts,
            exchanges=exchanges,
            sessions=sessions,
            summaries=summaries or 0,
            records=records,
            votes=votes or 0,
            opinions=opinions or 0,
            messages=sum(one.waits for one in on_their_way),
        )

    async def erase(self, user_id: str, dao_id: str | None = None) -> Erased:
        """Remove the dialogs of the person with this account, those of the person's other accounts included.

        A request that is under way meanwhile is written down without text and name: see `forgotten`.

        Raises:
            Invalid: it is no account.
        """
        found = await self.count(user_id, dao_id)
        async with self._database.write() as connection:
            messages = await forget(connection, await traces(connection, found.accounts, self._reading, dao_id), self._clock.now())
        async with self._database.write(dao_id) as connection:
            now = self._clock.now()
            marks = [{"user_id": account, "dao_id": dao_id or "", "at": now} for account in found.accounts]
            await connection.execute(insert(erasure), marks)
            await forget_voter(connection, found.accounts, dao_id)
            records = await naming(connection, found.accounts, dao_id)
            await erase_content(connection, records)
            entry = Entry(action="person.erased", actor=self._by.id, details={"records": len(records)})
            await append(connection, dao_id or "", [entry], now)
            # The DAO's and the keys' own sums stay, so nothing that was spent is lost to them.
            of_person = (spend.c.of == "user", spend.c.holder.in_(found.accounts))
            await connection.execute(delete(spend).where(*of_person, *_within(spend, dao_id)))
            thought = feedback.c.user_id.in_(found.accounts)
            opinions = (await connection.execute(delete(feedback).where(thought, *_within(feedback, dao_id)))).rowcount
            if dao_id is None:
                await _forget_links(connection, found.accounts)
                await forget_private(connection, found.accounts)
            removed = await connection.execute(
                delete(session_summary).where(session_summary.c.user_id.in_(found.accounts), *_within(session_summary, dao_id)),
            )
        exchanges = 0
        while cleared := await self._batch(found.accounts, dao_id):
            exchanges += cleared
        await self._database.truncate_journal()
        counts = {"exchanges": exchanges, "summaries": removed.rowcount, "records": len(records)}
        counts |= {"opinions": opinions, "messages": messages}
        return msgspec.structs.replace(found, **counts)

    async def _batch(self, accounts: Sequence[str], dao_id: str | None) -> int:
        due = select(exchange.c.id).where(exchange.c.user_id.in_(accounts), *_within(exchange, dao_id)).limit(BATCH)
        async with self._database.write(dao_id) as connection:
            ids = (await connection.scalars(due)).all()
            if ids:
                await forget_feedback(connection, ids)
                # A key that spoke for itself is named here, too.
                key_id = case((exchange.c.user_id == "key:" + exchange.c.key_id, ""), else_=exchange.c.key_id)
                values = {**_nobodys(self._clock.now()), "key_id": key_id}
                await connection.execute(update(exchange).where(exchange.c.id.in_(ids)).values(**values))
        return len(ids)


class ErasureWatch:
    """Notices that somebody was erased by another process, such as a command."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._latest: tuple[int, datetime] | None = None

    async def follow(self, forget: Callable[[], object]) -> None:
        """Look for ever, and call `forget` after every erasure. A database that cannot be read is read again."""
        while True:
            with suppress(StoreError):
                if await self.news():
                    forget()
            await self._clock.sleep(WATCH_S)

    async def news(self) -> bool:
        """Whether somebody was erased since the last look; the first look counts every erasure there is.

        Raises:
            StoreError: the database cannot be read.
        """
        newest = select(erasure.c.id, erasure.c.at).order_by(erasure.c.id.desc()).limit(1)
        async with self._database.read() as connection:
            found = (await connection.execute(newest)).one_or_none()
        # The time, too: once old marks are gone their ids are given again.
        before, self._latest = self._latest, None if found is None else (found.id, found.at)
        return self._latest is not None and self._latest != before


async def _forget_links(connection: AsyncConnection, accounts: Sequence[str]) -> None:
    """What was begun to link the accounts with others, by anybody, and their wrong codes."""
    named = or_(*(pending_link.c[name].in_(accounts) for name in ("account", "other", "shown_to")))
    await connection.execute(delete(pending_link).where(named))
    await connection.execute(delete(wrong_code).where(wrong_code.c.account.in_(accounts)))


async def accounts_of(connection: AsyncConnection, user_id: str) -> tuple[str, ...]:
    """All accounts of the person with this one; this one alone where it is no known person's."""
    of_person = select(identity.c.person_id).where(identity.c.id == user_id).scalar_subquery()
    found = (await connection.scalars(select(identity.c.id).where(identity.c.person_id == of_person).order_by(identity.c.id))).all()
    return tuple(found) or (user_id,)


async def forgotten(connection: AsyncConnection, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows as they may be written: without text and name where the person was erased after the request began.

    Where nobody was erased it is the rows themselves.
    """
    marks = (await connection.execute(select(erasure.c.user_id, erasure.c.dao_id, erasure.c.at))).all()
    if not marks:
        return rows
    until: dict[tuple[object, object], datetime] = {}
    for user_id, dao_id, at in marks:
        until[user_id, dao_id] = max(at, until.get((user_id, dao_id), at))
    return [_of_nobody(row, at) if (at := _erased_at(row, until)) else row for row in rows]


def _erased_at(row: Row, until: dict[tuple[object, object], datetime]) -> datetime | None:
    began = row["at"]
    marks = (until.get((row["user_id"], row["dao_id"])), until.get((row["user_id"], "")))
    return next((mark for mark in marks if mark is not None and isinstance(began, datetime) and began <= mark), None)


def _of_nobody(row: Row, at: datetime) -> Row:
    key_id = "" if row["user_id"] == f"key:{row['key_id']}" else row["key_id"]
    return {**row, **_nobodys(at), "key_id": key_id}


def _nobodys(at: datetime) -> Row:
    return {"request_id": "", "user_id": "", "session_id": "", "prompt": "", "answer": "", "cleared_at": at}


def _within(table: Table, dao_id: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if dao_id is None else (table.c.dao_id == dao_id,)
