"""One question to a model server over HTTP: request out, events in."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from http import HTTPStatus

import msgspec

from dagi.errors import ProviderError
from dagi.message import Message
from dagi.ports.http import HttpClient, HttpFailure, HttpRequest, HttpResponse
from dagi.ports.target import CONTENT, Ear, End, Event, Failure
from dagi.targets.models.failures import Failures
from dagi.targets.models.wire import ANSWER_LIMIT, Decoder, WireError

_ERROR_LIMIT = 64 * 1024


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of model server is asked.

    Attributes:
        decoder: a new decoder for a streamed answer.
        decode_whole: decodes an answer that came as one JSON body.
        advice: what to do about an HTTP status and the short message that came with it, where there is something.
    """

    http: HttpClient
    failures: Failures
    decoder: Callable[[], Decoder]
    decode_whole: Callable[[bytes], list[Event]]
    advice: Callable[[int, str], str]

    async def ask(self, request: HttpRequest, message: Message) -> AsyncGenerator[Event]:
        """The answer's events; see `dagi.ports.target.Target.open` for how it ends."""
        begun = False
        try:
            async with self.http.open(request) as response, aclosing(self._answer(response, request, message)) as events:
                async for event in events:
                    begun = begun or isinstance(event, CONTENT)
                    yield event
            return
        except WireError as mistake:
            error = self.failures.unusable(mistake)
        except HttpFailure as failure:
            error = self.failures.broken(failure) if begun else self.failures.unreachable(failure)
        except ProviderError as refusal:
            error = refusal
        else:
            return
        error.detail = self.failures.without_echo(error, request.body)
        if not begun:
            raise error
        yield Failure(error)

    async def tell(self, request: HttpRequest, message: Message, ear: Ear) -> None:
        """The same, told; see `dagi.ports.target.Telling.tell`."""
        begun = False
        try:
            async with self.http.open(request) as response:
                if response.status != HTTPStatus.OK:
                    raise await self._refusal(response, request, message)
                begun = True
                if _media_type(response) == "application/json":
                    for event in self._read(await response.read(ANSWER_LIMIT), streamed=message.streamed):
                        ear.hear(event)
                else:
                    await self._pour(response, ear)
            return
        except WireError as mistake:
            error = self.failures.unusable(mistake)
        except HttpFailure as failure:
            error = self.failures.broken(failure) if begun else self.failures.unreachable(failure)
        except ProviderError as refusal:
            error = refusal
        error.detail = self.failures.without_echo(error, request.body)
        raise error

    async def _pour(self, response: HttpResponse, ear: Ear) -> None:
        pouring = _Pouring(self.decoder(), ear)
        while not await response.pour(pouring.take):
            pouring.check()
            if pouring.decoder.done:
                return
            await ear.room()
        for event in pouring.decoder.finish():
            ear.hear(event)
        pouring.check()

    async def _answer(self, response: HttpResponse, request: HttpRequest, message: Message) -> AsyncGenerator[Event]:
        if response.status != HTTPStatus.OK:
            raise await self._refusal(response, request, message)
        if _media_type(response) == "application/json":
            for event in self._read(await response.read(ANSWER_LIMIT), streamed=True):
                yield event
            return
        decoder = self.decoder()
        async with aclosing(response.chunks()) as chunks:
            async for data in chunks:
                for event in decoder.feed(data):
                    yield event
                if decoder.failed is not None:
                    raise decoder.failed
                if decoder.done:
                    return
        for event in decoder.finish():
            yield event
        if decoder.failed is not None:
            raise decoder.failed

    def _read(self, data: bytes, *, streamed: bool) -> list[Event]:
        events = self.decode_whole(data)
        if streamed and events and isinstance(events[-1], End):
            # In a stream an ending's own bytes are those of a frame.
            events[-1] = msgspec.structs.replace(events[-1], raw=None)
        return events

    async def _refusal(self, response: HttpResponse, request: HttpRequest, message: Message) -> ProviderError:
        try:
            data = await response.read(_ERROR_LIMIT)
        except HttpFailure:
            # The status alone says enough.
            data = b""
        rejected = self.failures.rejected(response.status, data, message, request.body)
        if rejected is not None:
            return rejected
        return self.failures.refused(response.status, response.header("retry-after"), data, self.advice)


class _Pouring:
    """Bytes of a stream on their way to whoever hears it."""

    def __init__(self, decoder: Decoder, ear: Ear) -> None:
        self.decoder = decoder
        self._mistake: WireError | None = None
        self._progress = ear.progress
        self._hear = ear.hear

    def take(self, data: bytes) -> bool:
        """Let some bytes be heard; whether more are wanted now."""
        decoder, progress = self.decoder, self._progress
        frames = decoder.passed(data) if progress.raw else None
        if frames is not None:
            self._hear(frames)
            return not progress.full
        try:
            for part in decoder.runs(data) if progress.framed else (data,):
                frames = decoder.passed(part) if progress.raw else None
                for event in decoder.feed(part) if frames is None else (frames,):
                    self._hear(event)
        except WireError as mistake:
            self._mistake = mistake
        return not (decoder.done or progress.full or decoder.failed is not None or self._mistake is not None)

    def check(self) -> None:
        """Go on, if nothing was wrong.

        Raises:
            WireError: the bytes are no answer.
        """
        mistake = self._mistake or self.decoder.failed
        if mistake is not None:
            raise mistake


def _media_type(response: HttpResponse) -> str:
    return (response.header("content-type") or "").partition(";")[0].strip().lower()
