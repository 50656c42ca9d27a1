"""`POST /telegram/webhook[/{name}]`: an update is authentic, then kept, then acknowledged (https://core.telegram.org/bots/api#setwebhook)."""

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from dagi.errors import Invalid, Missing, Unauthenticated
from dagi.ports.clock import Clock
from dagi.ports.inbox import Lane, Update
from dagi.services.face import JSON, Answer, Endpoint, Parameter, Request, path_values

SECRET_HEADER: Final = b"x-telegram-bot-api-secret-token"
_NAMED: Final = "/telegram/webhook/{name}"
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
        self._hooks: Mapping[str, Hook] = {hook.bot: hook for hook in hooks}
        self._read = read
        self._clock = clock
        self._arrived = arrived

    def endpoints(self) -> Sequence[Endpoint]:
        """What the gateway's table gets."""
        about = (
            "Telegram calls it, with the secret of setWebhook. 200 means that the update is on disk; one that comes again is taken once."
        )
        name = Parameter(name="name", description="The bot's name in the configuration", place="path")
        return [
            Endpoint(
                method="POST",
                path="/telegram/webhook",
                handler=self._only,
                summary="An update for the only bot",
                description=about,
                audience="public",
                takes=UpdateBody,
                errors=(400, 401, 404, 503),
            ),
            Endpoint(
                method="POST",
                path=_NAMED,
                handler=self._named,
                summary="An update for a bot",
                description=about,
                audience="public",
                takes=UpdateBody,
                parameters=(name,),
                errors=(400, 401, 404, 503),
            ),
        ]

    async def _only(self, request: Request) -> Answer:
        if not self._hooks:
            raise Missing("No bot here takes updates by webhook.")
        if len(self._hooks) > 1:
            raise Missing("Several bots here take updates by webhook. Name one: /telegram/webhook/{name}.")
        return await self._taken(request, next(iter(self._hooks.values())))

    async def _named(self, request: Request) -> Answer:
        hook = self._hooks.get(path_values(_NAMED, request.path)["name"])
        if hook is None:
            raise Missing("No bot of this name takes updates by webhook here.")
        return await self._taken(request, hook)

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
