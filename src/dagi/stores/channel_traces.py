"""What inbox and outbox hold of a person, found and emptied."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Column, ColumnElement, Table, and_, false, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.ports.inbox import Lane
from dagi.stores.channel_purge import BATCH, PARCEL_OVER, UPDATE_OVER, private_chats
from dagi.stores.channel_tables import chat_binding, inbox, outbox
from dagi.stores.lanes import lane_of

_KEPT: Final[Sequence[tuple[Table, Column[Any], Mapping[str, object]]]] = (
    (inbox, inbox.c.handled_at, UPDATE_OVER),
    (outbox, outbox.c.settled_at, PARCEL_OVER),
)


class Said(msgspec.Struct, frozen=True):
    """What the body of a row tells.

    Attributes:
        user_id: who said it, or whom it answers; empty where it tells nobody.
        within: the ids of where it was said, the innermost first, the last for what says nothing of those before it.
    """

    user_id: str = ""
    within: tuple[str, ...] = ()


class Reading(msgspec.Struct, frozen=True):
    """What is known of rows outside of the database.

    Attributes:
        said: reads a body, which is never empty; raises nothing.
        dao_of: the DAO a chat belongs to where the database does not say; None where nobody knows.
    """

    said: Callable[[Lane, bytes], Said] = lambda _lane, _body: Said()
    dao_of: Callable[[Lane], str | None] = lambda _: None


class Trace(msgspec.Struct, frozen=True):
    """A row about a person.

    Attributes:
        waits: it has not been done with.
        own: its chat names the person.
    """

    table: str
    id: int
    waits: bool
    own: bool


async def traces(connection: AsyncConnection, accounts: Sequence[str], reading: Reading, dao_id: str | None) -> Sequence[Trace]:
    """The rows about the person with these accounts; where a DAO is named, those of what was said in it."""
    bindings = await connection.execute(select(*chat_binding.c))
    bound = {lane_of(row): str(row.dao_id) for row in bindings}
    found: list[Trace] = []
    for table, settled, _ in _KEPT:
        own, waits = _own(table, accounts), settled.is_(None)
        columns: Sequence[ColumnElement[Any]] = (*table.c, own.label("own"), waits.label("waits"))
        # Once it is done with, a row has no text that could name anybody.
        for row in await connection.execute(select(*columns).where(or_(own, waits))):
            said = reading.said(lane_of(row), row.body) if row.body else Said()
            if (row.own or said.user_id in accounts) and (dao_id is None or _dao_of(lane_of(row), said, bound, reading) == dao_id):
                found.append(Trace(table.name, row.id, bool(row.waits), bool(row.own)))
    return found


def _own(table: Table, accounts: Sequence[str]) -> ColumnElement[bool]:
    """Whether a row's chat is a person's: Telegram's private ones are, and Discord's end with who asked there."""
    discord = [account.removeprefix("dc:") for account in accounts if account.startswith("dc:")]
    return or_(
        false(),
        and_(table.c.channel == "telegram", table.c.chat.in_(private_chats(accounts))),
        and_(table.c.channel == "discord", or_(false(), *(table.c.chat.endswith(f"/{one}", autoescape=True) for one in discord))),
    )


def _dao_of(lane: Lane, said: Said, bound: Mapping[Lane, str], reading: Reading) -> str | None:
    lanes = [Lane(lane.channel, lane.bot, place) for place in said.within or (lane.chat.partition("/")[0],)]
    return next((bound[one] for one in lanes if one in bound), None) or reading.dao_of(lanes[-1])


async def forget(connection: AsyncConnection, found: Sequence[Trace], now: datetime) -> int:
    """Empty these rows, and take the person's name off them; how many had not been done with."""
    waiting = 0
    for table, settled, over in _KEPT:
        rows = [one for one in found if one.table == table.name]
        nameless: dict[str, object] = {} if table is inbox else {"request_id": "", "message": ""}
        for begin in range(0, len(rows), BATCH):
            some = rows[begin : begin + BATCH]
            ids = table.c.id.in_([one.id for one in some])
            done = await connection.execute(update(table).where(ids, settled.is_(None)).values({**over, settled.name: now}))
            waiting += done.rowcount
            own = table.c.id.in_([one.id for one in some if one.own])
            await connection.execute(update(table).where(own).values(chat="", **nameless))
            if nameless:
                await connection.execute(update(table).where(ids).values(request_id=""))
    return waiting
