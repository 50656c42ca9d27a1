"""Delivers what is owed to Discord: paced, patient, and never for ever."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from dagi.channels.discord.api import UNREADABLE, Api, Refusal
from dagi.channels.discord.letters import EDIT, EPHEMERAL, QUIET, Letter
from dagi.channels.finishing import finished
from dagi.channels.pacing import Pace
from dagi.ports.clock import Clock
from dagi.ports.inbox import Outbox, Owed
from dagi.ports.observer import Observer

# What a token of an interaction may do: five in two seconds, as the headers of its answers tell.
PER_TOKEN: Final = 2.0
TOKEN_BURST: Final = 4
# https://docs.discord.com/developers/topics/rate-limits#global-rate-limit: 50 a second of a bot.
PER_BOT: Final = 40.0
BOT_BURST: Final = 5
# After that an answer helps nobody any more.
GIVE_UP: Final = timedelta(hours=1)
# How long what is under way may take when we are stopped.
FINISH_S: Final = 5.0
# Until then a promise of ours may be on its way; later Discord takes none, and has told the member that nobody answered.
PROMISE: Final = timedelta(seconds=3)
# Whoever waits for longer does so in the outbox.
_LONGEST_TURN_S: Final = 5.0
_FIRST_RETRY_S: Final = 0.5
_LONGEST_RETRY_S: Final = 60.0
_TOKEN_RETRY_S: Final = 60.0
# https://docs.discord.com/developers/topics/opcodes-and-status-codes#json
_UNKNOWN_WEBHOOK: Final = 10015
_TOKEN_OVER: Final = frozenset({10062, 50027})
_UNKNOWN_MESSAGE: Final = 10008
_SERVER_ERRORS: Final = 500
_REFUSED_AS_IT_IS: Final = 400


class _Sent(msgspec.Struct):
    id: str = ""


class Sender:
    """Delivers one parcel at a time of each lane.

    Args:
        apis: by the applications' names, each with the application's id.
        pace: what tokens of interactions may do.
    """

    def __init__(self, apis: Mapping[str, tuple[Api, str]], outbox: Outbox, observer: Observer, clock: Clock, pace: Pace) -> None:
        self._apis = apis
        self._outbox = outbox
        self._observer = observer
        self._clock = clock
        self._tokens = pace
        self._bots = Pace(PER_BOT, BOT_BURST)

    async def deliver(self, owed: Owed) -> None:
        """Deliver it, put it off, or give it up.

        Raises:
            StoreError: what became of it could not be written down.
        """
        known = self._apis.get(owed.parcel.lane.bot)
        if known is None:
            await self._give_up(owed, "the application is not configured any more")
            return
        # Where we are stopped, Discord may have it already: without a note of that it would come twice.
        await finished(self._settled(*known, owed), FINISH_S, f"settle-{owed.id}")

    async def _settled(self, api: Api, application: str, owed: Owed) -> None:
        letter = msgspec.json.decode(owed.parcel.body, type=Letter)
        try:
            sent = await self._somehow(api, application, owed, letter)
        except Refusal as refusal:
            await self._refused(owed, refusal)
            return
        await self._outbox.delivered(owed, _message_id(sent))

    async def _somehow(self, api: Api, application: str, owed: Owed, letter: Letter) -> bytes:
        """As it is; where Discord refuses what it says, without its buttons, and at last a sentence in its place."""
        try:
            return await self._sent(api, application, owed, letter)
        except Refusal as refusal:
            if refusal.status != _REFUSED_AS_IT_IS:
                raise
            refused = refusal
        for less in (_bare(letter.message), owed.parcel.plain):
            if not less:
                continue
            self._observer.note(
                "discord_simplified",
                level="warning",
                bot=owed.parcel.lane.bot,
                code=refused.code,
                why=refused.description,
                request_id=owed.parcel.request_id,
            )
            try:
                return await self._sent(api, application, owed, replace(letter, message=msgspec.Raw(less)))
            except Refusal as refusal:
                if refusal.status != _REFUSED_AS_IT_IS:
                    raise
                refused = refusal
        raise refused

    async def _sent(self, api: Api, application: str, owed: Owed, letter: Letter) -> bytes:
        if letter.token and self._clock.now() < letter.until:
            await self._turn(self._tokens, letter.interaction)
            try:
                return await self._answered(api, application, owed.parcel.method, letter)
            except Refusal as refusal:
                unheard = refusal.code == _UNKNOWN_WEBHOOK and self._clock.now() - owed.since > PROMISE
                if not unheard and refusal.code not in _TOKEN_OVER:
                    raise
        if letter.private or not api.has_token:
            why = "it is private" if letter.private else "there is no bot token to say it in the channel with"
            raise Refusal(403, 0, f"the interaction cannot be answered any more, and {why}")
        bot = owed.parcel.lane.bot
        await self._turn(self._bots, bot)
        try:
            return await api.call("POST", f"/channels/{letter.channel}/messages", _in_channel(owed, letter))
        except Refusal as refusal:
            if refusal.everywhere:
                # Each further request would be refused, too, and is counted: after many Discord bars the address.
                self._bots.hold(bot, self._clock.monotonic() + refusal.retry_after_s)
            raise

    async def _answered(self, api: Api, application: str, method: str, letter: Letter) -> bytes:
        if method == EDIT:
            try:
                return await api.call("PATCH", original(application, letter.token), bytes(letter.message), as_bot=False)
            except Refusal as refusal:
                if refusal.code != _UNKNOWN_MESSAGE:
                    raise
                # The member has removed it: the answer comes below.
        return await api.call("POST", f"/webhooks/{application}/{letter.token}", _below(letter), as_bot=False)

    async def _turn(self, pace: Pace, whose: str) -> None:
        while (wait := pace.wait(whose, self._clock.monotonic())) > 0:
            if wait > _LONGEST_TURN_S:
                raise Refusal(429, 0, "the bot is told to wait", wait)
            await self._clock.sleep(wait)
        pace.take(whose, self._clock.monotonic())

    async def _refused(self, owed: Owed, refusal: Refusal) -> None:
        if self._clock.now() - owed.since > GIVE_UP:
            await self._give_up(owed, f"not delivered within {GIVE_UP}: {refusal}")
        elif refusal.status in {0, 401, 429} or refusal.status >= _SERVER_ERRORS or refusal.code == _UNKNOWN_WEBHOOK:
            # The promise of an answer may be on its way still: before it is there, Discord knows no webhook.
            await self._put_off(owed, refusal)
        else:
            await self._give_up(owed, str(refusal))

    async def _put_off(self, owed: Owed, refusal: Refusal) -> None:
        wait = refusal.retry_after_s or min(_FIRST_RETRY_S * 2 ** min(owed.attempt - 1, 10), _LONGEST_RETRY_S)
        if refusal.status == 401:
            wait = _TOKEN_RETRY_S
            self._observer.note(
                "discord_token_refused", level="error", bot=owed.parcel.lane.bot, advice="give the application a bot token that counts"
            )
        self._observer.note(
            "discord_put_off",
            level="warning",
            bot=owed.parcel.lane.bot,
            status=refusal.status,
            code=refusal.code,
            wait_s=wait,
            request_id=owed.parcel.request_id,
        )
        await self._outbox.later(owed, self._clock.now() + timedelta(seconds=wait))

    async def _give_up(self, owed: Owed, why: str) -> None:
        parcel = owed.parcel
        self._observer.note(
            "discord_undelivered", level="warning", bot=parcel.lane.bot, method=parcel.method, request_id=parcel.request_id, why=why
        )
        await self._outbox.given_up(owed, why)


def original(application: str, token: str) -> str:
    """The path of the promised message."""
    return f"/webhooks/{application}/{token}/messages/@original"


def _bare(message: msgspec.Raw) -> bytes:
    """The message without its buttons; empty where it has none."""
    found = msgspec.json.decode(message, type=dict[str, object])
    return msgspec.json.encode(found) if found.pop("components", None) else b""


def _below(letter: Letter) -> bytes:
    """The message below the promised one, for the same eyes: a message of its own does not take that from it."""
    if not letter.ephemeral:
        return bytes(letter.message)
    return msgspec.json.encode({**msgspec.json.decode(letter.message, type=dict[str, object]), "flags": EPHEMERAL})


def _in_channel(owed: Owed, letter: Letter) -> bytes:
    """The message for everybody in the channel, told to whoever asked; Discord takes one of the same nonce once."""
    message = msgspec.json.decode(letter.message, type=dict[str, object])
    if owed.parcel.method == EDIT and letter.person:
        message["content"] = f"<@{letter.person}>\n{message['content']}"
        message["allowed_mentions"] = {**QUIET, "users": [letter.person]}
    return msgspec.json.encode({**message, "nonce": f"dagi-{owed.id}", "enforce_nonce": True})


def _message_id(sent: bytes) -> str:
    try:
        return msgspec.json.decode(sent, type=_Sent).id
    except UNREADABLE:
        return ""
