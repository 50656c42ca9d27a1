"""A scripted Bot API server over real HTTP, as strict as Telegram's about lengths, entities, chats and pace.

Facts: https://core.telegram.org/bots/api and https://core.telegram.org/bots/faq.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, cast
from urllib.parse import parse_qsl

from dagi.testing.upstream_http import HttpConnection, Incoming

TOKEN: Final = "4242424242:AAscripted-token-of-nobody-0123456789"  # noqa: S105 - nobody's
BOT_ID: Final = 4242424242
USERNAME: Final = "dagi_test_bot"
SECRET: Final = "secret_of-tests"  # noqa: S105 - nobody's

_TEXT_UNITS: Final = 4096
_ENTITIES: Final = frozenset(
    {"bold", "italic", "underline", "strikethrough", "spoiler", "blockquote", "expandable_blockquote", "code", "pre", "text_link", "url"}
    | {"mention", "hashtag", "text_mention", "bot_command", "email"}
)


class BotApiError(Exception):
    """What the server refuses; `parameters` as https://core.telegram.org/bots/api#responseparameters."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


class Call:
    """One call of a method, as the server heard it."""

    def __init__(self, method: str, parameters: Mapping[str, Any], *, accepted: bool) -> None:
        self.method = method
        self.parameters = parameters
        self.accepted = accepted

    @property
    def text(self) -> str:
        """Its text; empty without one."""
        return str(self.parameters.get("text", ""))


class BotApi:
    """The server.

    Attributes:
        calls: what it heard, in order.
        blocked: chats that have put the bot out, or blocked it.
        migrated: groups that have become supergroups, by their old ids.
        failing: called with each method before it is done; may raise `BotApiError`, or wait.
        webhook: what setWebhook was told; empty while none is set.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.blocked: set[int] = set()
        self.migrated: dict[int, int] = {}
        self.failing: Callable[[str, Mapping[str, Any]], None] = lambda _method, _parameters: None
        self.webhook: dict[str, Any] = {}
        self.port = 0
        self._updates: list[dict[str, Any]] = []
        self._arrived = asyncio.Event()
        self._heard = asyncio.Condition()
        self._polling = False
        self._messages: dict[tuple[int, int], dict[str, Any]] = {}
        self._next = 1000
        self._numbers = 5000
        self._methods: dict[str, Callable[[Mapping[str, Any]], object]] = {
            "getMe": self._me,
            "setWebhook": self._webhook_set,
            "deleteWebhook": self._webhook_deleted,
            "getWebhookInfo": self._webhook_told,
            "sendMessage": self._said,
            "editMessageText": self._edited,
            "editMessageReplyMarkup": self._acted,
            "sendMessageDraft": self._drafted,
            "sendChatAction": self._acted,
            "answerCallbackQuery": self._accepted,
            "setMyCommands": self._accepted,
        }
        self._server: asyncio.Server | None = None
        self._open: set[HttpConnection] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        made = lambda: HttpConnection(self._answer, lambda _: None, self._open)  # noqa: E731 - a factory of one line
        self._server = await loop.create_server(made, "127.0.0.1", 0)
        self.port = cast("int", self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            await connection.drop()

    @property
    def url(self) -> str:
        """For `channels.telegram.api_base_url`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sent(self) -> list[Call]:
        """The messages people were sent."""
        return [call for call in self.calls if call.method == "sendMessage" and call.accepted]

    async def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Wait until it holds; asked after each call."""
        async with asyncio.timeout(seconds), self._heard:
            await self._heard.wait_for(lambda: bool(condition()))

    def update(self, **content: object) -> dict[str, Any]:
        """A new update, delivered to nobody yet."""
        self._numbers += 1
        return {"update_id": self._numbers, **content}

    def message(self, text: str, *, user: int = 12345, chat: int | None = None, language: str = "en", **more: object) -> dict[str, Any]:
        """An update with a message of somebody, in their private chat unless another is named; negative ids are supergroups."""
        self._next += 1
        where = user if chat is None else chat
        kind = "private" if where > 0 else "supergroup"
        entities = [{"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}] if text.startswith("/") else []
        body: dict[str, Any] = {
            "message_id": self._next,
            "date": 1_700_000_000,
            "chat": {"id": where, "type": kind},
            "from": {"id": user, "is_bot": False, "first_name": "Ann", "language_code": language},
            "text": text,
            **({"entities": entities} if entities else {}),
            **more,
        }
        return self.update(message=body)

    def queue(self, update: Mapping[str, Any]) -> None:
        """Have an update waiting for whoever polls."""
        self._updates.append(dict(update))
        self._arrived.set()

    async def _answer(self, incoming: Incoming) -> None:
        _, _, rest = incoming.path.partition("/bot")
        token, _, method = rest.partition("/")
        if token != TOKEN:
            self._send(incoming, 401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
            return
        parameters = _parameters(incoming)
        try:
            self.failing(method, parameters)
            result = await self._done(method, parameters)
        except BotApiError as error:
            self.calls.append(Call(method, parameters, accepted=False))
            body: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
            if error.parameters:
                body["parameters"] = error.parameters
            self._send(incoming, error.code, body)
        else:
            self.calls.append(Call(method, parameters, accepted=True))
            self._send(incoming, 200, {"ok": True, "result": result})
        async with self._heard:
            self._heard.notify_all()

    async def _done(self, method: str, parameters: Mapping[str, Any]) -> object:
        if method == "getUpdates":
            return await self._fetched(parameters)
        does = self._methods.get(method)
        if does is None:
            raise BotApiError(404, "Not Found")
        return does(parameters)

    def _me(self, _parameters: Mapping[str, Any]) -> object:
        return {"id": BOT_ID, "is_bot": True, "first_name": "DAGI", "username": USERNAME, "can_join_groups": True}

    def _webhook_set(self, parameters: Mapping[str, Any]) -> object:
        self.webhook = dict(parameters) if parameters.get("url") else {}
        return True

    def _webhook_deleted(self, _parameters: Mapping[str, Any]) -> object:
        self.webhook = {}
        return True

    def _webhook_told(self, _parameters: Mapping[str, Any]) -> object:
        return {"url": self.webhook.get("url", ""), "has_custom_certificate": False, "pending_update_count": len(self._updates)}

    def _drafted(self, parameters: Mapping[str, Any]) -> object:
        if int(parameters.get("draft_id", 0)) == 0 or self._chat(parameters) < 0:
            raise BotApiError(400, "Bad Request: DRAFT_ID_INVALID")
        _text_of(parameters)
        return True

    def _acted(self, parameters: Mapping[str, Any]) -> object:
        return bool(self._chat(parameters))

    def _accepted(self, _parameters: Mapping[str, Any]) -> object:
        return True

    async def _fetched(self, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self.webhook:
            raise BotApiError(
                409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        if self._polling:
            raise BotApiError(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
        offset = int(parameters.get("offset", 0))
        # Whoever asks for a later one has the earlier ones.
        self._updates = [one for one in self._updates if one["update_id"] >= offset]
        self._polling = True
        try:
            async with asyncio.timeout(float(parameters.get("timeout", 0)) + 0.001):
                while not self._updates:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return []
        finally:
            self._polling = False
        return self._updates[:100]

    def _said(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        chat = self._chat(parameters)
        text = _text_of(parameters)
        self._next += 1
        message = {"message_id": self._next, "date": 1_700_000_000, "chat": {"id": chat, "type": "private"}, "text": text}
        self._messages[chat, self._next] = message
        return message

    def _edited(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        found = self._messages.get((self._chat(parameters), int(parameters.get("message_id", 0))))
        if found is None:
            raise BotApiError(400, "Bad Request: message to edit not found")
        text = _text_of(parameters)
        if found["text"] == text:
            raise BotApiError(
                400, "Bad Request: message is not modified: specified new message content and reply markup are exactly the same"
            )
        found["text"] = text
        return found

    def _chat(self, parameters: Mapping[str, Any]) -> int:
        try:
            chat = int(parameters["chat_id"])
        except (KeyError, ValueError, TypeError):
            raise BotApiError(400, "Bad Request: chat_id is empty") from None
        if chat in self.blocked:
            kicked = "bot was kicked from the supergroup chat" if chat < 0 else "bot was blocked by the user"
            raise BotApiError(403, f"Forbidden: {kicked}")
        if chat in self.migrated:
            raise BotApiError(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=self.migrated[chat])
        return chat

    def _send(self, incoming: Incoming, status: int, body: Mapping[str, Any]) -> None:
        incoming.send(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _parameters(incoming: Incoming) -> Mapping[str, Any]:
    if incoming.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(incoming.body.decode()))
    return cast("Mapping[str, Any]", incoming.json())


def _text_of(parameters: Mapping[str, Any]) -> str:
    text = parameters.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BotApiError(400, "Bad Request: message text is empty")
    units = len(text.encode("utf-16-le")) // 2
    if units > _TEXT_UNITS:
        raise BotApiError(400, "Bad Request: message is too long")
    entities = parameters.get("entities", [])
    for entity in json.loads(entities) if isinstance(entities, str) else entities:
        start, length = entity.get("offset"), entity.get("length")
        if entity.get("type") not in _ENTITIES:
            raise BotApiError(400, "Bad Request: can't parse entities: unsupported entity type")
        if not isinstance(start, int) or not isinstance(length, int) or start < 0 or length <= 0 or start + length > units:
            raise BotApiError(400, "Bad Request: ENTITY_BOUNDS_INVALID")
        if entity["type"] == "text_link" and not entity.get("url"):
            raise BotApiError(400, "Bad Request: can't parse entities: text_link without url")
    return text
