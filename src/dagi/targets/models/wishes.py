"""What a caller may ask of a model beside words, and what to say where a server's protocol or its model has no such thing. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import msgspec

from dagi.errors import CannotDo
from dagi.message import Turn
from dagi.targets.models.wire.openai_frames import loose

Test = Callable[[object], bool]


def _kind(value: object) -> object:
    """Its type, or itself; any JSON value, so it may be in no set."""
    return cast("dict[str, object]", value).get("type") if isinstance(value, dict) else value


def _more_than_text(value: object) -> bool:
    return isinstance(value, list) and any(one != "text" for one in cast("list[object]", value))


# Under which names callers ask for it (OpenAI's), and which values really ask for something.
_ASKED: Final[Mapping[str, Test]] = {
    "n": lambda value: isinstance(value, int) and value > 1,
    "logprobs": bool,
    "top_logprobs": bool,
    "logit_bias": bool,
    "tools": bool,
    "tool_choice": lambda value: _kind(value) not in (None, "auto", "none"),
    "parallel_tool_calls": lambda value: value is False,
    "functions": bool,
    "function_call": lambda value: _kind(value) not in (None, "auto", "none"),
    "response_format": lambda value: _kind(value) not in (None, "text"),
    "modalities": _more_than_text,
    "audio": bool,
    "web_search_options": lambda value: value is not None,
}


def refuse(provider: str, wishes: Mapping[str, msgspec.Raw], lacking: frozenset[str], why: str) -> None:
    """Let the caller's wishes pass.

    Args:
        lacking: what cannot be done; names of `_ASKED`.
        why: half a sentence that ends "…: ".

    Raises:
        CannotDo: one of them is asked for.
    """
    for name, wish in wishes.items():
        if name in lacking and _ASKED[name](loose(wish)):
            raise CannotDo(f"{provider} cannot do what {name} asks for: {why}.", provider=provider, field=name)


def refuse_images(provider: str, turns: Sequence[Turn]) -> None:
    """Let a conversation without images pass.

    Raises:
        CannotDo: it has some.
    """
    for turn in turns:
        if turn.images:
            sentence = f"{provider} cannot see images. Take a model that can; an operator marks it with `vision: true`."
            raise CannotDo(sentence, provider=provider, field="messages.content.image_url")


def refuse_parts(provider: str, turns: Sequence[Turn]) -> None:
    """Let a conversation of texts and images pass.

    Raises:
        CannotDo: it has parts of other kinds.
    """
    for turn in turns:
        if turn.kinds:
            sentence = f"{provider} takes texts and images, and not what a part of the type {turn.kinds[0][:40]} holds."
            raise CannotDo(sentence, provider=provider, field=f"messages.content.{turn.kinds[0][:40]}")
