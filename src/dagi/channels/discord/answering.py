"""Handles one interaction of Discord: has it answered, and owes the answer to whoever asked."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from dagi.catalogue import say
from dagi.channels.attending import Attending, told
from dagi.channels.case import Case
from dagi.channels.conversation import Conversation
from dagi.channels.discord.api import Api
from dagi.channels.discord.interactions import Interaction, interaction_of
from dagi.channels.discord.letters import letters, replies
from dagi.channels.discord.messages import Plain, plain_of
from dagi.channels.discord.reading import PRIVATE, heard_plainly, read
from dagi.channels.discord.sending import original
from dagi.channels.discord.showing import Showing, Typing, turns
from dagi.channels.incoming import Ignored, Incoming, Moved, Pressed
from dagi.channels.pacing import Pace
from dagi.channels.sentences import language
from dagi.channels.told import Told
from dagi.errors import AccessUnavailable
from dagi.ports.clock import Clock
from dagi.ports.inbox import Inbox, Parcel, Taken
from dagi.ports.observer import Observer

# What a request's id may hold of the application's name: its end, which tells interactions apart, has to fit, too.
_NAME: Final = 40


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """One application at work.

    Attributes:
        id: Discord's.
        dao_of: the DAO of a server, by its id, and of the places in it from the innermost on; of private messages where that is empty.
        parent: the channel a thread belongs to, where that can matter to its DAO; AccessUnavailable where nobody knows just now.
        pace: what a token of an interaction may do.
    """

    name: str
    id: str
    api: Api
    dao_of: Callable[[str, Sequence[str]], str]
    parent: Callable[[str], Awaitable[str]]
    pace: Pace


class Attendant(Attending):
    """Handles interactions, one at a time of each person in a channel.

    Args:
        applications: by their names.
        owing: called when something is owed.
    """

    def __init__(
        self,
        applications: Mapping[str, Application],
        conversation: Conversation,
        inbox: Inbox,
        observer: Observer,
        clock: Clock,
        owing: Callable[[], None],
    ) -> None:
        super().__init__(conversation, inbox, observer, clock, owing)
        self._applications = applications

    async def _parcels(self, taken: Taken) -> Sequence[Parcel]:
        application = self._applications.get(taken.update.lane.bot)
        if application is None:
            self._ignored(taken, "the application is not configured any more")
            return ()
        plain = plain_of(taken.update.body)
        if plain is not None:
            return await self._replied(application, plain, taken)
        interaction = interaction_of(taken.update.body)
        heard = read(interaction)
        if isinstance(heard, Ignored | Moved):
            self._ignored(taken, "nothing that is answered")
            return ()
        case = case_of(application, interaction, heard)
        path = original(application.id, interaction.token)
        showing = Showing(application.api, path, self._clock, turns(application.pace, interaction.id, self._clock))
        pressed = heard.data if isinstance(heard, Pressed) else None
        said = await told(self._conversation, case, showing, pressed, taken.attempt)
        return letters(taken.update, interaction, said)

    async def _replied(self, application: Application, plain: Plain, taken: Taken) -> Sequence[Parcel]:
        said = heard_plainly(plain)
        if plain.guild_id and said.command in PRIVATE:
            # Here everybody would read the answer.
            return replies(taken.update, plain, Told(markdown=say(language("", said.text), "discord.private", command=said.command)))
        try:
            parent = await application.parent(plain.channel_id) if plain.guild_id else ""
        except AccessUnavailable as error:
            case = _case(application, said, plain.id, "")
            return replies(taken.update, plain, self._conversation.refusal(case, error))
        places = tuple(filter(None, (plain.channel_id, parent)))
        case = _case(application, said, plain.id, application.dao_of(plain.guild_id, places))
        typing = Typing(application.api, plain.channel_id, self._clock)
        return replies(taken.update, plain, await told(self._conversation, case, typing, None, taken.attempt))


def case_of(application: Application, interaction: Interaction, heard: Incoming | Pressed) -> Case:
    """What was said, and where that belongs to."""
    said = heard if isinstance(heard, Incoming) else Incoming(place=heard.place, user_id=heard.user_id, language=heard.language)
    return _case(application, said, interaction.id, application.dao_of(interaction.guild_id, interaction.places))


def _case(application: Application, said: Incoming, number: str, dao_id: str) -> Case:
    ids = f"dc-{application.name[:_NAME]}-"
    return Case(
        said=said,
        dao_id=dao_id,
        source="discord",
        request_id=f"{ids}{number}",
        session_id=f"dc:{said.place.chat}:{dao_id}",
        ids=ids,
    )
