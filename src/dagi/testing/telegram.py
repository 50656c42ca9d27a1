"""A scripted Bot API server over real HTTP, as strict as Telegram's about lengths, entities, chats, topics and, where it is told so, pace.

Facts: https://core.telegram.org/bots/api and https://core.telegram.org/bots/faq; what is refused of texts stands in `telegram_rules`.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from dagi.testing.telegram_chats import Chats, chat_object
from dagi.testing.telegram_rules import BotApiError, Limits, bad
from dagi.testing.upstream_http import Incoming, ScriptedServer

TOKEN: Final = "4242424242:AAscripted-token-of-nobody-0123456789"  # noqa: S105 - nobody's
BOT_ID: Final = 4242424242
USERNAME: Final = "dagi_test_bot"
SECRET: Final = "secret_of-tests"  # noqa: S105 - nobody's

# https://core.telegram.org/bots/api#setwebhook
_WEBHOOK: Final = re.compile(r"https://[^/:]+(?::(?:443|80|88|8443))?(?:/.*)?\Z")
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")
_ME: Final = {"id": BOT_ID, "is_bot": True, "first_name": "DAGI", "username": USERNAME, "can_join_groups": True}
_SHOWING: Final = ("send", "edit", "copy", "forward")


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


class BotApi(ScriptedServer):
    """The server.

    Attributes:
        calls: what it heard, in order.
        blocked: chats that have put the bot out, or blocked it.
        migrated: groups that have become supergroups, by their old ids.
        failing: called with each method before it is done; may raise `BotApiError`, or wait.
        webhook: what setWebhook was told; empty while none is set.
        trouble: what getWebhookInfo tells of the last delivery that failed.
        commands: as setMyCommands was told, by language; empty for everybody's.
        reads_all: it has its privacy mode off.
        limits: how often something may be shown; not kept to unless its `on` is set.
        chats: what is in them; topics that occur in `message` are known there.

    Args:
        now: a clock that never jumps, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(self._answer)
        self.limits = Limits(now)
        self.chats = Chats(_ME, now)
        self.calls: list[Call] = []
        self.blocked, self.migrated = self.chats.blocked, self.chats.migrated
        self.failing: Callable[[str, Mapping[str, Any]], None] = lambda _method, _parameters: None
        self.webhook: dict[str, Any] = {}
        self.trouble: dict[str, Any] = {}
        self.commands: dict[str, list[object]] = {}
        self.reads_all = False
        self._updates: list[dict[str, Any]] = []
        self._arrived = asyncio.Event()
        self._heard = asyncio.Condition()
        self._polling = False
        self._numbers = 5000
        self._methods: dict[str, Callable[[Mapping[str, Any]], object]] = {
            "getMe": self._me,
            "setWebhook": self._webhook_set,
            "deleteWebhook": self._webhook_deleted,
            "getWebhookInfo": self._webhook_told,
            "sendMessage": self.chats.said,
            "sendPhoto": self.chats.filed,
            "sendDocument": self.chats.filed,
            "editMessageText": self.chats.edited,
            "editMessageReplyMarkup": self.chats.marked,
            "sendMessageDraft": self.chats.drafted,
            "sendChatAction": self.chats.acted,
            "answerCallbackQuery": self.chats.acknowledged,
            "setMyCommands": self._commands_set,
            "getMyCommands": lambda asked: self.commands.get(str(asked.get("language_code", "")), []),
        }

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
        query = content.get("callback_query")
        if isinstance(query, dict):
            self.chats.press(str(cast("dict[str, object]", query).get("id")))
        return {"update_id": self._numbers, **content}

    def press(self, data: str, *, message: int, user: int = 12345, chat: int | None = None) -> dict[str, Any]:
        """An update with a button that somebody pressed under a message of ours."""
        where = user if chat is None else chat
        found = self.chats.messages.get((where, message), {"message_id": message, "date": 0, "chat": chat_object(where)})
        who = {"id": user, "is_bot": False, "first_name": "Ann", "language_code": "en"}
        query = f"q{self.chats.number()}"
        return self.update(callback_query={"id": query, "from": who, "chat_instance": "x", "message": found, "data": data})

    def message(self, text: str, *, user: int = 12345, chat: int | None = None, language: str = "en", **more: object) -> dict[str, Any]:
        """An update with a message of somebody, in their private chat unless another is named; negative ids are supergroups."""
        number = self.chats.number()
        where = user if chat is None else chat
        self.chats.theirs.add((where, number))
        if more.get("is_topic_message"):
            self.chats.topics.add((where, int(str(more.get("message_thread_id", 0)))))
        entities = [{"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}] if text.startswith("/") else []
        body: dict[str, Any] = {
            "message_id": number,
            "date": 1_700_000_000,
            "chat": chat_object(where),
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
        if method.startswith(_SHOWING) and method != "sendChatAction":
            self.limits.show(self.chats.chat(parameters))
        return does(parameters)

    def _me(self, _parameters: Mapping[str, Any]) -> object:
        return {**_ME, "can_read_all_group_messages": self.reads_all}

    def _webhook_set(self, parameters: Mapping[str, Any]) -> object:
        url = str(parameters.get("url", ""))
        if url and not _WEBHOOK.match(url):
            raise bad("bad webhook: An HTTPS URL must be provided for webhook, on one of the ports 80, 88, 443 or 8443")
        if (secret := parameters.get("secret_token")) is not None and not _SECRET.match(str(secret)):
            raise bad("secret token contains unallowed characters")
        self.webhook = dict(parameters) if url else {}
        return True

    def _webhook_deleted(self, _parameters: Mapping[str, Any]) -> object:
        self.webhook = {}
        return True

    def _webhook_told(self, _parameters: Mapping[str, Any]) -> object:
        return {
            "url": self.webhook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": len(self._updates),
            **self.trouble,
        }

    def _commands_set(self, parameters: Mapping[str, Any]) -> object:
        self.commands[str(parameters.get("language_code", ""))] = list(parameters.get("commands", []))
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
        return self._updates[: int(parameters.get("limit", 100))]

    def _send(self, incoming: Incoming, status: int, body: Mapping[str, Any]) -> None:
        incoming.send(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _parameters(incoming: Incoming) -> Mapping[str, Any]:
    if incoming.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(incoming.body.decode()))
    return cast("Mapping[str, Any]", incoming.json())
