"""Which DAO a chat belongs to where the operator has said so while the stack runs, and what gateways know of that."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.actor import Actor
from dagi.access.names import check_chat, check_dao
from dagi.errors import Missing, StoreError
from dagi.ports.clock import Clock
from dagi.ports.inbox import Channel, Lane
from dagi.stores.changes import STACK, Change, Changes, grant_of, touch
from dagi.stores.channel_purge import private_chats
from dagi.stores.channel_tables import chat_binding, chat_move
from dagi.stores.database import Database
from dagi.stores.standings import check_dao_exists, no_dao
from dagi.stores.tables import dao

POLL_S: Final = 0.25
NEEDS: Final = "channel.manage"
COUNTER: Final = "channels_version"


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A chat that belongs to a DAO.

    Attributes:
        chat: the platform's id; of Discord a server's or a channel's.
        mention_only: in a group hear those alone who address the bot; as the configuration says where None.
    """

    channel: Channel
    bot: str
    chat: str
    dao_id: str
    mention_only: bool | None = None
    created_at: datetime
    created_by: str

    @property
    def lane(self) -> Lane:
        """The chat it is about."""
        return Lane(self.channel, self.bot, self.chat)


class BindingAdmin:
    """Binds chats and lets them go again: a change of the DAO that gains the chat, and of the one that loses it.

    A group that has moved is found under the id it was bound by as well.
    """

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._database = database
        self._by = by
        self._changes = Changes(database, clock)

    async def bind(self, lane: Lane, dao_id: str, *, mention_only: bool | None = None, otherwise: str | None = None) -> Binding:
        """Have the chat belong to the DAO.

        Args:
            otherwise: the DAO it belongs to where nothing is bound: what the configuration says.

        Raises:
            Invalid: it is no chat's id.
            Missing: no such DAO.
        """
        check_chat(lane.channel, lane.chat)
        check_dao(dao_id)
        async with self._changes.of("", self._by) as change:
            before = await _removed(change.connection, lane)
            await self._enter(change, dao_id)
            made = Binding(
                channel=lane.channel,
                bot=lane.bot,
                chat=lane.chat,
                dao_id=dao_id,
                mention_only=mention_only,
                created_at=change.now,
                created_by=self._by.id,
            )
            await change.connection.execute(insert(chat_binding).values(**msgspec.structs.asdict(made)))
            loser = before.dao_id if before else otherwise
            if loser and loser != dao_id and await _is_there(change.connection, loser):
                await self._enter(change, loser)
                await change.record_in(loser, "chat.unbound", lane.chat, **_told(lane))
            await change.record_in(dao_id, "chat.bound", lane.chat, **_told(lane), mention_only=mention_only)
        return made

    async def unbind(self, lane: Lane, *, otherwise: str | None = None) -> Binding:
        """Have the chat belong to whom the configuration says; gives what was bound.

        Args:
            otherwise: the DAO which that is.

        Raises:
            Missing: the chat is not bound.
        """
        async with self._changes.of("", self._by) as change:
            before = await _removed(change.connection, lane)
            if before is None:
                named = f"{lane.channel} {lane.bot} {lane.chat[:40]}"
                raise Missing(
                    f"The chat {named} is not bound in the database. `dagi channel list` shows those that are.", chat=lane.chat[:40]
                )
            await self._enter(change, before.dao_id)
            await change.record_in(before.dao_id, "chat.unbound", lane.chat, **_told(lane))
            # The configuration may name a DAO that is not there.
            if otherwise and otherwise != before.dao_id and await _is_there(change.connection, otherwise):
                await self._enter(change, otherwise)
                await change.record_in(otherwise, "chat.bound", lane.chat, **_told(lane))
        return before

    async def all(self, dao_id: str | None = None) -> Sequence[Binding]:
        """Those of a DAO, or all of them.

        Raises:
            Missing: no such DAO.
        """
        async with self._database.read(dao_id) as connection:
            if dao_id is not None:
                await check_dao_exists(connection, dao_id)
            within = () if dao_id is None else (chat_binding.c.dao_id == dao_id,)
            ordered = select(chat_binding).where(*within).order_by(chat_binding.c.channel, chat_binding.c.bot, chat_binding.c.chat)
            return [Binding(**row) for row in (await connection.execute(ordered)).mappings()]

    async def _enter(self, change: Change, dao_id: str) -> None:
        grant = await grant_of(change.connection, dao_id, self._by, change.now)
        if grant is not None:
            grant.require(NEEDS)
        if not await touch(change.connection, dao_id, COUNTER):
            raise no_dao(dao_id)


class Bindings:
    """All bindings, in memory: asked for with every update, and read again where something changed."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._versions: Mapping[str, int] | None = None
        self._known: Mapping[Lane, Binding] = {}
        self._bots: frozenset[tuple[Channel, str]] = frozenset()

    def of(self, lane: Lane) -> Binding | None:
        """The chat's; None where it has none of its own."""
        return self._known.get(lane)

    def any_of(self, channel: Channel, bot: str) -> bool:
        """Whether there is any for chats of that bot."""
        return (channel, bot) in self._bots

    async def refresh(self) -> None:
        """Read them where something has changed since the last time.

        Raises:
            StoreError: the database cannot be read.
        """
        async with self._database.read() as connection:
            rows = (await connection.execute(select(dao.c.id, dao.c[COUNTER]).where(dao.c[COUNTER] > 1))).all()
            versions: Mapping[str, int] = {dao_id: version for dao_id, version in rows}  # noqa: C416 - names what the row holds
            if versions == self._versions:
                return
            found = [Binding(**row) for row in (await connection.execute(select(chat_binding))).mappings()]
        self._known = {one.lane: one for one in found}
        self._bots = frozenset((one.channel, one.bot) for one in found)
        self._versions = versions

    async def follow(self) -> None:
        """Refresh for ever. The directory tells of a database that cannot be read, and lets nobody be answered then."""
        while True:
            await self._clock.sleep(POLL_S)
            with suppress(StoreError):
                await self.refresh()


def _told(lane: Lane) -> Mapping[str, object]:
    return {"channel": lane.channel, "bot": lane.bot}


async def _is_there(connection: AsyncConnection, dao_id: str) -> bool:
    return await connection.scalar(select(dao.c.id).where(dao.c.id == dao_id)) is not None


async def _removed(connection: AsyncConnection, lane: Lane) -> Binding | None:
    """What was bound of the chat, by the id it has, its first one, or one it got since; it is no longer."""
    key = {"channel": lane.channel, "bot": lane.bot}
    first = await connection.scalar(select(chat_move.c.first).filter_by(**key, chat=lane.chat))
    later = await connection.scalars(select(chat_move.c.chat).filter_by(**key, first=lane.chat))
    found: Binding | None = None
    # What is said of a later id goes before what is said of an earlier one.
    for chat in (first, lane.chat, *later.all()):
        if chat is None:
            continue
        gone = delete(chat_binding).filter_by(**key, chat=chat).returning(*chat_binding.c)
        row = (await connection.execute(gone)).mappings().one_or_none()
        found = found if row is None else Binding(**row)
    return found


async def forget_private(connection: AsyncConnection, accounts: Sequence[str]) -> None:
    """Remove what private chats of these accounts are bound to, and the accounts from what they have bound."""
    for dao_id in (await connection.scalars(delete(chat_binding).where(_private(accounts)).returning(chat_binding.c.dao_id))).all():
        await touch(connection, dao_id, COUNTER)
    await connection.execute(update(chat_binding).where(chat_binding.c.created_by.in_(accounts)).values(created_by=""))


def _private(accounts: Sequence[str]) -> ColumnElement[bool]:
    return and_(chat_binding.c.channel == "telegram", chat_binding.c.chat.in_(private_chats(accounts)))
