"""How the faces of administration read a request: bodies of a given form, parameters of the query, times and durations."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec

from dagi.errors import Invalid, UnsupportedMediaType
from dagi.services.face import Request

T = TypeVar("T")
_SHOWN: Final = 40
_FIELDS: Final = 20


def read(kind: type[T], request: Request) -> T:
    """The body as a value of that type.

    Raises:
        Invalid: it is no JSON, or not of the form; names the field and what is allowed.
        UnsupportedMediaType: it is said to be something else.
    """
    media = request.headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if media != b"application/json":
        raise UnsupportedMediaType("Send the body as content-type: application/json.")
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(kind, error) from error
    except RecursionError as error:
        raise Invalid("The JSON is nested too deeply.", field="body") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.", field="body") from error


def _invalid(kind: type, error: msgspec.ValidationError) -> Invalid:
    sentence, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if not field and "field `" in sentence:
        field = sentence.split("`")[1]
    allowed = list(kind.__struct_fields__) if issubclass(kind, msgspec.Struct) else []
    return Invalid(f"{sentence[:200]}.", field=field[:_SHOWN] or "body", allowed=allowed)


def query(request: Request, known: Sequence[str]) -> dict[str, str]:
    """The parameters of the query.

    Raises:
        Invalid: it cannot be read, or one of them is unknown or there twice.
    """
    try:
        pairs = parse_qsl(request.query.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError as error:
        raise Invalid("The query of the address cannot be read.", field="query") from error
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in known or name in values:
            what = "is there twice" if name in values else "is unknown"
            raise Invalid(f"The parameter {name[:_SHOWN]!r} {what}.", field=name[:_SHOWN] or "query", allowed=list(known))
        values[name] = value
    return values


def number(values: Mapping[str, str], name: str, *, usual: int, most: int, least: int = 1) -> int:
    """A whole number of the query.

    Raises:
        Invalid: it is none, or beyond its bounds.
    """
    text = values.get(name)
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or not least <= int(text) <= most:
        raise Invalid(f"{name} is a number from {least} to {most}.", field=name)
    return int(text)


def time(text: str | None, name: str) -> datetime | None:
    """A point in time with its zone, as ISO 8601 writes it; in UTC.

    Raises:
        Invalid: it is none, or says no zone.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Invalid(f"{name} is a time with its zone, for example 2026-12-31T18:00:00Z.", field=name)
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise Invalid(f"{name} lies beyond all time.", field=name) from error


def later(text: str, name: str) -> datetime:
    """The same for a time that has to be named."""
    found = time(text, name)
    if found is None:
        raise Invalid(f"Name {name}.", field=name)
    return found


def read_outcome(text: str | None) -> Literal["done", "denied"] | None:
    """What an audit record tells of.

    Raises:
        Invalid: it is neither.
    """
    if text is None or text == "done" or text == "denied":  # noqa: PLR1714 - type checkers follow this form
        return text
    raise Invalid("outcome is done or denied.", field="outcome", allowed=["done", "denied"])


def checked(values: Mapping[str, str], checks: Mapping[str, Callable[[str, str], str]]) -> dict[str, str]:
    """The values that are there, each as its check has it. Raises what the checks raise."""
    return {name: check(values[name], name) for name, check in checks.items() if name in values}
