"""Inbox: updates that platforms have delivered, kept until they are handled. Outbox: what is to be delivered to them, kept until it is.

Both have lanes. A lane is one chat of one bot: what stands in it is taken out in its order, one after another, whoever takes it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

Channel = Literal["telegram", "discord"]


class Lane(msgspec.Struct, frozen=True):
    """One chat of one bot.

    Attributes:
        bot: the name of the bot or application in the configuration.
        chat: the platform's id of the chat.
    """

    channel: Channel
    bot: str
    chat: str


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform delivered.

    Attributes:
        number: the platform's own of it, which names it and tells its place in the lane.
        body: as it came.
    """

    lane: Lane
    number: int
    body: bytes
    received_at: datetime


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """An update somebody is handling.

    Attributes:
        attempt: 1 the first time; more where whoever had it before died, or could not write down what came of it.
        progress: what an earlier attempt has noted.
    """

    id: int
    update: Update
    attempt: int = 1
    progress: str = ""


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a platform's API that is owed to a chat.

    Attributes:
        method: of the API, such as `sendMessage`.
        body: its parameters as JSON.
        plain: the same without anything the platform could refuse as markup; empty where there is nothing like it.
        request_id: of the exchange it answers.
        optional: worth nothing when it is late, such as a button's acknowledgement: it is tried once.
    """

    lane: Lane
    method: str
    body: bytes
    plain: bytes = b""
    request_id: str = ""
    optional: bool = False


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel somebody is delivering.

    Attributes:
        attempt: 1 the first time.
    """

    id: int
    parcel: Parcel
    since: datetime
    attempt: int = 1


class Inbox(Protocol):
    """See the module. Everything may raise StoreError."""

    async def put(self, update: Update) -> bool:
        """Keep an update; returns once it is on disk. False where it has been here before, within two days."""
        ...

    async def take(self, most: int) -> Sequence[Taken]:
        """The next update of as many lanes as that; none of a lane of which somebody has one. They are ours for `HELD_S` seconds.

        What we have of each bot is the same in the end, as far as it has so much: a flood of one leaves the others their places.
        """
        ...

    async def keep(self, taken: Sequence[int]) -> None:
        """Have these for longer."""
        ...

    async def note(self, taken: int, progress: str) -> None:
        """Write down how far it is, for whoever has to begin again."""
        ...

    async def handled(self, taken: Taken, parcels: Sequence[Parcel]) -> bool:
        """It is done with, and these are owed now: both or neither. False where somebody else has it by now: then this owes nothing."""
        ...

    async def give_back(self, taken: Taken) -> None:
        """Let it be handled by anybody at once. It does not count as an attempt."""
        ...


class Outbox(Protocol):
    """See the module. Everything may raise StoreError."""

    async def owe(self, parcels: Sequence[Parcel]) -> None:
        """Owe parcels that answer no update."""
        ...

    async def take(self, most: int) -> Sequence[Owed]:
        """The next parcel of as many lanes as that, among those that are due; as for `Inbox.take`."""
        ...

    async def keep(self, owed: Sequence[int]) -> None:
        """Have these for longer."""
        ...

    async def delivered(self, owed: Owed, message: str = "") -> None:
        """The platform has it; `message` is its id there."""
        ...

    async def later(self, owed: Owed, until: datetime) -> None:
        """Not before then. The lane waits with it."""
        ...

    async def give_back(self, owed: Owed) -> None:
        """Let it be delivered by anybody at once. It does not count as an attempt."""
        ...

    async def given_up(self, owed: Owed, why: str) -> None:
        """It will not be delivered."""
        ...

    async def moved(self, lane: Lane, chat: str) -> None:
        """The lane's chat has another id from now on."""
        ...


# How long what was taken stays with whoever took it and says nothing more. After that it is somebody else's.
HELD_S = 15.0
