"""Handles one update of Telegram: reads it, has it answered, and owes the answer to the chat."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from dagi.channels.attending import Attending, told
from dagi.channels.case import Case
from dagi.channels.conversation import Conversation, asks
from dagi.channels.incoming import Ignored, Incoming, Moved, Pressed
from dagi.channels.telegram.api import Api
from dagi.channels.telegram.posting import parcels, pressed_parcels
from dagi.channels.telegram.reading import Self, read, unread
from dagi.channels.telegram.showing import PRESSED_S, TURNING_S, Screen, Showing, message_of
from dagi.channels.telegram.turns import Turns
from dagi.channels.telegram.updates import update_of
from dagi.ports.clock import Clock
from dagi.ports.inbox import Inbox, Lane, Parcel, Taken
from dagi.ports.observer import Observer

# What a request's id may hold of the bot's name: its end, which tells updates apart, has to fit, too.
_NAME: Final = 40
_MOST_DRAFT: Final = 2**31 - 1


class Bound(msgspec.Struct, frozen=True):
    """What a chat belongs to.

    Attributes:
        mention_only: in a group, hear those alone who address the bot.
    """

    dao_id: str
    mention_only: bool = True


class Bot(msgspec.Struct, frozen=True, kw_only=True):
    """One bot at work.

    Attributes:
        me: who it is, as the server has told it; in a group, given by its id, that is waited for a while.
        bound: what a chat belongs to, by its id.
        moved: told of a group that has a new id.
        turns: shared with whoever delivers what is owed.
    """

    name: str
    api: Api
    me: Callable[[str], Awaitable[Self]]
    bound: Callable[[str], Awaitable[Bound]]
    moved: Callable[[Lane, str], Awaitable[None]]
    turns: Turns


class Attendant(Attending):
    """Handles updates, one at a time of each chat.

    Args:
        bots: by their names.
        owing: called when something is owed.
    """

    def __init__(
        self,
        bots: Mapping[str, Bot],
        conversation: Conversation,
        inbox: Inbox,
        observer: Observer,
        clock: Clock,
        owing: Callable[[], None],
    ) -> None:
        super().__init__(conversation, inbox, observer, clock, owing)
        self._bots = bots

    async def _parcels(self, taken: Taken) -> Sequence[Parcel]:
        lane = taken.update.lane
        bot = self._bots.get(lane.bot)
        if bot is None:
            self._ignored(taken, "the bot is not configured any more")
            return ()
        bound = await bot.bound(lane.chat)
        update = update_of(taken.update.body)
        if update is None:
            self._observer.note("update_unreadable", level="warning", bot=lane.bot, number=taken.update.number)
            heard = unread(lane.chat)
        else:
            heard = read(update, await bot.me(lane.chat), mention_only=bound.mention_only)
        match heard:
            case Ignored(why):
                self._ignored(taken, why)
                return ()
            case Moved(chat=chat, to=to):
                if to:
                    await bot.moved(msgspec.structs.replace(lane, chat=chat), to)
                else:
                    self._ignored(taken, "the bot was put out of the chat")
                return ()
            case Pressed() | Incoming():
                return await self._answered(bot, bound, heard, taken)

    async def _answered(self, bot: Bot, bound: Bound, heard: Incoming | Pressed, taken: Taken) -> Sequence[Parcel]:
        lane, case = taken.update.lane, _case(bot, bound, heard, taken.update.number)
        pressed = heard.data if isinstance(heard, Pressed) else None
        if taken.attempt > 1:
            self._observer.note("update_again", level="warning", request_id=case.request_id, attempt=taken.attempt)
        screen = Screen(
            api=bot.api,
            lane=lane,
            place=heard.place,
            turns=bot.turns,
            note=partial(self._inbox.note, taken.id),
            query=heard.query if isinstance(heard, Pressed) else "",
            patience_s=PRESSED_S if pressed is None or asks(pressed) else TURNING_S,
        )
        showing = Showing(screen, self._clock, draft=taken.update.number % _MOST_DRAFT + 1, message=message_of(taken.progress))
        said = await told(self._conversation, case, showing, pressed, taken.attempt)
        if isinstance(heard, Pressed):
            late = showing.acknowledged or (heard.place.private and self._too_late(taken))
            return pressed_parcels(lane, heard, said, showing.message, late=late)
        return parcels(lane, heard.place, said, showing.message)

    def _too_late(self, taken: Taken) -> bool:
        """Whether Telegram may have stopped waiting for the answer to a press."""
        return taken.attempt > 1 or (self._clock.now() - taken.update.received_at).total_seconds() > TURNING_S


def _case(bot: Bot, bound: Bound, heard: Incoming | Pressed, number: int) -> Case:
    said = heard if isinstance(heard, Incoming) else Incoming(place=heard.place, user_id=heard.user_id, language=heard.language)
    topic = f":{said.place.topic}" if said.place.topic else ""
    ids = f"tg-{bot.name[:_NAME]}-"
    return Case(
        said=said,
        dao_id=bound.dao_id,
        source="telegram",
        request_id=f"{ids}{number}",
        session_id=f"tg:{said.place.chat}{topic}:{bound.dao_id}",
        ids=ids,
    )
