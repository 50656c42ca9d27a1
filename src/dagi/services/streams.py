"""What every face does with the router's answer, whole or as it comes: settle it, tell errors while that is still possible."""

from contextlib import suppress
from typing import Protocol

from dagi.errors import DagiError, Internal, Overloaded
from dagi.ports.dialogs import Exchange
from dagi.ports.target import CONTENT, End, Event, Progress
from dagi.router import Router
from dagi.rules.rule import EVERYTHING, Wanted
from dagi.services.face import EVENT_STREAM, Answer, BrokenOff, Line
from dagi.services.ratelimits import limit_headers


class Frames(Protocol):
    """Puts one answer's events into the bytes of a protocol.

    Attributes:
        raw: whether frames of OpenAI's own may come as they are (`Passed`) from now on; `framed`: whether they ever may.
        cuts: whether the connection ends after a failure, for clients that take any other end for a whole answer.
    """

    cuts: bool
    framed: bool

    @property
    def raw(self) -> bool:
        """See the class."""
        ...

    def frame(self, event: Event) -> bytes | None:
        """The bytes of an event; None where nothing is to be sent for it."""
        ...

    def ending(self, exchange: Exchange) -> bytes:
        """What follows a complete answer."""
        ...

    def failure(self, error: DagiError, exchange: Exchange) -> bytes:
        """What follows an answer that broke off."""
        ...


class Asking:
    """Asks the router.

    Args:
        before_reply: wait until the exchange is on disk before the answer is complete (`dialogs.durability`).
    """

    def __init__(self, router: Router, *, before_reply: bool = False) -> None:
        self.router = router
        self._before_reply = before_reply

    async def whole(self, exchange: Exchange, wanted: Wanted = EVERYTHING) -> None:
        """Answer in one piece: the answer is in the exchange afterwards.

        Raises:
            DagiError: the request was refused, or no target answered.
        """
        try:
            await self.router.answer(exchange, wanted)
        except DagiError as error:
            await self._settle_refused(exchange, error)
            raise
        if self._before_reply:
            await self.router.ports.dialogs.saved()

    def streamed(self, exchange: Exchange, frames: Frames, wanted: Wanted = EVERYTHING) -> Answer:
        """Answer as it comes. Until its first piece is there, a refusal still is an HTTP status and not an event."""
        return Answer(live=lambda line: self._live(exchange, frames, wanted, line))

    async def _settle_refused(self, exchange: Exchange, error: DagiError) -> None:
        """What a failed request is told is why it failed, whether that could be written down or not."""
        error.headers = tuple(limit_headers(exchange.allowance))
        if self._before_reply:
            with suppress(Overloaded):
                await self.router.ports.dialogs.saved()

    async def _live(self, exchange: Exchange, frames: Frames, wanted: Wanted, line: Line) -> None:
        ear = _Speaking(exchange, frames, line)
        try:
            await self.router.tell(exchange, ear, wanted)
        except DagiError as error:
            if not line.begun:
                await self._settle_refused(exchange, error)
                raise
        except Exception as error:
            if not line.begun:
                raise
            # The head is sent: a defect of ours has to be told within the stream.
            self.router.ports.observer.note("internal_error", level="error", request_id=exchange.message.id, exc_info=error)
            exchange.failed(exchange.error or Internal("An internal error occurred."))
        try:
            if self._before_reply:
                await self.router.ports.dialogs.saved()
        except DagiError as error:
            exchange.failed(error)
        ear.begin()
        if exchange.error is None:
            line.write(frames.ending(exchange))
            return
        line.write(frames.failure(exchange.error, exchange))
        if frames.cuts:
            raise BrokenOff


class _Speaking:
    """Hears an answer and says it in the caller's protocol."""

    def __init__(self, exchange: Exchange, frames: Frames, line: Line) -> None:
        self.progress = Progress()
        self.progress.framed = frames.framed
        self.room = line.room
        self._exchange = exchange
        self._frames = frames
        self._line = line
        self._held: list[bytes] = []

    def hear(self, event: Event) -> None:
        """See `dagi.ports.target.Ear`."""
        progress, line = self.progress, self._line
        if not progress.seen and isinstance(event, CONTENT):
            self.begin()
        elif isinstance(event, End):
            progress.ended = True
        frame = self._frames.frame(event)
        if frame is None:
            return
        if progress.seen:
            line.write(frame)
            progress.full = line.full
            progress.raw = self._frames.raw
        else:
            self._held.append(frame)

    def begin(self) -> None:
        """Send the head, and what was told before there was anything of an answer; once."""
        self.progress.seen = True
        if not self._line.begun:
            self._line.begin([*EVENT_STREAM, *limit_headers(self._exchange.allowance)])
            for frame in self._held:
                self._line.write(frame)

    def forget(self) -> None:
        """See `Ear`. Nothing has been said."""
