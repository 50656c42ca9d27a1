"""Shows what there is of an answer already, by changing the promised message. None of it is owed: the final text is."""

from collections.abc import Callable
from typing import Final

import msgspec

from dagi.channels.discord.api import Api, Refusal
from dagi.channels.discord.letters import QUIET
from dagi.channels.discord.markup import contents
from dagi.channels.finishing import finished
from dagi.channels.hearing import Hearing
from dagi.channels.pacing import Pace
from dagi.ports.clock import Clock

# Discord shows by itself that an answer is awaited; each change counts against the five that a token may do in two seconds.
EDIT_S: Final = 1.5
# How long a change that is on its way is waited for when there is something better to show.
FINISH_S: Final = 3.0
# https://docs.discord.com/developers/resources/channel#trigger-typing-indicator: it lasts for ten seconds.
TYPING_S: Final = 8.0
# A piece this long is worth a first look.
_FIRST: Final = 20


class Showing(Hearing):
    """An ear that shows what it hears. What is shown can be changed as long as it is not complete: so nothing counts as seen.

    Args:
        path: of the promised message.
        turn: whether there is one now for a change nobody needs.
    """

    def __init__(self, api: Api, path: str, clock: Clock, turn: Callable[[], bool]) -> None:
        super().__init__()
        self._api = api
        self._path = path
        self._clock = clock
        self._turn = turn
        self._shown = ""

    async def follow(self) -> None:
        """Show until cancelled. What Discord refuses is left out, and nothing is tried after it: nobody waits for it."""
        while True:
            await self._clock.sleep(EDIT_S)
            text = self.text
            if len(text) < _FIRST:
                continue
            content = next(iter(contents(text)), "")
            if content in {"", self._shown} or not self._turn():
                continue
            try:
                await self._changed(content)
            except Refusal:
                return
            self._shown = content

    async def _changed(self, content: str) -> None:
        # Discord may have it already, and do it after what comes next, which is the whole answer: that has to come second.
        await finished(self._api.call("PATCH", self._path, _encoded(content), as_bot=False), FINISH_S, "discord-shown")


class Typing(Hearing):
    """An ear for plain words, to which nothing is promised yet: that the bot is typing is all that is shown."""

    def __init__(self, api: Api, channel: str, clock: Clock) -> None:
        super().__init__()
        self._api = api
        self._path = f"/channels/{channel}/typing"
        self._clock = clock

    async def follow(self) -> None:
        """Type until cancelled, or until Discord will not have it."""
        while True:
            try:
                await self._api.call("POST", self._path)
            except Refusal:
                return
            await self._clock.sleep(TYPING_S)


def turns(pace: Pace, whose: str, clock: Clock) -> Callable[[], bool]:
    """Takes a turn where there is one."""

    def turn() -> bool:
        now = clock.monotonic()
        if pace.wait(whose, now) > 0:
            return False
        pace.take(whose, now)
        return True

    return turn


def _encoded(content: str) -> bytes:
    return msgspec.json.encode({"content": content, "allowed_mentions": QUIET})
