"""Ollama's native chat: answers as lines of JSON. Never awaits."""

import msgspec

from dagi.message import Usage
from dagi.ports.target import Delta, End, Event, Passed, Thought, ToolCall, Used
from dagi.targets.models.wire import ANSWER_LIMIT, FRAME_LIMIT, WireError, counted, parsed
from dagi.targets.models.wire.lines import Lines

_BOM = b"\xef\xbb\xbf"
_EMPTY_OBJECT = msgspec.Raw(b"{}")


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = _EMPTY_OBJECT


class _Call(msgspec.Struct):
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    model: str | None = None
    message: _Said | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: str | None = None


_LINE = msgspec.json.Decoder(_Line)


class OllamaDecoder:
    """Decodes an answer, streamed line by line or whole.

    Args:
        provider, model: named in `End`; the model the upstream itself names goes before.
        limit: bytes the whole answer may have; `line_limit`: bytes of one line.
    """

    def __init__(self, provider: str, model: str, *, limit: int = ANSWER_LIMIT, line_limit: int = FRAME_LIMIT) -> None:
        self.done = False
        self.failed: WireError | None = None
        self._provider = provider
        self._model = model
        self._left = limit
        self._limit = limit
        self._line_limit = line_limit
        self._lines = Lines()
        self._first = True
        self._said = False
        self._calls = 0

    def feed(self, data: bytes) -> list[Event]:
        """See `Decoder`."""
        if self.done:
            return []
        if self.failed is not None:
            raise self.failed
        events: list[Event] = []
        lines = self._lines.feed(data[: self._left])
        self._left -= len(data)
        try:
            for line in lines:
                self._take(line, events)
                if self.done:
                    return events
            self._within(self._lines.rest)
        except WireError as error:
            self._fail(error, events)
            return events
        if self._left < 0:
            self._fail(WireError(f"the answer is longer than {self._limit} bytes"), events)
        return events

    def runs(self, data: bytes) -> list[bytes]:
        """See `Decoder`."""
        return [data]

    def passed(self, data: bytes) -> Passed | None:
        """See `Decoder`. Nobody who asks us speaks Ollama's protocol."""
        del data
        return None

    def finish(self) -> list[Event]:
        """See `Decoder`."""
        if self.done:
            return []
        if self.failed is not None:
            raise self.failed
        events: list[Event] = []
        try:
            self._take(self._lines.rest, events)
        except WireError as error:
            self._fail(error, events)
            return events
        if not self.done:
            self._fail(WireError("the answer broke off before its end" if self._said else "the answer holds nothing"), events)
        return events

    def _fail(self, error: WireError, events: list[Event]) -> None:
        self.failed = error
        if not events:
            raise error

    def _within(self, line: bytes) -> None:
        if len(line) > self._line_limit:
            raise WireError(f"a line of the answer is longer than {self._line_limit} bytes")

    def _take(self, line: bytes, events: list[Event]) -> None:
        self._within(line)
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        line = line.strip()
        if not line:
            return
        heard = _parsed(line)
        if heard.error is not None:
            raise WireError(heard.error)
        self._model = heard.model or self._model
        if heard.message is not None:
            self._say(heard.message, events)
        if heard.done:
            self._end(heard, events)

    def _say(self, said: _Said, events: list[Event]) -> None:
        before = len(events)
        if said.thinking:
            events.append(Thought(said.thinking))
        if said.content:
            events.append(Delta(said.content))
        for call in said.tool_calls or ():
            if call.function is not None:
                # Ollama sends each call whole and gives it no id.
                arguments = bytes(call.function.arguments).decode("utf-8", "replace")
                events.append(ToolCall(index=self._calls, name=call.function.name or "", arguments=arguments))
                self._calls += 1
        self._said = self._said or len(events) > before

    def _end(self, line: _Line, events: list[Event]) -> None:
        reason = line.done_reason or "stop"
        if not self._said and reason != "length":
            raise WireError("the answer is empty" if reason == "stop" else f"the model gave no answer: {reason}")
        if line.prompt_eval_count is not None or line.eval_count is not None:
            prompt, completion = counted(line.prompt_eval_count), counted(line.eval_count)
            if prompt or completion:
                events.append(Used(Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)))
        finish = "tool_calls" if self._calls and reason == "stop" else reason
        events.append(End(provider=self._provider, model=self._model, finish_reason=finish))
        self.done = True


def _parsed(line: bytes) -> _Line:
    if line.startswith(b"<"):
        raise WireError("it answered with a web page instead of JSON")
    return parsed(_LINE, line)
