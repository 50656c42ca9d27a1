"""The scripted Discord's gateway: events over a WebSocket (https://docs.discord.com/developers/events/gateway)."""

import asyncio
import json
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, Self, cast

from dagi.testing.discord_api import BOT_TOKEN, DiscordApi
from dagi.testing.discord_payloads import ANN, APPLICATION_ID, CHANNEL, GUILD, ME
from dagi.testing.discord_websocket import WebSocket, accepted

_AUTHENTICATION_FAILED, _ALREADY, _DISALLOWED, _NOT_YET = 4004, 4005, 4014, 4003
GUILD_MESSAGES: Final = 1 << 9
DIRECT_MESSAGES: Final = 1 << 12
MESSAGE_CONTENT: Final = 1 << 15
# Members, presences, what messages say: an application has to be let have these.
_PRIVILEGED: Final = 1 << 1 | 1 << 8 | MESSAGE_CONTENT
_HEARTBEAT_MS: Final = 41_250


class Op(IntEnum):
    """See https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    RESUME = 6
    RECONNECT = 7
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


class Session:
    """What a client that comes back can go on with.

    Attributes:
        intents: which events it wants.
        events: those it was sent, in order.
        socket: where it is connected; None while it is not.
    """

    def __init__(self, number: str, intents: int, socket: WebSocket) -> None:
        self.id = number
        self.intents = intents
        self.events: list[dict[str, Any]] = []
        self.socket: WebSocket | None = socket

    def dispatch(self, event: str, data: dict[str, Any]) -> None:
        """Tell of an event, now or when it has come back."""
        self.events.append({"op": Op.DISPATCH, "s": len(self.events) + 1, "t": event, "d": data})
        if self.socket is not None:
            self.socket.send(json.dumps(self.events[-1]))


class DiscordGateway:
    """The gateway beside a scripted API.

    Attributes:
        api: the API.
        allowed: privileged intents the application may have.
        sessions: in the order in which clients have identified themselves.
        resumed: how many times one was gone on with.
        heartbeats: how many were heard.
    """

    def __init__(self, api: DiscordApi) -> None:
        self.api = api
        self.allowed = 0
        self.sessions: list[Session] = []
        self.resumed = 0
        self.heartbeats = 0
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._sockets: set[WebSocket] = set()
        self._changed = asyncio.Condition()
        self._url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        self.api.gateway_url = self._url
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for socket in list(self._sockets):
            socket.abort()
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Wait until it holds; asked after everything a client sends, and when one comes or goes."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: bool(condition()))

    @property
    def connected(self) -> list[Session]:
        """The sessions with a client."""
        return [one for one in self.sessions if one.socket is not None]

    def say(
        self, content: str, *, user: str = ANN, channel: str = CHANNEL, guild: str = GUILD, answers: str = "", **more: object
    ) -> dict[str, Any]:
        """Somebody writes; where `guild` is empty, to the bot in private. `answers`: a message of the bot's. Gives the message."""
        mentions = [ME] if f"<@{APPLICATION_ID}>" in content or f"<@!{APPLICATION_ID}>" in content or answers else []
        author = {"id": user, "username": "ann", "global_name": "Ann", "discriminator": "0", "avatar": None, "public_flags": 0}
        where = {"guild_id": guild, "member": {"roles": [], "joined_at": None, "deaf": False, "mute": False, "flags": 0}} if guild else {}
        reference = {"message_reference": {"type": 0, "message_id": answers, "channel_id": channel}} if answers else {}
        message: dict[str, Any] = {
            "id": self.api.channels.heard(channel),
            "type": 19 if answers else 0,
            "channel_id": channel,
            "channel_type": 0 if guild else 1,
            "author": author,
            "content": content,
            "timestamp": "2026-01-01T00:00:00.000000+00:00",
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": mentions,
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "components": [],
            "pinned": False,
            "flags": 0,
            **where,
            **reference,
            **more,
        }
        for session in self.sessions:
            if session.intents & (GUILD_MESSAGES if guild else DIRECT_MESSAGES):
                # What is not for the bot is not for its ears, unless it was let hear all.
                hears = not guild or bool(mentions) or session.intents & MESSAGE_CONTENT
                session.dispatch("MESSAGE_CREATE", message if hears else {**message, "content": "", "attachments": [], "embeds": []})
        return message

    def drop(self, code: int = 0) -> None:
        """Close all connections with a code; 0 breaks them off without one."""
        for socket in list(self._sockets):
            if code:
                socket.close(code)
            else:
                socket.abort()

    def ask_back(self) -> None:
        """Have clients connect anew, as Discord does every few hours."""
        for socket in self._sockets:
            socket.send(json.dumps({"op": Op.RECONNECT, "d": None}))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
        socket: WebSocket | None = None
        try:
            socket = await accepted(reader, writer)
            self._sockets.add(socket)
            socket.send(json.dumps({"op": Op.HELLO, "d": {"heartbeat_interval": _HEARTBEAT_MS}}))
            while (text := await socket.receive()) is not None:
                self._heard(socket, cast("dict[str, Any]", json.loads(text)))
                await self._tell()
        except (OSError, EOFError, ValueError):
            # Whoever speaks otherwise is no client of a gateway.
            pass
        finally:
            if socket is not None:
                self._sockets.discard(socket)
            for session in self.sessions:
                if session.socket is socket:
                    session.socket = None
            writer.close()
            await self._tell()

    def _heard(self, socket: WebSocket, message: dict[str, Any]) -> None:
        match message.get("op"):
            case Op.HEARTBEAT:
                self.heartbeats += 1
                socket.send(json.dumps({"op": Op.HEARTBEAT_ACK}))
            case Op.IDENTIFY:
                self._identified(socket, message["d"])
            case Op.RESUME:
                self._gone_on(socket, message["d"])
            case _ if all(session.socket is not socket for session in self.sessions):
                socket.close(_NOT_YET)
            case _:
                pass

    def _identified(self, socket: WebSocket, data: dict[str, Any]) -> None:
        if any(session.socket is socket for session in self.sessions):
            socket.close(_ALREADY)
        elif data.get("token") != BOT_TOKEN:
            socket.close(_AUTHENTICATION_FAILED)
        elif int(data.get("intents", 0)) & _PRIVILEGED & ~self.allowed:
            socket.close(_DISALLOWED)
        else:
            session = Session(f"session{len(self.sessions) + 1}", int(data["intents"]), socket)
            self.sessions.append(session)
            ready = {"v": 10, "user": ME, "guilds": [], "session_id": session.id, "resume_gateway_url": self._url}
            session.dispatch("READY", {**ready, "application": {"id": APPLICATION_ID, "flags": 0}})

    def _gone_on(self, socket: WebSocket, data: dict[str, Any]) -> None:
        session = next((one for one in self.sessions if one.id == data.get("session_id")), None)
        if session is None or data.get("token") != BOT_TOKEN:
            socket.send(json.dumps({"op": Op.INVALID_SESSION, "d": False}))
            return
        self.resumed += 1
        session.socket = socket
        for event in session.events[int(data.get("seq") or 0) :]:
            socket.send(json.dumps(event))
        session.dispatch("RESUMED", {})

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
