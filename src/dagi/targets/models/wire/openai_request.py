"""OpenAI's chat completions: request bodies, and the caller's own parameters in them. Never awaits."""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from dagi.errors import Invalid
from dagi.message import Turn
from dagi.targets.models.wire.openai_frames import loose

# What the caller may not decide.
_OURS = frozenset({"model", "messages", "stream", "stream_options"})
# Two names of one thing.
TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")
_OPTIONS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = msgspec.Raw(b"null")


class _Turn(msgspec.Struct):
    role: str
    content: str


def caller_options(options: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """The caller's model parameters, each still unparsed.

    Raises:
        Invalid: they are not a JSON object.
    """
    if options is None:
        return {}
    try:
        return _OPTIONS.decode(options)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("The model parameters have to be a JSON object.", field="options") from None


def without(options: msgspec.Raw | None, names: frozenset[str]) -> msgspec.Raw | None:
    """The caller's model parameters less those of these names.

    Raises:
        Invalid: they are not a JSON object.
    """
    if options is None or not names:
        return options
    return msgspec.Raw(msgspec.json.encode({name: value for name, value in caller_options(options).items() if name not in names}))


def encode_request(
    model: str,
    turns: Sequence[Turn],
    *,
    defaults: Mapping[str, object],
    options: msgspec.Raw | None = None,
    stream: bool = True,
    ask_usage: bool = True,
) -> bytes:
    """The body of `POST /chat/completions`.

    Args:
        turns: sent as the caller wrote them, where it wrote them in this form.
        defaults: our own parameters; the caller's `options` go before them, whichever name it gives the token limit, except where they
            say null.
        stream: whether the answer is to come piece by piece.
        ask_usage: ask a stream for its token counts (`stream_options`); a few servers refuse that.

    Raises:
        Invalid: the caller's options are not a JSON object.
    """
    wishes = caller_options(options)
    request: dict[str, object] = {"model": model, "messages": [turn.raw or _Turn(turn.role, turn.text) for turn in turns]}
    request.update({name: value for name, value in defaults.items() if value is not None})
    if wishes:
        _rename_limit(wishes, defaults)
        for name, wish in wishes.items():
            if name not in _OURS and not (name in request and wish == _NULL):
                request[name] = wish
    request["stream"] = stream
    if stream:
        asked = loose(wishes.get("stream_options", _NULL))
        further = cast("dict[str, object]", asked) if isinstance(asked, dict) else {}
        further.pop("include_usage", None)
        if ask_usage:
            further["include_usage"] = True
        if further:
            request["stream_options"] = further
    return msgspec.json.encode(request)


def _rename_limit(wishes: dict[str, msgspec.Raw], defaults: Mapping[str, object]) -> None:
    """Call the caller's token limit what the server calls it."""
    ours = next((name for name in TOKEN_LIMITS if name in defaults), None)
    for name in TOKEN_LIMITS if ours is not None else ():
        if ours is not None and name != ours and name in wishes:
            wish = wishes.pop(name)
            if wishes.get(ours, _NULL) == _NULL:
                wishes[ours] = wish
