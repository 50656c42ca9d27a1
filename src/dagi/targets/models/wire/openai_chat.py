"""OpenAI's chat completions: streams and whole answers. Never awaits."""

from typing import cast

import msgspec

from dagi.message import Usage
from dagi.ports.target import Delta, End, Event, Other, Passed, Thought, Used
from dagi.targets.models.wire import ANSWER_LIMIT, FRAME_LIMIT, WireError
from dagi.targets.models.wire.openai_calls import Numbering
from dagi.targets.models.wire.openai_frames import Body, Said, body, fault, holds_more, loose, parted, summed, unended, usage
from dagi.targets.models.wire.openai_passing import passable, runs, text_of
from dagi.targets.models.wire.openai_plain import decode_plain
from dagi.targets.models.wire.sse import Frame, SseDecoder


class ChatDecoder:
    """Decodes a streamed answer.

    Args:
        provider, model: named in `End`; the model the upstream itself names goes before.
        limit: bytes the whole stream may have; `frame_limit`: bytes of one frame.
    """

    def __init__(self, provider: str, model: str, *, limit: int = ANSWER_LIMIT, frame_limit: int = FRAME_LIMIT) -> None:
        self.done = False
        self.failed: WireError | None = None
        self._answer = _Answer(provider, model)
        self._left = limit
        self._limit = limit
        self._frames = SseDecoder(frame_limit)
        self._begun = False

    def feed(self, data: bytes) -> list[Event]:
        """See `Decoder`."""
        if self.done:
            return []
        if self.failed is not None:
            raise self.failed
        part = data[: self._left]
        self._left -= len(data)
        if not self._begun:
            self._look(part)
        frames = self._frames.feed(part) if self.failed is None else []
        return self._decoded(frames, over=self._left < 0)

    def runs(self, data: bytes) -> list[bytes]:
        """See `Decoder`."""
        return runs(data)

    def passed(self, data: bytes) -> Passed | None:
        """See `Decoder`."""
        ready = self._answer.said and not self.done and self.failed is None and self._frames.idle
        if not ready or len(data) > self._left or not passable(data):
            return None
        self._left -= len(data)
        return Passed(data, text_of)

    def finish(self) -> list[Event]:
        """See `Decoder`."""
        if self.done:
            return []
        if self.failed is not None:
            raise self.failed
        events = self._decoded(self._frames.finish())
        if not self.done and self.failed is None:
            try:
                events.extend(self._answer.closed())
                self.done = True
            except WireError as error:
                self._fail(error, events)
        return events

    def _look(self, data: bytes) -> None:
        start = data.lstrip(b" \t\r\n")[:1]
        self._begun = bool(start)
        if start == b"<":
            self.failed = WireError("it answered with a web page instead of an event stream")

    def _decoded(self, frames: list[Frame], *, over: bool = False) -> list[Event]:
        events: list[Event] = []
        try:
            for frame in frames:
                data = frame.data.strip()
                if data == b"[DONE]":
                    events.extend(self._answer.closed())
                    self.done = True
                    return events
                if data:
                    self._answer.hear(frame, events)
        except WireError as error:
            self._fail(error, events)
            return events
        problem = self.failed or self._frames.failed
        if problem is None and over:
            problem = WireError(f"the answer is longer than {self._limit} bytes")
        if problem is not None:
            self._fail(problem, events)
        return events

    def _fail(self, error: WireError, events: list[Event]) -> None:
        self.failed = error
        if not events:
            raise error


class _Answer:
    """What has been heard of one answer."""

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model
        self._named = False
        self._finish: str | None = None
        self._finish_raw: bytes | None = None
        self._usage: Usage | None = None
        self._usage_raw: bytes | None = None
        self.said = False
        self._numbering = Numbering()
        # Beginnings of other choices, kept until something is said: they are no answer yet.
        self._held: list[Event] = []

    def hear(self, frame: Frame, events: list[Event]) -> None:
        """Take one frame of a stream."""
        if frame.event == b"error" and not frame.data.lstrip().startswith(b"{"):
            raise WireError(frame.data.decode("utf-8", "replace"))
        chunk = body(frame.data)
        problem = chunk.fault()
        if problem is None and frame.event == b"error":
            problem = fault(loose(msgspec.Raw(frame.data)))
        if problem is not None:
            raise problem
        # Data of several lines is not what was on the wire, so it cannot be passed on as it is.
        if not chunk.crowded:
            self._part(chunk, frame.data, None if b"\n" in frame.data else frame.data, events)
            return
        for part in parted(frame.data):
            self._part(body(part), part, part, events)

    def _part(self, chunk: Body, data: bytes, raw: bytes | None, events: list[Event]) -> None:
        """Take a frame that holds one choice, or the counts, or both of them for the first choice."""
        if self._take(chunk, raw if not chunk.choices else None):
            # The counts are told after the ending, by themselves.
            raw = None if chunk.choices else raw
        choice = chunk.choice()
        if choice is None:
            if chunk.choices and raw is not None:
                self._pass(chunk, raw, events)
            return
        before, ends = len(events), choice.finish_reason is not None
        said = choice.delta or choice.message
        if said is not None:
            self._say(said, events, unended(data) if ends and choice.likely else None if ends else raw)
        # Some servers write an empty one into every frame.
        if choice.finish_reason:
            self._finish = choice.finish_reason
            self._finish_raw = raw if len(events) == before else None
            self.said = self.said or holds_more(data)
        elif raw is not None and len(events) == before and (holds_more(data) or (self.said and choice.likely)):
            self._pass(None, raw, events)

    def _pass(self, chunk: Body | None, raw: bytes, events: list[Event]) -> None:
        """Take a frame that can only be passed on: another choice, or something without a name here."""
        if not self.said and chunk is not None and not any(choice.says for choice in chunk.choices or ()):
            self._held.append(Other(raw))
            return
        self._begin(events)
        events.append(Other(raw))

    def _begin(self, events: list[Event]) -> None:
        self.said = True
        if self._held:
            events.extend(self._held)
            self._held = []

    def _take(self, chunk: Body, raw: bytes | None) -> bool:
        """Take the model's name and the counts; whether there were counts."""
        if not self._named:
            model = loose(chunk.model)
            if isinstance(model, str) and model:
                self._model, self._named = model, True
        counts = usage(chunk.usage)
        if counts is not None:
            self._usage, self._usage_raw = counts, raw if summed(chunk.usage) else None
        return counts is not None

    def _say(self, said: Said, events: list[Event], raw: bytes | None) -> None:
        pieces: list[Event] = []
        if thought := said.thought():
            pieces.append(Thought(thought))
        if text := said.text():
            pieces.append(Delta(text))
        regular = True
        if said.tool_calls:
            calls, regular = said.calls(self._numbering)
            pieces.extend(calls)
        if not pieces:
            return
        self._begin(events)
        if raw is not None and len(pieces) == 1 and regular and not isinstance(said.content, list):
            # The frame holds this one event and nothing else, so its own bytes can be passed on.
            pieces[0] = msgspec.structs.replace(cast("Delta", pieces[0]), raw=raw)
        events.extend(pieces)

    def closed(self) -> list[Event]:
        """The events that end the answer."""
        if self._finish is None:
            raise WireError("the answer broke off before its end" if self.said else "the answer holds nothing")
        if not self.said and self._finish not in {"length", "content_filter"}:
            raise WireError("the answer is empty")
        ending: list[Event] = []
        if self._usage is not None:
            ending.append(Used(self._usage, raw=self._usage_raw))
        ending.append(End(provider=self._provider, model=self._model, finish_reason=self._finish, raw=self._finish_raw))
        return ending

    def whole(self, data: bytes) -> list[Event]:
        """Take an answer that came in one piece."""
        answer = body(data)
        problem = answer.fault()
        if problem is not None:
            raise problem
        choice = answer.choice()
        if choice is None:
            raise WireError("the answer has no choices")
        said = choice.message or choice.delta
        events: list[Event] = []
        self._take(answer, None)
        if said is not None:
            self._say(said, events, None)
        self._finish, self._finish_raw = choice.finish_reason or "stop", data
        if not events and holds_more(data):
            self._pass(None, data, events)
        return [*events, *self.closed()]


def decode_answer(data: bytes, provider: str, model: str) -> list[Event]:
    """The events of an answer that was sent as one JSON completion.

    Raises:
        WireError: it is not one, it is empty, or it says that it failed.
    """
    plain = decode_plain(data, provider)
    if plain is not None:
        return plain
    if data.lstrip()[:1] == b"<":
        raise WireError("it answered with a web page instead of JSON")
    return decode_lenient(data, provider, model)


def decode_lenient(data: bytes, provider: str, model: str) -> list[Event]:
    """The same for an answer of any form. Raises WireError."""
    return _Answer(provider, model).whole(data)
