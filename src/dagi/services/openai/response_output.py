"""The items of a response's output, and the events by which each of them is told. Pure."""

from typing import Final, Protocol, final

import msgspec

from dagi.ports.target import ToolCall
from dagi.services.openai.response_items import Json
from dagi.services.openai.response_names import Names

# An event's name, and what it says beside the item's id and place.
Named = tuple[str, Json]
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Item(Protocol):
    """One item, while it is told. `pieces` are those it was told in so far."""

    id: str
    pieces: list[str]

    def told(self, status: str) -> Json:
        """The item as far as it is told."""
        ...

    def begun(self) -> list[Named]:
        """What comes before its first piece."""
        ...

    def piece(self, text: str) -> Named:
        """What tells a piece."""
        ...

    def ended(self) -> list[Named]:
        """What comes after its last piece."""
        ...


@final
class Reasoning:
    """What the model thought; told as a summary, the one form that every client shows."""

    def __init__(self, identity: str) -> None:
        self.id = f"rs_{identity}"
        self.pieces: list[str] = []

    def told(self, status: str) -> Json:
        """See `Item`."""
        del status
        return {"id": self.id, "type": "reasoning", "summary": [self._part()] if self.pieces else []}

    def begun(self) -> list[Named]:
        """See `Item`."""
        return [("response.reasoning_summary_part.added", {"summary_index": 0, "part": self._part()})]

    def piece(self, text: str) -> Named:
        """See `Item`."""
        return "response.reasoning_summary_text.delta", {"summary_index": 0, "delta": text}

    def ended(self) -> list[Named]:
        """See `Item`."""
        part = self._part()
        return [
            ("response.reasoning_summary_text.done", {"summary_index": 0, "text": part["text"]}),
            ("response.reasoning_summary_part.done", {"summary_index": 0, "part": part}),
        ]

    def _part(self) -> Json:
        return {"type": "summary_text", "text": "".join(self.pieces)}


@final
class Spoken:
    """What the model said."""

    def __init__(self, identity: str) -> None:
        self.id = f"msg_{identity}"
        self.pieces: list[str] = []

    def told(self, status: str) -> Json:
        """See `Item`."""
        content = [self._part()] if self.pieces else []
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}

    def begun(self) -> list[Named]:
        """See `Item`."""
        return [("response.content_part.added", {"content_index": 0, "part": self._part()})]

    def piece(self, text: str) -> Named:
        """See `Item`."""
        return "response.output_text.delta", {"content_index": 0, "delta": text, "logprobs": []}

    def ended(self) -> list[Named]:
        """See `Item`."""
        part = self._part()
        return [
            ("response.output_text.done", {"content_index": 0, "text": part["text"], "logprobs": []}),
            ("response.content_part.done", {"content_index": 0, "part": part}),
        ]

    def _part(self) -> Json:
        return {"type": "output_text", "text": "".join(self.pieces), "annotations": [], "logprobs": []}


@final
class Called:
    """A tool the model wants called."""

    def __init__(self, identity: str, call: ToolCall, names: Names) -> None:
        self.id = f"fc_{identity}"
        self.pieces: list[str] = []
        self.index = call.index
        self.given_id = call.id
        self._call_id = call.id or f"call_{identity}"
        self._namespace, self._name = names.get(call.name, ("", call.name))

    def goes_on_with(self, call: ToolCall) -> bool:
        """Whether the piece belongs to this call: the same index, and no other id, by which some servers tell calls apart instead."""
        return call.index == self.index and call.id in {"", self.given_id}

    @property
    def whole(self) -> bool:
        """Whether its arguments are an object from end to end, so that no piece of them is to come."""
        try:
            _OBJECT.decode("".join(self.pieces))
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
            return False
        return True

    def told(self, status: str) -> Json:
        """See `Item`."""
        arguments = "".join(self.pieces)
        told: Json = {
            "id": self.id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": arguments,
        }
        return {**told, "namespace": self._namespace} if self._namespace else told

    def begun(self) -> list[Named]:
        """See `Item`."""
        return []

    def piece(self, text: str) -> Named:
        """See `Item`."""
        return "response.function_call_arguments.delta", {"delta": text}

    def ended(self) -> list[Named]:
        """See `Item`."""
        return [("response.function_call_arguments.done", {"name": self._name, "arguments": "".join(self.pieces)})]
