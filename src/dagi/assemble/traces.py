"""Whose the messages are that wait in inbox and outbox, for the erasure of a person's data."""

from functools import partial

from dagi.assemble.bots import configured_dao
from dagi.channels.discord.interactions import interaction_of
from dagi.channels.discord.letters import letter_of
from dagi.channels.discord.messages import plain_of
from dagi.channels.telegram.updates import person_of
from dagi.config.channel_schema import Channels
from dagi.ports.inbox import Lane
from dagi.stores.channel_traces import Reading, Said


def reading(channels: Channels) -> Reading:
    """What the bodies of rows tell, and what the configuration says of their chats."""
    return Reading(_said, partial(configured_dao, channels))


def _said(lane: Lane, body: bytes) -> Said:
    if lane.channel == "telegram":
        person = person_of(body)
        return Said(f"tg:{person}" if person else "")
    if (plain := plain_of(body)) is not None:
        return Said(f"dc:{plain.author}", plain.places)
    if (letter := letter_of(body)) is not None:
        return Said(f"dc:{letter.person}", letter.places)
    try:
        interaction = interaction_of(body)
    except ValueError:
        return Said()
    return Said(f"dc:{interaction.person}", tuple(one for one in (*interaction.places, interaction.guild_id) if one))
