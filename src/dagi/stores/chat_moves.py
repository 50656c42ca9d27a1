"""Groups that got another id: what was said about the old one counts for the new one, in every process and after every start."""

from sqlalchemy import delete, insert, select

from dagi.ports.inbox import Lane
from dagi.stores.channel_tables import chat_move
from dagi.stores.database import Database


class ChatMoves:
    """Remembers each new id with the first one the chat was known by."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, lane: Lane, chat: str) -> bool:
        """The lane's chat is `chat` from now on. False where that is known.

        Raises:
            StoreError: the database cannot be written.
        """
        first = await self.first(lane)
        if first in {chat, await self.first(Lane(lane.channel, lane.bot, chat))}:
            return False
        key = {"channel": lane.channel, "bot": lane.bot, "chat": chat}
        async with self._database.write() as connection:
            await connection.execute(delete(chat_move).filter_by(**key))
            await connection.execute(insert(chat_move).values(**key, first=first))
        return True

    async def first(self, lane: Lane) -> str:
        """The id the lane's chat was first known by; its own where it has not moved.

        Raises:
            StoreError: the database cannot be read.
        """
        known = select(chat_move.c.first).filter_by(channel=lane.channel, bot=lane.bot, chat=lane.chat)
        async with self._database.read() as connection:
            return await connection.scalar(known) or lane.chat
