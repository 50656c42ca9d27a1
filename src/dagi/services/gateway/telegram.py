"""`POST /telegram/webhook[/{name}]`: an update is authentic, then kept, then acknowledged (https://core.telegram.org/bots/api#setwebhook)."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from dagi.errors import Invalid, Unauthenticated
from dagi.ports.clock import Clock
from dagi.ports.inbox import Lane, Update
from dagi.services.face import JSON, Answer, Endpoint, Request
from dagi.services.gateway.webhooks import Webhooks, Words

SECRET_HEADER: Final = b"x-telegram-bot-api-secret-token"
_WORDS: Final = Words(
    summary="An update for a bot",
    about="Telegram calls it, with the secret of setWebhook. 200 means that the update is on disk; one that comes again is taken once.",
    nobody="No bot here takes updates by webhook.",
    several="Several bots here take updates by webhook.",
    unknown="No bot of this name takes updates by webhook here.",
)
# What Telegram looks at is the status alone.
_TAKEN: Final = Answer(headers=[JSON], body=b"{}")


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A bot whose updates come by webhook.

    Attributes:
        secret: what Telegram was told to send with each.
    """

    bot: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Hook({self.bot})"


class UpdateBody(msgspec.Struct):
    """An update of the Bot API, for the description."""

    update_id: int


class Read(msgspec.Struct, frozen=True):
    """How an update's body is read: its number (ValueError where it is no update) and its chat."""

    number: Callable[[bytes], int]
    chat: Callable[[bytes], int]


class TelegramHooks:
    """Takes updates in.

    Args:
        arrived: keeps an update; it is on disk when that returns.
    """

    def __init__(self, hooks: Sequence[Hook], read: Read, clock: Clock, arrived: Callable[[Update], Awaitable[None]]) -> None:
        self._webhooks = Webhooks("telegram", {hook.bot: hook for hook in hooks}, self._taken, _WORDS, UpdateBody)
        self._read = read
        self._clock = clock
        self._arrived = arrived

    def endpoints(self) -> Sequence[Endpoint]:
        """What the gateway's table gets."""
        return self._webhooks.endpoints()

    async def _taken(self, request: Request, hook: Hook) -> Answer:
        if not hmac.compare_digest(request.headers.get(SECRET_HEADER, b""), hook.secret):
            raise Unauthenticated("This is not what Telegram was told to send with updates of this bot (X-Telegram-Bot-Api-Secret-Token).")
        try:
            number = self._read.number(request.body)
        except ValueError as error:
            raise Invalid(f"{error}.", field="update_id") from None
        lane = Lane("telegram", hook.bot, str(self._read.chat(request.body)))
        await self._arrived(Update(lane=lane, number=number, body=request.body, received_at=self._clock.now()))
        return _TAKEN
