"""Whose turn it is to show something to a chat: messages that are owed and what is shown before them count alike."""

from typing import Final

from dagi.channels.pacing import Pace
from dagi.ports.clock import Clock
from dagi.ports.inbox import Lane

# https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this; edits count as messages do.
PER_CHAT: Final = 1.0
CHAT_BURST: Final = 3
# With the burst it is what is taken at most: 30 within any second, 20 within any minute of a group.
PER_BOT: Final = 25.0
BOT_BURST: Final = 5
PER_GROUP: Final = 15 / 60
GROUP_BURST: Final = 5
# What nobody needs leaves a turn to what is owed.
_LEFT: Final = 2


class Turns:
    """Gives turns to all bots of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._chats = Pace(PER_CHAT, CHAT_BURST)
        self._groups = Pace(PER_GROUP, GROUP_BURST)
        self._bots = Pace(PER_BOT, BOT_BURST)

    async def wait(self, lane: Lane) -> None:
        """Return when it is the chat's turn."""
        while (wait := self.ahead(lane)) > 0:
            await self._clock.sleep(wait)
        for pace, whose in self._paces(lane):
            pace.take(whose, self._clock.monotonic())

    def ahead(self, lane: Lane) -> float:
        """How long it is until the chat's turn, in seconds."""
        now = self._clock.monotonic()
        return max(pace.wait(whose, now) for pace, whose in self._paces(lane))

    def spare(self, lane: Lane) -> bool:
        """Take a turn for what nobody needs, where there is one and another one after it."""
        now, paces = self._clock.monotonic(), self._paces(lane)
        if not all(pace.has(whose, now, _LEFT) for pace, whose in paces):
            return False
        for pace, whose in paces:
            pace.take(whose, now)
        return True

    def hold(self, lane: Lane, seconds: float) -> None:
        """Leave the chat alone for so long."""
        self._chats.hold(_key(lane), self._clock.monotonic() + seconds)

    def _paces(self, lane: Lane) -> list[tuple[Pace, str]]:
        paces = [(self._bots, lane.bot), (self._chats, _key(lane))]
        # Groups and channels have negative ids.
        if lane.chat.startswith("-"):
            paces.append((self._groups, _key(lane)))
        return paces


def _key(lane: Lane) -> str:
    return f"{lane.bot}/{lane.chat}"
