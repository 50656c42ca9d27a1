"""The commonest whole answer of OpenAI's chat completions, one text and nothing else, decoded in one go. Never awaits.

Whatever is not exactly that is left to the lenient decoder, which gives the same events for what is (a test holds it).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dagi.message import Usage
from dagi.ports.target import Delta, End, Event, Used

_Nothing = None | UnsetType
_Text = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count = 0
    prompt_cache_hit_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    def counts(self) -> Usage:
        prompt, completion, details = self.prompt_tokens, self.completion_tokens, self.prompt_tokens_details
        cached = (details.cached_tokens if details is not None else None) or self.prompt_cache_hit_tokens or 0
        thought = self.completion_tokens_details
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=self.total_tokens or prompt + completion,
            cached_tokens=min(cached, prompt),
            reasoning_tokens=0 if thought is None else min(thought.reasoning_tokens or 0, completion),
        )


class _Message(msgspec.Struct):
    content: _Text
    refusal: _Nothing = UNSET
    reasoning: _Nothing = UNSET
    reasoning_content: _Nothing = UNSET
    tool_calls: _Nothing = UNSET


class _Choice(msgspec.Struct):
    message: _Message
    index: Literal[0] = 0
    finish_reason: _Text | None = None


class _Answer(msgspec.Struct):
    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    model: _Text
    object: Literal["chat.completion"] | UnsetType = UNSET
    usage: _Usage | None = None
    error: _Nothing = UNSET


_DECODER = msgspec.json.Decoder(_Answer)


def decode_plain(data: bytes, provider: str) -> list[Event] | None:
    """The events of the answer; None where it is anything but a plain one."""
    try:
        answer = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    choice = answer.choices[0]
    end = End(provider=provider, model=answer.model, finish_reason=choice.finish_reason or "stop", raw=data)
    if answer.usage is None:
        return [Delta(choice.message.content), end]
    usage = answer.usage.counts()
    # A count of nothing is no plain one.
    return [Delta(choice.message.content), Used(usage), end] if usage.total_tokens else None
