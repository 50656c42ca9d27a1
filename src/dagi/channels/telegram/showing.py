"""Shows that an answer is on its way, and what there is of it already. None of it is owed: the final text is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from dagi.channels.hearing import Hearing
from dagi.channels.incoming import Place
from dagi.channels.telegram.api import UNREADABLE, Api, Refusal
from dagi.channels.telegram.markup import Text, texts
from dagi.channels.telegram.posting import EDIT, SEND, body_of, encoded
from dagi.channels.telegram.turns import Turns
from dagi.channels.telegram.updates import Id
from dagi.errors import StoreError
from dagi.ports.clock import Clock
from dagi.ports.inbox import Lane

# "typing" is shown for five seconds (https://core.telegram.org/bots/api#sendchataction).
TYPING_S: Final = 4.0
# A draft is a preview of thirty seconds, and each counts against the bot's limits.
DRAFT_S: Final = 1.0
# In a group an answer that is there by then is simply sent; a later one is begun, and edited no oftener than that.
GROUP_S: Final = 3.0
# How long a button that asks a question may turn before its press is answered, though nothing is there yet.
PRESSED_S: Final = 1.0
# The same of any other: what comes of it is shown as the answer to the press, which there is one of. Telegram waits some fifteen seconds.
TURNING_S: Final = 10.0
# A piece this long is worth a first look.
_FIRST: Final = 20


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is shown.

    Attributes:
        note: writes down which message shows it, for whoever has to begin again.
        query: of the button that was pressed; empty where something was said.
        patience_s: how long the press may wait for its answer.
    """

    api: Api
    lane: Lane
    place: Place
    turns: Turns
    note: Callable[[str], Awaitable[None]]
    query: str = ""
    patience_s: float = PRESSED_S


class _Sent(msgspec.Struct):
    message_id: Id = 0


class Showing(Hearing):
    """An ear that shows what it hears: in private chats as a draft, in groups as a message that is edited.

    An answer that fails half-way may be begun anew by somebody else: a draft leaves nothing behind, and the message becomes what is said in
    the end, whatever that is. So nothing counts as seen.

    Args:
        draft: names the draft; not 0.
        message: one that shows the beginning of an earlier attempt; 0 for none.

    Attributes:
        message: the one that has to become the answer; 0 for none.
        acknowledged: the press has its answer, and takes no other.
    """

    def __init__(self, screen: Screen, clock: Clock, *, draft: int, message: int = 0) -> None:
        super().__init__()
        self.message = message
        self.acknowledged = False
        self._screen = screen
        self._clock = clock
        self._draft = draft
        self._shown = ""
        self._part: Text | None = None
        self._next = 0.0
        self._typed = float("-inf")
        self._quiet = False
        self._posting: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Show until cancelled. Whatever the server refuses is left out: nobody waits for it."""
        began = self._clock.monotonic()
        self._next = began + GROUP_S
        try:
            while True:
                now = self._clock.monotonic()
                try:
                    if not self._screen.query or now - began >= self._screen.patience_s:
                        await self._look(now)
                except Refusal as refusal:
                    self._refused(refusal)
                    await self._clock.sleep(min(refusal.retry_after_s, 60.0))
                await self._clock.sleep(DRAFT_S)
        finally:
            # What is on its way must be there before what follows it, and known.
            if self._posting is not None:
                await asyncio.gather(self._posting, return_exceptions=True)

    def _refused(self, refusal: Refusal) -> None:
        # A server that knows no drafts says 404 or 400; one that is asked too often says 429.
        self._quiet = True
        if refusal.code == 429:
            self._screen.turns.hold(self._screen.lane, refusal.retry_after_s)

    async def _look(self, now: float) -> None:
        screen, text = self._screen, self.text
        if screen.query and not self.acknowledged:
            # Even where we are stopped half-way it may have it.
            self.acknowledged = True
            await screen.api.call("answerCallbackQuery", msgspec.json.encode({"callback_query_id": screen.query}))
        elif not self._quiet and len(text) >= _FIRST and text != self._shown and (screen.place.private or now >= self._next):
            await (self._drafted(text) if screen.place.private else self._posted(text, now))
        elif not self._shown and now - self._typed >= TYPING_S:
            self._typed = now
            await screen.api.call("sendChatAction", _encoded(screen.place, action="typing"))

    async def _drafted(self, text: str) -> None:
        self._shown = text
        shown = texts(text)
        if shown:
            # Where it is longer than one message, its end is what is new.
            last = shown[-1]
            draft = _encoded(self._screen.place, draft_id=self._draft, text=last.text, entities=last.entities)
            await self._screen.api.call("sendMessageDraft", draft)

    async def _posted(self, text: str, now: float) -> None:
        part = next(iter(texts(_unfinished(text))), None)
        if part is None or part == self._part or not self._screen.turns.spare(self._screen.lane):
            return
        self._shown, self._part, self._next = text, part, now + GROUP_S
        # Once it is on its way it is not called back: nobody would know whether it is there, nor whether it comes before the final text.
        self._posting = asyncio.create_task(self._post(part), name="showing-post")
        await asyncio.shield(self._posting)

    async def _post(self, part: Text) -> None:
        screen = self._screen
        where = {"chat_id": int(screen.place.chat)}
        if self.message:
            await screen.api.call(EDIT, encoded({**where, "message_id": self.message}, part)[0])
            return
        sent = await screen.api.call(SEND, encoded({**where, **body_of(screen.place, first=True)}, part)[0])
        try:
            self.message = msgspec.json.decode(sent, type=_Sent).message_id
        except UNREADABLE:
            raise Refusal(0, "no message that could be edited") from None
        try:
            await screen.note(str(self.message))
        except StoreError:
            # We know it ourselves; only where we die now, nobody else does.
            return


def _unfinished(text: str) -> str:
    """The text with a sign that it goes on, which must not become part of a fence of code."""
    text = text.rstrip()
    fenced = text.rpartition("\n")[2].lstrip().startswith("```")
    return f"{text}\n\n…" if fenced else f"{text} …"


def message_of(progress: str) -> int:
    """The message an earlier attempt has noted; 0 for none."""
    return int(progress) if progress.isascii() and progress.isdecimal() else 0


def _encoded(place: Place, **parameters: object) -> bytes:
    topic = {"message_thread_id": place.topic} if place.topic else {}
    return msgspec.json.encode({"chat_id": int(place.chat), **topic, **parameters})
