"""`POST /discord/webhook[/{name}]`: an interaction is authentic, then kept, then answered within three seconds.

See https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from dagi.errors import Invalid, Unauthenticated
from dagi.ports.clock import Clock
from dagi.services.face import Answer, Endpoint, Request
from dagi.services.gateway.webhooks import Webhooks, Words

SIGNATURE: Final = b"x-signature-ed25519"
TIMESTAMP: Final = b"x-signature-timestamp"
# A rule of ours: what was signed longer ago may have been overheard and sent again.
STALE_S: Final = 300
_WORDS: Final = Words(
    summary="An interaction for an application",
    about="Discord calls it, with its signature over time and body. What cannot be answered at once is on disk before it is promised; "
    "the answer follows within the token's 15 minutes.",
    nobody="There is no application here.",
    several="There are several applications here.",
    unknown="No application of this name is here.",
)


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """An application whose interactions come in.

    Attributes:
        authentic: whether a signature (hexadecimal) counts for the bytes signed; never raises.
        answer: the answer to an authentic request, as JSON; ValueError where it is no interaction.
    """

    application: str
    authentic: Callable[[bytes, bytes], bool]
    answer: Callable[[bytes], Awaitable[bytes]]


class InteractionBody(msgspec.Struct):
    """An interaction, for the description."""

    id: str
    type: int


class DiscordHooks:
    """Takes interactions in."""

    def __init__(self, doors: Sequence[Door], clock: Clock) -> None:
        self._webhooks = Webhooks("discord", {door.application: door for door in doors}, self._answered, _WORDS, InteractionBody)
        self._clock = clock

    def endpoints(self) -> Sequence[Endpoint]:
        """What the gateway's table gets."""
        return self._webhooks.endpoints()

    async def _answered(self, request: Request, door: Door) -> Answer:
        signature, timestamp = request.headers.get(SIGNATURE, b""), request.headers.get(TIMESTAMP, b"")
        # Discord tries now and then whether a wrong one is refused, and takes nothing but 401.
        if not door.authentic(signature, timestamp + request.body) or not self._recent(timestamp):
            raise Unauthenticated("This is not signed by Discord for this application (X-Signature-Ed25519), or was too long ago.")
        try:
            return Answer(body=await door.answer(request.body))
        except ValueError as error:
            raise Invalid(f"{error}.", field="type") from None

    def _recent(self, timestamp: bytes) -> bool:
        if not (timestamp.isdigit() and len(timestamp) <= 12):
            return False
        return abs(self._clock.now().timestamp() - int(timestamp)) <= STALE_S
