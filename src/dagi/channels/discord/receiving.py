"""Answers an interaction within three seconds: at once where that can be, else with the promise of an answer, and keeps it before that."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from dagi.catalogue import say
from dagi.channels.discord.interactions import Interaction, Type, interaction_of
from dagi.channels.discord.reading import FEEDBACK, WORDS, is_ephemeral, read, typed
from dagi.channels.incoming import Ignored
from dagi.channels.sentences import language
from dagi.errors import StoreError
from dagi.ports.clock import Clock
from dagi.ports.inbox import Lane, Update
from dagi.ports.observer import Observer

# https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-response-object-interaction-callback-type
PONG: Final = 1
MESSAGE: Final = 4
PROMISE: Final = 5
CHOICES: Final = 8
MODAL: Final = 9
EPHEMERAL: Final = 1 << 6
# https://docs.discord.com/developers/components/reference
_LABEL: Final = 18
_TEXT_INPUT: Final = 4
_SEVERAL_LINES: Final = 2
_MOST_WORDS: Final = 1000
# Of the three seconds in which Discord wants an answer, what may go into keeping the interaction.
KEEP_S: Final = 2.0
_AGAIN_S: Final = 10
# What the database's column holds.
_CHAT: Final = 40

Choose = Callable[[Interaction, str], Sequence[tuple[str, str]]]


class Reception:
    """Takes the interactions of one application.

    Args:
        arrived: keeps an update; it is on disk when that returns.
        choose: what can be meant by what somebody is typing, as label and value.
    """

    def __init__(
        self,
        application: str,
        arrived: Callable[[Update], Awaitable[None]],
        choose: Choose,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._application = application
        self._arrived = arrived
        self._choose = choose
        self._observer = observer
        self._clock = clock

    async def answer(self, body: bytes) -> bytes:
        """The answer to an authentic request, as JSON.

        Raises:
            ValueError: it is no interaction.
        """
        interaction = interaction_of(body)
        match interaction.type:
            case Type.PING:
                return _encoded(PONG)
            case Type.AUTOCOMPLETE:
                return _encoded(CHOICES, choices=[{"name": label, "value": value} for label, value in self._choices(interaction)])
            case _ if _wants_words(interaction):
                return _modal(language(interaction.locale))
            case _:
                return await self._kept(interaction, body)

    def _choices(self, interaction: Interaction) -> Sequence[tuple[str, str]]:
        option = typed(interaction.data)
        return () if option is None else self._choose(interaction, str(option.value))

    async def _kept(self, interaction: Interaction, body: bytes) -> bytes:
        tongue = language(interaction.locale)
        heard = read(interaction)
        if isinstance(heard, Ignored):
            self._observer.note("update_ignored", level="debug", bot=self._application, number=int(interaction.id), why=heard.why)
            return _only_them(say(tongue, "channel.unknown_interaction"))
        update = Update(lane=self._lane(interaction), number=int(interaction.id), body=body, received_at=self._clock.now())
        try:
            async with asyncio.timeout(KEEP_S):
                await self._arrived(update)
        except (StoreError, TimeoutError) as error:
            # Discord does not deliver it again: whoever asked has to know.
            self._observer.note("interaction_lost", level="error", bot=self._application, number=update.number, why=str(error))
            return _only_them(say(tongue, "channel.busy", seconds=_AGAIN_S))
        return _encoded(PROMISE, flags=EPHEMERAL) if is_ephemeral(interaction) else _encoded(PROMISE)

    def _lane(self, interaction: Interaction) -> Lane:
        # Each answer has its place in the channel already, so nobody has to wait for somebody else's.
        chat = f"{interaction.place}/{interaction.person}"
        return Lane("discord", self._application, chat if len(chat) <= _CHAT else interaction.place[:_CHAT])


def _wants_words(interaction: Interaction) -> bool:
    """The command that asks for more than Discord lets one type in its line."""
    return interaction.type == Type.COMMAND and interaction.data.name == FEEDBACK and not interaction.data.options


def _modal(tongue: str) -> bytes:
    words = {"type": _TEXT_INPUT, "custom_id": WORDS, "style": _SEVERAL_LINES, "max_length": _MOST_WORDS, "required": True}
    label = {"type": _LABEL, "label": say(tongue, "channel.feedback.words"), "component": words}
    return _encoded(MODAL, custom_id=FEEDBACK, title=say(tongue, "channel.feedback.title"), components=[label])


def _only_them(words: str) -> bytes:
    return _encoded(MESSAGE, content=words, flags=EPHEMERAL, allowed_mentions={"parse": []})


def _encoded(kind: int, **data: object) -> bytes:
    return msgspec.json.encode({"type": kind, "data": data} if data or kind == CHOICES else {"type": kind})
