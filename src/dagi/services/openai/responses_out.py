"""An answer's events as those of OpenAI's Responses API, and as its whole response object. Pure.

The order is OpenAI's: an item of the output is begun, told in pieces, and ended before the next one begins.
"""

from collections.abc import Iterator, Mapping
from typing import Final, cast

import msgspec

from dagi.errors import DagiError, ProviderError
from dagi.ports.target import Delta, Event, Thought, ToolCall
from dagi.services.errors import error_body
from dagi.services.openai.response_items import Json
from dagi.services.openai.response_names import names_of
from dagi.services.openai.response_output import Called, Item, Reasoning, Spoken

# What a response repeats of the request, and what stands there where the request says nothing.
_REPEATED: Final[Mapping[str, object]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "user": None,
}
# The same in every response of a server that keeps none.
_FIXED: Final[Mapping[str, object]] = {
    "background": False,
    "previous_response_id": None,
    "service_tier": "default",
    "store": False,
    "top_logprobs": 0,
    "truncation": "disabled",
}
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer ended. `usage` counts as chat completions do."""

    at: int
    finish_reason: str
    usage: Json


class ResponseWriter:
    """Puts one answer together.

    Args:
        identity: names the response, and its items by it.
        at: when it was asked, in seconds.
        asked: the request's fields.
    """

    def __init__(self, identity: str, at: int, asked: Mapping[str, object]) -> None:
        self._id = identity
        self._names = names_of(asked.get("tools"))
        self._number = 0
        self._output: list[Json] = []
        self._open: Item | None = None
        # Items that began before the arguments of the open call were whole: some models tell the pieces of several calls in turns.
        self._waiting: list[Item] = []
        self._ended_calls: set[int | str] = set()
        repeated = {name: default if asked.get(name) is None else asked[name] for name, default in _REPEATED.items()}
        self._base: Json = {
            "id": f"resp_{identity}",
            "object": "response",
            "created_at": at,
            "model": asked.get("model"),
            **repeated,
            **_FIXED,
        }

    def begin(self) -> Iterator[Json]:
        """The events before the answer's first."""
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response=self._response("in_progress"))

    def hear(self, event: Event) -> Iterator[Json]:
        """The events that one of ours becomes; none where it is nothing a caller is told.

        Raises:
            ProviderError: a call of a tool goes on after it was told as complete.
        """
        match event:
            case Thought(text) if text:
                if not isinstance(self._last, Reasoning):
                    yield from self._into(Reasoning(self._next()))
                yield from self._piece(self._last, text)
            case Delta(text) if text:
                if not isinstance(self._last, Spoken):
                    yield from self._into(Spoken(self._next()))
                yield from self._piece(self._last, text)
            case ToolCall():
                yield from self._call(event)
            case _:
                pass

    def end(self, ending: Ending) -> Iterator[Json]:
        """The events after the last one of a complete answer."""
        reason = _INCOMPLETE.get(ending.finish_reason)
        yield from self._close_all("completed" if reason is None else "incomplete")
        response = self._response("completed" if reason is None else "incomplete")
        response["usage"] = _usage(ending.usage)
        if reason is None:
            response["completed_at"] = ending.at
        else:
            response["incomplete_details"] = {"reason": reason}
        yield self._event("response.completed" if reason is None else "response.incomplete", response=response)

    def fail(self, error: DagiError, request_id: str) -> Iterator[Json]:
        """The event after an answer that broke off."""
        response = self._response("failed")
        code = "rate_limit_exceeded" if error.code in {"RATE_LIMITED", "BUDGET_EXCEEDED"} else "server_error"
        response["error"] = {"code": code, "message": error_body(error, request_id)["message"]}
        yield self._event("response.failed", response=response)

    def _event(self, kind: str, **values: object) -> Json:
        number = self._number
        self._number += 1
        return {"type": kind, "sequence_number": number, **values}

    def _response(self, status: str) -> Json:
        return {
            **self._base,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "output": list(self._output),
            "usage": None,
        }

    def _call(self, call: ToolCall) -> Iterator[Json]:
        # Of calls with the same index the latest one: some servers give every call the same, and tell them apart by their ids.
        begun = (item for item in reversed(self._begun) if isinstance(item, Called) and item.goes_on_with(call))
        item = next(begun, None)
        if item is None:
            if (call.id or call.index) in self._ended_calls:
                raise ProviderError("The model went on with a call of a tool that was complete.", provider="")
            item = Called(self._next(), call, self._names)
            yield from self._into(item)
        if call.arguments:
            yield from self._piece(item, call.arguments)

    @property
    def _begun(self) -> list[Item]:
        return self._waiting if self._open is None else [self._open, *self._waiting]

    @property
    def _last(self) -> Item | None:
        return self._waiting[-1] if self._waiting else self._open

    def _next(self) -> str:
        """What names the next item."""
        return f"{self._id}_{len(self._output) + len(self._begun)}"

    def _into(self, item: Item) -> Iterator[Json]:
        if self._waiting or (isinstance(self._open, Called) and not self._open.whole):
            self._waiting.append(item)
            return
        yield from self._close("completed")
        yield from self._tell(item)

    def _tell(self, item: Item) -> Iterator[Json]:
        """Begin the item, and say what was held back of it."""
        held, item.pieces = item.pieces, []
        self._open = item
        yield self._event("response.output_item.added", output_index=self._place, item=item.told("in_progress"))
        for name, values in item.begun():
            yield self._event(name, item_id=item.id, output_index=self._place, **values)
        if held:
            yield from self._piece(item, "".join(held))

    @property
    def _place(self) -> int:
        return len(self._output)

    def _piece(self, item: Item | None, text: str) -> Iterator[Json]:
        if item is None:
            return
        item.pieces.append(text)
        if item is self._open:
            name, values = item.piece(text)
            yield self._event(name, item_id=item.id, output_index=self._place, **values)

    def _close_all(self, status: str) -> Iterator[Json]:
        """Tell what is left to tell.

        Args:
            status: how the last one ended; calls before it that are not whole ended in the same way.
        """
        while self._waiting:
            cut = isinstance(self._open, Called) and bool(self._open.pieces) and not self._open.whole
            yield from self._close(status if cut else "completed")
            yield from self._tell(self._waiting.pop(0))
        yield from self._close(status)

    def _close(self, status: str) -> Iterator[Json]:
        item = self._open
        if item is None:
            return
        if isinstance(item, Called):
            self._ended_calls |= {item.index, item.given_id}
            if not item.pieces:
                # No arguments are an empty object: whoever reads them expects JSON.
                yield from self._piece(item, "{}")
        for name, values in item.ended():
            yield self._event(name, item_id=item.id, output_index=self._place, **values)
        told = item.told(status)
        yield self._event("response.output_item.done", output_index=self._place, item=told)
        self._output.append(told)
        self._open = None


def _usage(counts: Json) -> Json:
    """Counts of chat completions under the names of this protocol."""
    return {
        "input_tokens": counts["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": _detail(counts, "prompt_tokens_details", "cached_tokens"), "cache_write_tokens": 0},
        "output_tokens": counts["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": _detail(counts, "completion_tokens_details", "reasoning_tokens")},
        "total_tokens": counts["total_tokens"],
    }


def _detail(counts: Json, group: str, name: str) -> object:
    details = counts.get(group)
    return cast("Json", details).get(name, 0) if isinstance(details, dict) else 0
