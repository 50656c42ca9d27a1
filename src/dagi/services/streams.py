"""What every face does with the router's answer, whole or as it comes: settle it, tell errors while that is still possible."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Protocol

from dagi.errors import DagiError, Internal, Overloaded
from dagi.ports.dialogs import Exchange
from dagi.ports.target import CONTENT, End, Event
from dagi.router import Router
from dagi.rules.rule import EVERYTHING, Wanted
from dagi.services.face import EVENT_STREAM, Answer, BrokenOff
from dagi.services.ratelimits import limit_headers


class Frames(Protocol):
    """Puts one answer's events into the bytes of a protocol.

    Attributes:
        cuts: whether the connection ends after a failure, for clients that take any other end for a whole answer.
    """

    cuts: bool

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

    async def streamed(self, exchange: Exchange, frames: Frames, wanted: Wanted = EVERYTHING) -> Answer:
        """Answer as it comes. The stream is opened as far as its first piece, so that a refusal still is an HTTP status and not an event.

        Raises:
            DagiError: the request was refused, or no target answered.
        """
        answer = self.router.open(exchange, wanted)
        seen: list[Event] = []
        try:
            async for event in answer:
                seen.append(event)
                if isinstance(event, (*CONTENT, End)):
                    break
        except DagiError as error:
            await self._settle_refused(exchange, error)
            raise
        except BaseException:
            await answer.aclose()
            raise
        headers = [*EVENT_STREAM, *limit_headers(exchange.allowance)]
        return Answer(headers=headers, chunks=self._chunks(exchange, frames, seen, answer))

    async def _settle_refused(self, exchange: Exchange, error: DagiError) -> None:
        """What a failed request is told is why it failed, whether that could be written down or not."""
        error.headers = tuple(limit_headers(exchange.allowance))
        if self._before_reply:
            with suppress(Overloaded):
                await self.router.ports.dialogs.saved()

    async def _chunks(self, exchange: Exchange, frames: Frames, seen: list[Event], rest: AsyncGenerator[Event]) -> AsyncGenerator[bytes]:
        frame_of = frames.frame
        try:
            async with aclosing(rest):
                for event in seen:
                    frame = frame_of(event)
                    if frame is not None:
                        yield frame
                async for event in rest:
                    frame = frame_of(event)
                    if frame is not None:
                        yield frame
        except Exception as error:  # noqa: BLE001 - the head is sent: a defect of ours has to be told within the stream
            self.router.ports.observer.note("internal_error", level="error", request_id=exchange.message.id, exc_info=error)
            exchange.failed(exchange.error or Internal("An internal error occurred."))
        try:
            if self._before_reply:
                await self.router.ports.dialogs.saved()
        except DagiError as error:
            exchange.failed(error)
        if exchange.error is None:
            yield frames.ending(exchange)
            return
        yield frames.failure(exchange.error, exchange)
        if frames.cuts:
            raise BrokenOff
