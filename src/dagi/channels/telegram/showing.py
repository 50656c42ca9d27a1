"""Shows that an answer is on its way, and in private chats what there is of it already. None of it is owed: the final text is."""

import asyncio
from typing import Final

import msgspec

from dagi.channels.incoming import Place
from dagi.channels.telegram.api import Api, Refusal
from dagi.channels.telegram.markup import texts
from dagi.ports.clock import Clock
from dagi.ports.target import Delta, End, Event, Passed, Progress

# "typing" is shown for five seconds (https://core.telegram.org/bots/api#sendchataction).
TYPING_S: Final = 4.0
# A draft is a preview of thirty seconds, and each counts against the bot's limits.
DRAFT_S: Final = 1.0
# A piece this long is worth a first look.
_FIRST: Final = 20


class Showing:
    """An ear that shows what it hears.

    An answer that fails half-way may be begun anew by somebody else, for a draft leaves nothing behind: so nothing counts as seen.

    Args:
        draft: names the draft; not 0.
    """

    def __init__(self, api: Api, place: Place, draft: int, clock: Clock) -> None:
        self.progress = Progress()
        self._api = api
        self._place = place
        self._draft = draft
        self._clock = clock
        self._text: list[str] = []
        self._shown = 0

    def hear(self, event: Event) -> None:
        """See `dagi.ports.target.Ear`."""
        match event:
            case Delta(text):
                self._text.append(text)
            case Passed():
                self._text.append(event.read(event.raw))
            case End():
                self.progress.ended = True
            case _:
                pass

    def forget(self) -> None:
        """See `Ear`."""
        self._text.clear()
        self.progress.ended = False

    async def room(self) -> None:
        """See `Ear`. There is always room: what is shown is far less than what is heard."""

    async def follow(self) -> None:
        """Show until cancelled. Whatever the server refuses is left out: nobody waits for it."""
        drafting = self._place.private
        typed = float("-inf")
        while True:
            now = self._clock.monotonic()
            try:
                if drafting and sum(map(len, self._text)) >= max(self._shown + 1, _FIRST):
                    await self._drafted()
                elif not self._shown and now - typed >= TYPING_S:
                    typed = now
                    await self._api.call("sendChatAction", _encoded(self._place, action="typing"))
            except Refusal as refusal:
                # A server that knows no drafts says 404 or 400; one that is asked too often says 429.
                drafting = False
                await self._clock.sleep(min(refusal.retry_after_s, 60.0))
            await self._clock.sleep(DRAFT_S)

    async def _drafted(self) -> None:
        text = "".join(self._text)
        self._shown = len(text)
        shown = texts(text)
        if shown:
            # Where it is longer than one message, its end is what is new.
            last = shown[-1]
            await self._api.call("sendMessageDraft", _encoded(self._place, draft_id=self._draft, text=last.text, entities=last.entities))


async def beside(work: "asyncio.Task[object]", showing: Showing) -> None:
    """Show while the work goes on."""
    shown = asyncio.create_task(showing.follow(), name="showing")
    try:
        await asyncio.wait([work])
    finally:
        shown.cancel()
        await asyncio.gather(shown, return_exceptions=True)


def _encoded(place: Place, **parameters: object) -> bytes:
    topic = {"message_thread_id": place.topic} if place.topic else {}
    return msgspec.json.encode({"chat_id": int(place.chat), **topic, **parameters})
