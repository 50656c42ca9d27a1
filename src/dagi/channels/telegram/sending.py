"""Delivers what is owed to Telegram: paced, patient, and never for ever."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

import msgspec

from dagi.channels.finishing import finished
from dagi.channels.telegram.api import UNREADABLE, Api, Refusal
from dagi.channels.telegram.posting import EDIT, SEND
from dagi.channels.telegram.turns import Turns
from dagi.channels.telegram.updates import Id
from dagi.ports.clock import Clock
from dagi.ports.inbox import Lane, Outbox, Owed, Parcel
from dagi.ports.observer import Observer

# After that an answer helps nobody any more.
GIVE_UP: Final = timedelta(hours=1)
# How long what is under way may take when we are stopped.
FINISH_S: Final = 5.0
# Whoever has to wait longer for their turn leaves their place to others: a server may want to be left alone for an hour.
LONGEST_WAIT_S: Final = 10.0
_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 60.0
_TOKEN_RETRY_S: Final = 60.0
# What counts against the limits: everything that shows something to people.
_SHOWING: Final = ("send", "edit", "copy", "forward")
_NOTHING_TO_DO: Final = ("message is not modified", "query is too old", "message to edit not found")
_MARKUP: Final = ("can't parse entities", "entities_too_long", "entity")
_EDIT_GONE: Final = ("message to edit not found", "message can't be edited", "message_id_invalid")
_TOPIC_GONE: Final = ("message thread not found", "topic_closed", "topic_deleted")


class _Sent(msgspec.Struct):
    message_id: Id = 0


class Sender:
    """Delivers one parcel at a time of each chat.

    Args:
        apis: by the bots' names.
        turns: shared with whatever else shows something to chats.
        moved: told of a group that has a new id.
    """

    def __init__(
        self,
        apis: Mapping[str, Api],
        outbox: Outbox,
        observer: Observer,
        clock: Clock,
        turns: Turns,
        moved: Callable[[Lane, str], Awaitable[None]],
    ) -> None:
        self._apis = apis
        self._outbox = outbox
        self._observer = observer
        self._clock = clock
        self._turns = turns
        self._moved = moved

    async def deliver(self, owed: Owed) -> None:
        """Deliver it, put it off, or give it up.

        Raises:
            StoreError: what became of it could not be written down.
        """
        parcel = owed.parcel
        api = self._apis.get(parcel.lane.bot)
        if api is None:
            await self._give_up(owed, "the bot is not configured any more")
            return
        if parcel.method.startswith(_SHOWING):
            if (ahead := self._turns.ahead(parcel.lane)) > LONGEST_WAIT_S:
                await self._outbox.later(owed, self._clock.now() + timedelta(seconds=ahead))
                return
            await self._turns.wait(parcel.lane)
        # Where we are stopped, Telegram may have it already: without a note of that it would come twice.
        await finished(self._settled(api, owed), FINISH_S, f"settle-{owed.id}")

    async def _settled(self, api: Api, owed: Owed) -> None:
        try:
            result = await self._sent(api, owed)
        except Refusal as refusal:
            await self._refused(owed, refusal)
            return
        await self._outbox.delivered(owed, _message_id(result))

    async def _sent(self, api: Api, owed: Owed) -> msgspec.Raw:
        """Call it; where the server refuses it for something it can do without, without that, and so on."""
        parcel = owed.parcel
        method, body = parcel.method, _addressed(parcel, parcel.body)
        while True:
            try:
                return await api.call(method, body)
            except Refusal as refusal:
                other = self._otherwise(parcel, method, body, refusal)
                if other is None:
                    raise
                method, body = other

    def _otherwise(self, parcel: Parcel, method: str, body: bytes, refusal: Refusal) -> tuple[str, bytes] | None:
        """What is called instead; each time it holds less, so that comes to an end. None where nothing else helps."""
        said = refusal.description.lower() if refusal.code == 400 else ""
        if method == EDIT and any(words in said for words in _EDIT_GONE):
            # Somebody has removed what was shown of the answer, or the group has moved away from it.
            return SEND, _without(body, "message_id")
        if any(words in said for words in _TOPIC_GONE) and (elsewhere := _without(body, "message_thread_id")) != body:
            return method, elsewhere
        if parcel.plain and any(words in said for words in _MARKUP) and (plain := _without(body, "entities")) != body:
            self._observer.note("telegram_markup_refused", level="warning", bot=parcel.lane.bot, request_id=parcel.request_id)
            return method, plain
        return None

    async def _refused(self, owed: Owed, refusal: Refusal) -> None:
        said = refusal.description.lower()
        if refusal.code == 400 and any(words in said for words in _NOTHING_TO_DO):
            await self._outbox.delivered(owed)
        elif self._clock.now() - owed.since > GIVE_UP:
            await self._give_up(owed, f"not delivered within {GIVE_UP}: {refusal}")
        elif refusal.migrate_to and str(refusal.migrate_to) != owed.parcel.lane.chat:
            await self._moved(owed.parcel.lane, str(refusal.migrate_to))
            await self._outbox.moved(owed.parcel.lane, str(refusal.migrate_to))
            # At once; a chat that is sent to and fro is not followed in a circle as fast as we can.
            wait = _FIRST_RETRY_S if owed.attempt > 1 else 0.0
            await self._outbox.later(owed, self._clock.now() + timedelta(seconds=wait))
        elif owed.parcel.optional or refusal.code in {400, 403}:
            await self._give_up(owed, str(refusal))
        else:
            await self._put_off(owed, refusal)

    async def _put_off(self, owed: Owed, refusal: Refusal) -> None:
        lane = owed.parcel.lane
        wait = refusal.retry_after_s or min(_FIRST_RETRY_S * 2 ** min(owed.attempt - 1, 10), _LONGEST_RETRY_S)
        if refusal.code in {401, 404}:
            # It says 404 where the token is not even one of its own form; it knows the methods that we call.
            wait = _TOKEN_RETRY_S
            self._observer.note("telegram_token_refused", level="error", bot=lane.bot, advice="give the bot a token that counts")
        if refusal.code == 429:
            # The chat is what is slowed down; where the whole bot is, its other chats hear so themselves.
            self._turns.hold(lane, wait)
        self._observer.note(
            "telegram_put_off", level="warning", bot=lane.bot, code=refusal.code, wait_s=wait, request_id=owed.parcel.request_id
        )
        await self._outbox.later(owed, self._clock.now() + timedelta(seconds=wait))

    async def _give_up(self, owed: Owed, why: str) -> None:
        parcel = owed.parcel
        level = "info" if parcel.optional else "warning"
        self._observer.note(
            "telegram_undelivered", level=level, bot=parcel.lane.bot, method=parcel.method, request_id=parcel.request_id, why=why
        )
        await self._outbox.given_up(owed, why)


def _addressed(parcel: Parcel, body: bytes) -> bytes:
    """The parameters with the chat that the lane leads to by now."""
    if not parcel.method.startswith(_SHOWING):
        return body
    return b'{"chat_id":%s,' % parcel.lane.chat.encode() + body[1:]


def _message_id(result: msgspec.Raw) -> str:
    try:
        found = msgspec.json.decode(result, type=_Sent).message_id
    except UNREADABLE:
        # Some methods give true.
        return ""
    return str(found) if found else ""


def _without(body: bytes, name: str) -> bytes:
    """The same parameters without that one; the same bytes where there is none."""
    found = msgspec.json.decode(body, type=dict[str, object])
    return body if found.pop(name, None) is None else msgspec.json.encode(found)
