"""What the model of the agent costs: as it counts itself, or estimated where it does not. Pure."""

from collections.abc import Iterable

import msgspec

from dagi.message import Usage
from dagi.ports.target import Delta, Event, Thought, ToolCall, Used


def used(events: Iterable[Event], asked: int) -> Usage:
    """The tokens of one answer; bytes / 4 where it says nothing of them.

    Args:
        asked: estimate of those it was shown.
    """
    told, said = Usage(), list[str]()
    for event in events:
        match event:
            case Used(usage):
                told = usage
            case Delta(text) | Thought(text):
                said.append(text)
            case ToolCall():
                said += (event.name, event.arguments)
            case _:
                pass
    told = Usage(**{name: max(getattr(told, name), 0) for name in Usage.__struct_fields__})
    total = max(told.total_tokens, told.prompt_tokens + told.completion_tokens)
    if total:
        return msgspec.structs.replace(told, total_tokens=total)
    made = sum(len(text.encode("utf-8", "replace")) for text in said) // 4
    return Usage(prompt_tokens=asked, completion_tokens=made, total_tokens=asked + made)


def added(one: Usage, other: Usage) -> Usage:
    """Both together."""
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in Usage.__struct_fields__})
