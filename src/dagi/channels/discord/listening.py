"""Hears over Discord's gateway what people say to the bot in plain words (https://docs.discord.com/developers/events/gateway).

The connection, its heartbeats and its resumption are discord.py's (the extra `discord`); this module is loaded where an application wants
mentions, and nowhere else. Discord gives each message to one connection, and gives none again that was lost while there was none.
"""

import asyncio
import logging
import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import aiohttp
import discord
import msgspec
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from dagi.channels.discord.messages import Plain
from dagi.channels.turn import Turn
from dagi.errors import StoreError
from dagi.ports.clock import Clock
from dagi.ports.inbox import Lane, Update
from dagi.ports.observer import Observer

# How long another process waits before it takes over from one that died, and how often the living one says that it lives.
LEASE_S: Final = 15.0
_LOOK_S: Final = 1.0
_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 60.0
# A message is not delivered again: what the database could not take is tried so often, this far apart.
_TRIES: Final = 10
_APART_S: Final = 1.0
_KINDS: Final = frozenset({discord.MessageType.default, discord.MessageType.reply})
# https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes
_NO_INTENTS: Final = 4014
_RENEW: Final = "give the application a bot token that counts"
# What can end a connection for good, or keep it from being made.
_BROKEN: Final = (discord.DiscordException, aiohttp.ClientError, OSError)


class Listener:
    """Hears for one application.

    Args:
        access: the API's address, such as https://discord.com/api/v10 and the same for all applications of a process, and the bot's token.
        turn: whether this process is the one that hears.
        arrived: keeps an update; it is on disk when that returns.
    """

    def __init__(
        self,
        application: str,
        access: tuple[str, str],
        observer: Observer,
        clock: Clock,
        turn: Turn,
        arrived: Callable[[Update], Awaitable[None]],
    ) -> None:
        self._application = application
        self._base_url, self._token = access
        self._observer = observer
        self._clock = clock
        self._turn = turn
        self._arrived = arrived
        self._failures = 0

    async def follow(self) -> None:
        """Hear until cancelled; then whoever starts next need not wait until we would be taken for dead."""
        try:
            while True:
                await self._one_turn()
        finally:
            with suppress(StoreError):
                await self._turn.give_back()

    async def _one_turn(self) -> None:
        try:
            if not await self._turn.take(LEASE_S):
                await self._clock.sleep(_LOOK_S)
                return
            await self._while_ours()
        except StoreError as error:
            # Who hears cannot be known.
            await self._failed(str(error), "")
        except discord.LoginFailure:
            await self._failed("the bot's token is refused", _RENEW)
        except _BROKEN as error:
            code = _NO_INTENTS if isinstance(error, discord.PrivilegedIntentsRequired) else getattr(error, "code", None)
            await self._failed(f"{type(error).__name__} {code or ''}".strip(), _advice(code))

    async def _while_ours(self) -> None:
        """Be connected for as long as it is our turn."""
        connected = asyncio.create_task(self._connected(), name=f"discord-{self._application}")
        sure = self._clock.monotonic()
        try:
            while not connected.done():
                await asyncio.wait([connected], timeout=LEASE_S / 3)
                try:
                    ours = await self._turn.take(LEASE_S)
                except StoreError:
                    # Nobody else can have taken it before its time is over, and what is said while nobody listens is lost.
                    if self._clock.monotonic() - sure > LEASE_S:
                        raise
                    continue
                if not ours:
                    return
                sure = self._clock.monotonic()
            await connected
            await self._failed("the connection has ended", "")
        finally:
            connected.cancel()
            await asyncio.gather(connected, return_exceptions=True)

    async def _connected(self) -> None:
        quiet()
        # Where its servers are, discord.py keeps in the classes.
        Route.BASE = self._base_url
        async with _Ears(self._heard, self._found, self._defect) as client:
            await client.login(self._token)
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(await self._address(client))
            await client.connect()

    async def _address(self, client: discord.Client) -> str:
        """Where to connect, once that is allowed: a bot that begins more connections than it may loses its token."""
        while True:
            _, url, limit = await client.http.get_bot_gateway()
            if limit["remaining"] > 0:
                return url
            wait = min(limit["reset_after"] / 1000, _LONGEST_RETRY_S)
            why = "Discord lets the bot begin no more connections today"
            self._observer.note("discord_not_connected", level="warning", bot=self._application, why=why, wait_s=wait, advice="")
            await self._clock.sleep(wait)

    def _found(self) -> None:
        self._failures = 0
        self._observer.note("discord_connected", bot=self._application)

    def _defect(self) -> None:
        self._observer.note("internal_error", level="error", where=f"discord-{self._application}", exc_info=sys.exc_info()[1])

    async def _heard(self, plain: Plain) -> None:
        lane = Lane("discord", self._application, plain.channel_id)
        update = Update(lane=lane, number=int(plain.id), body=msgspec.json.encode(plain), received_at=self._clock.now())
        for left in reversed(range(_TRIES)):
            try:
                await self._arrived(update)
            except StoreError as error:
                if not left:
                    self._observer.note("message_lost", level="error", bot=self._application, number=update.number, why=str(error))
                    return
                await self._clock.sleep(_APART_S)
            else:
                return

    async def _failed(self, why: str, advice: str) -> None:
        self._failures += 1
        wait = min(_FIRST_RETRY_S * 2 ** min(self._failures - 1, 10), _LONGEST_RETRY_S)
        self._observer.note("discord_not_connected", level="warning", bot=self._application, why=why, wait_s=wait, advice=advice)
        await self._clock.sleep(wait)


class _Ears(discord.Client):
    """Hears messages, and keeps nothing of them.

    Args:
        heard: called with each one that is for the bot.
        found: called when it is connected.
        defect: called within the handling of an error that nobody expected.
    """

    def __init__(self, heard: Callable[[Plain], Awaitable[None]], found: Callable[[], None], defect: Callable[[], None]) -> None:
        # What a message says that mentions the bot comes without the privileged intent.
        super().__init__(
            intents=discord.Intents(guild_messages=True, dm_messages=True),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self._keep = heard
        self._found = found
        self._defect = defect

    async def on_error(self, event_method: str, /, *_args: object, **_named: object) -> None:
        """See discord.py: a handler of ours has failed."""
        del event_method
        self._defect()

    async def on_connect(self) -> None:
        """See discord.py: the bot is who it says it is."""
        self._found()

    async def on_message(self, message: discord.Message) -> None:
        """See discord.py: somebody has written something."""
        me = self.user
        if me is None or message.author.bot or message.webhook_id is not None or message.type not in _KINDS:
            return
        guild = _guild(message)
        if guild and all(one.id != me.id for one in message.mentions):
            return
        plain = Plain(
            id=str(message.id),
            channel_id=str(message.channel.id),
            guild_id=guild,
            author=str(message.author.id),
            content=re.sub(rf"<@!?{me.id}>", "", message.content).strip(),
            files=len(message.attachments),
        )
        await self._keep(plain)


def quiet() -> None:
    """Have discord.py write no log: at some levels it holds what people say, and tokens. What matters we note ourselves."""
    logger = logging.getLogger("discord")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False


def _guild(message: discord.Message) -> str:
    """The server's id; empty in private. Without the list of servers a channel may be known by its id alone."""
    found = message.guild.id if message.guild is not None else getattr(message.channel, "guild_id", None)
    return str(found) if found else ""


def _advice(code: object) -> str:
    return {
        4004: _RENEW,
        4013: "use a version of discord.py that fits",
        _NO_INTENTS: "let the application have its intents, at Discord under Bot",
    }.get(code if isinstance(code, int) else 0, "")
