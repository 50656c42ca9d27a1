"""A call of a tool, answered as a whole or as server-sent events while the tool works."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from dagi.errors import DagiError
from dagi.ports.devtools import Hear
from dagi.services.errors import encode, error_body
from dagi.services.face import EVENT_STREAM, Answer, Line

# A stream that says nothing for longer is taken for dead by what may stand in between.
SILENCE_S: Final = 10.0
_STILL: Final = b": still at work\n\n"

Work = Callable[[Hear], Awaitable[Mapping[str, object]]]


def unheard(_event: Mapping[str, object]) -> None:
    """Nobody listens."""


async def whole(work: Work, told: Mapping[str, object]) -> Answer:
    """The result in one piece; `told` stands beside it."""
    return Answer(body=encode({"status": "success", **told, "result": await work(unheard)}))


def streamed(work: Work, told: Mapping[str, object], request_id: str) -> Answer:
    """The same with what happens before it. A refusal before anything has happened, and before `SILENCE_S` are over, still is an HTTP
    status and not an event; a defect of ours after that cuts the stream off.
    """

    async def live(line: Line) -> None:
        speaking = _Speaking(line)
        try:
            result = await _kept_awake(work(speaking.hear), speaking, line)
            last: Mapping[str, object] = {"status": "success", **told, "result": result, "type": "end"}
        except DagiError as error:
            if not line.begun:
                raise
            last = {**error_body(error, request_id), "type": "error"}
        speaking.begin()
        line.write(_frame(last))

    return Answer(live=live)


async def _kept_awake(work: Awaitable[Mapping[str, object]], speaking: "_Speaking", line: Line) -> Mapping[str, object]:
    """Wait for the work, and let the caller see now and then that somebody is there: silence means that nobody is."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=SILENCE_S))[0]:
            speaking.begin()
            line.write(_STILL)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, DagiError):
                await task


class _Speaking:
    """Says what happens as it happens."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def hear(self, event: Mapping[str, object]) -> None:
        """One more thing. To a caller who takes nothing it is not said: what came of it all is in the result."""
        self.begin()
        if not self._line.full:
            self._line.write(_frame({**event, "type": "progress"}))

    def begin(self) -> None:
        """Send the head, once."""
        if not self._line.begun:
            self._line.begin(EVENT_STREAM)


def _frame(event: Mapping[str, object]) -> bytes:
    return b"data: " + encode(event) + b"\n\n"
