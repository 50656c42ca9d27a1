"""What callers send for a tool's parameters: bounded, and of the tool's form or refused with the name of what is wrong. Pure."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final, TypeVar, cast

import msgspec

from dagi.errors import Invalid, PayloadTooLarge

TakesT = TypeVar("TakesT", bound=msgspec.Struct)
# A file of the largest size there may be, in base64, comes within this.
MOST_BYTES: Final = 64 << 20
DEEPEST: Final = 32
MOST_VALUES: Final = 100_000
_SHOWN: Final = 40
_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`\Z")
_NAMED: Final = re.compile(r"(?:unknown|required) field `([^`]*)`")


def read(kind: type[TakesT], params: Mapping[str, object]) -> TakesT:
    """The parameters as the tool takes them; nothing is turned into another type.

    Raises:
        Invalid: one is missing, unknown or wrong; names it as `params.<name>`.
        PayloadTooLarge: they are larger than any tool takes.
    """
    measure(params)
    try:
        return msgspec.convert(params, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _invalid(kind, str(error), params) from error


def _invalid(kind: type[msgspec.Struct], said: str, params: Mapping[str, object]) -> Invalid:
    path = _PATH.search(said)
    sentence = said[: path.start()] if path is not None else said
    within = path[1] if path is not None else ""
    named = _NAMED.search(sentence)
    allowed = [field.encode_name for field in msgspec.structs.fields(kind)]
    if named is not None and not within:
        # The library names one; whoever corrects it wants to hear of all.
        unknown = sorted(str(key)[:_SHOWN] for key in params if key not in allowed)
        if "unknown" in sentence and unknown:
            listed = ", ".join(f'"{key}"' for key in unknown[:_SHOWN])
            return Invalid(f"Unknown parameters: {listed}.", field=f"params.{unknown[0]}", allowed=allowed)
        return Invalid(f"The parameter {named[1][:_SHOWN]!r} is missing.", field=f"params.{named[1][:_SHOWN]}", allowed=allowed)
    field = f"params.{within[: 2 * _SHOWN]}" if within else "params"
    return Invalid(f"{field}: {_lower(sentence)[:200]}.", field=field, allowed=allowed)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def measure(params: Mapping[str, object]) -> None:
    """Make sure that the parameters are no more than anybody needs.

    Raises:
        Invalid: they are nested too deeply, hold too many values, or a text that is none.
        PayloadTooLarge: they are too large.
    """
    waiting: list[tuple[object, int]] = [(params, 0)]
    values = size = 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if depth > DEEPEST or values > MOST_VALUES:
            what = f"nested more than {DEEPEST} deep" if depth > DEEPEST else f"more than {MOST_VALUES} values"
            raise Invalid(f"The parameters are {what}.", field="params")
        if isinstance(value, str):
            size += _size(value)
        elif isinstance(value, Mapping):
            inside = cast("Mapping[object, object]", value)
            waiting += [(each, depth + 1) for pair in inside.items() for each in pair]
        elif isinstance(value, Sequence):
            waiting += [(each, depth + 1) for each in cast("Sequence[object]", value)]
        if size > MOST_BYTES:
            raise PayloadTooLarge(f"The parameters are larger than the {MOST_BYTES} bytes that are taken.", max_bytes=MOST_BYTES)


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise Invalid("A parameter holds half of a surrogate pair, which is no character.", field="params") from error


def digest(params: Mapping[str, object]) -> str:
    """SHA-256 over the parameters as JSON with sorted keys, in hex; empty where they are no JSON."""
    try:
        return sha256(msgspec.json.encode(params, order="deterministic")).hexdigest()
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return ""
