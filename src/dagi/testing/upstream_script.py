"""What a scripted model server is to do, and its bytes."""

import json
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

Protocol = Literal["openai", "ollama"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The script of one answer. All times are seconds.

    Attributes:
        text: what the model says; None echoes the last user turn.
        thinking: what it thinks before.
        status, headers: of the answer; with another status than 200 the body is an error of that protocol, with `error` as message
            and `code` as code.
        body: sent as it is instead of any answer.
        whole: one JSON body even where a stream was asked for.
        finish_reason: how the answer ends; None leaves the ending out and closes the connection.
        latency_s: before the head; gap_s: between tokens.
        hang_after: after so many tokens wait for `Upstream.release` (0 is before the head).
        reset_after: after so many tokens reset the connection (0 is before the head).
        error_after: after so many tokens send an error frame and close.
    """

    text: str | None = None
    thinking: str = ""
    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    whole: bool = False
    finish_reason: str | None = "stop"
    error: str = "the script says so"
    code: str = "scripted"
    model: str = ""
    latency_s: float = 0.0
    gap_s: float = 0.0
    hang_after: int | None = None
    reset_after: int | None = None
    error_after: int | None = None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A request the server got; `body` is the parsed JSON, or an empty mapping."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, object]


def tokens(text: str) -> list[str]:
    """The text in pieces, each word with the space before it."""
    return re.findall(r"\s*\S+\s*$|\s*\S+", text) or [text]


def error_body(protocol: Protocol, answer: Answer) -> bytes:
    """An error as the protocol's servers send it."""
    if protocol == "ollama":
        return _json({"error": answer.error})
    return _json({"error": {"message": answer.error, "type": "error", "code": answer.code}})


def token_frame(protocol: Protocol, model: str, text: str, *, thought: bool = False) -> bytes:
    """One token of a stream."""
    if protocol == "ollama":
        key = "thinking" if thought else "content"
        message = {"role": "assistant", "content": "", key: text}
        return _json({"model": model, "message": message, "done": False}) + b"\n"
    return _chunk(model, [{"index": 0, "delta": {"reasoning_content" if thought else "content": text}, "finish_reason": None}])


def ending(protocol: Protocol, model: str, reason: str, counts: tuple[int, int]) -> bytes:
    """The end of a stream, with its token counts."""
    prompt, completion = counts
    if protocol == "ollama":
        message = {"role": "assistant", "content": ""}
        numbers = {"prompt_eval_count": prompt, "eval_count": completion}
        return _json({"model": model, "message": message, "done": True, "done_reason": reason, **numbers}) + b"\n"
    last = _chunk(model, [{"index": 0, "delta": {}, "finish_reason": reason}])
    return last + _chunk(model, [], usage=_usage(prompt, completion)) + b"data: [DONE]\n\n"


def error_frame(protocol: Protocol, answer: Answer) -> bytes:
    """An error in the middle of a stream."""
    data = error_body(protocol, answer)
    return data + b"\n" if protocol == "ollama" else b"data: " + data + b"\n\n"


def whole_body(protocol: Protocol, model: str, text: str, reason: str | None, counts: tuple[int, int]) -> bytes:
    """An answer in one piece."""
    prompt, completion = counts
    message = {"role": "assistant", "content": text}
    if protocol == "ollama":
        numbers = {"prompt_eval_count": prompt, "eval_count": completion}
        return _json({"model": model, "message": message, "done": True, "done_reason": reason, **numbers})
    choice = {"index": 0, "message": message, "finish_reason": reason}
    answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
    return _json({**answer, "usage": _usage(prompt, completion)})


def model_list(protocol: Protocol, models: tuple[str, ...]) -> bytes:
    """The models the server has."""
    if protocol == "ollama":
        return _json({"models": [{"name": model, "model": model} for model in models]})
    return _json({"object": "list", "data": [{"id": model, "object": "model"} for model in models]})


def _chunk(model: str, choices: list[object], usage: object = None) -> bytes:
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices, "usage": usage}
    return b"data: " + _json(frame) + b"\n\n"


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # Half of a character can be sent as an escape alone.
        return json.dumps(value, separators=(",", ":")).encode()
