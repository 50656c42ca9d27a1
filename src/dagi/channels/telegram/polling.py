"""Fetches updates (https://core.telegram.org/bots/api#getupdates), for a machine without a public address."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from dagi.channels.telegram.api import UNREADABLE, Api, Refusal
from dagi.channels.telegram.updates import ALLOWED, chat_of, number_of
from dagi.channels.turn import Turn
from dagi.errors import StoreError
from dagi.ports.clock import Clock
from dagi.ports.inbox import Lane, Update
from dagi.ports.observer import Observer

# How long the server holds a request for which it has nothing; ours waits a little longer.
HOLD_S: Final = 30
_SLACK_S: Final = 10.0
# https://core.telegram.org/bots/api#getupdates: 1-100. A long message, with the one it answers, may take a hundred kilobytes.
MOST: Final = 100
REPLY_LIMIT: Final = 16 * 1024 * 1024
_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 30.0
# How long another process waits before it takes over from one that died.
LEASE_S: Final = HOLD_S + _SLACK_S + 5


class Poller:
    """Fetches one bot's updates. The server forgets an update once a later one is asked for, so that happens after it is on disk.

    Args:
        turn: whether this process is the one that fetches.
        arrived: keeps an update; it is on disk when that returns.
    """

    def __init__(
        self,
        bot: str,
        api: Api,
        observer: Observer,
        clock: Clock,
        turn: Turn,
        arrived: Callable[[Update], Awaitable[None]],
    ) -> None:
        self._bot = bot
        self._api = api
        self._observer = observer
        self._clock = clock
        self._turn = turn
        self._arrived = arrived
        self._offset = 0
        self._most = MOST
        self._failures = 0
        self._begun = False

    async def follow(self) -> None:
        """Fetch until cancelled; then whoever starts next need not wait until we would be taken for dead."""
        try:
            await self._go_on()
        finally:
            with suppress(StoreError):
                await self._turn.give_back()

    async def _go_on(self) -> None:
        while True:
            try:
                if await self._turn.take(LEASE_S):
                    await self._fetch()
                    self._failures = 0
                else:
                    await self._clock.sleep(_FIRST_RETRY_S)
            except Refusal as refusal:
                await self._failed(str(refusal), refusal)
            except StoreError as error:
                # What was fetched comes again: the offset has not moved.
                await self._failed(str(error), None)

    async def _fetch(self) -> None:
        if not self._begun:
            # While a webhook is set, the server refuses to be asked. What waits for it is ours then.
            await self._api.call("deleteWebhook", b'{"drop_pending_updates": false}')
            self._begun = True
        asked = {"offset": self._offset, "limit": self._most, "timeout": HOLD_S, "allowed_updates": ALLOWED}
        found = await self._api.call("getUpdates", msgspec.json.encode(asked), timeout_s=HOLD_S + _SLACK_S, most=REPLY_LIMIT)
        try:
            bodies = msgspec.json.decode(found, type=list[msgspec.Raw])
            numbers = [number_of(bytes(body)) for body in bodies]
        except (*UNREADABLE, ValueError):
            raise Refusal(0, "getUpdates gave something that holds no updates") from None
        for number, body in zip(numbers, bodies, strict=True):
            content = bytes(body)
            lane = Lane("telegram", self._bot, str(chat_of(content)))
            await self._arrived(Update(lane=lane, number=number, body=content, received_at=self._clock.now()))
            self._offset = max(self._offset, number + 1)
        self._most = min(self._most * 2, MOST)

    async def _failed(self, why: str, refusal: Refusal | None) -> None:
        self._failures += 1
        wait = min(_FIRST_RETRY_S * 2 ** min(self._failures - 1, 10), _LONGEST_RETRY_S)
        advice = ""
        if refusal is not None:
            wait = max(wait, refusal.retry_after_s)
            if not refusal.code:
                # The same that could not be read would come again and again: less of it at once.
                self._most = 1
            if refusal.code == 409:
                advice = "somebody else fetches the updates of this bot: stop that program"
                # Or they set a webhook since.
                self._begun = False
            elif refusal.code in {401, 404}:
                advice = "give the bot a token that counts"
        self._observer.note("telegram_poll_failed", level="warning", bot=self._bot, why=why, wait_s=wait, advice=advice)
        await self._clock.sleep(wait)
