"""What the text of one YAML scalar means.

The YAML 1.2 core schema, not YAML 1.1: `no` is text, `010` is ten, a date stays text and `1e3` is a number. With 1.1 a rule on
`language: no` would silently compare with false.
"""

import math
import re
from collections.abc import Mapping

import msgspec

from dagi.config.marks import Scalar

MAX_TEXT = 1 << 20
_MAX_NUMBER = 64

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar.

    Raises:
        ValueError: a number too long or too large to mean anything; the message says which.
    """
    if text in _WORDS:
        return _WORDS[text]
    integer, based = _INTEGER.match(text), _BASED.match(text)
    if not (integer or based or _FLOAT.match(text)):
        return text
    if len(text) > _MAX_NUMBER:
        raise ValueError(f"a number of {len(text)} characters is too long; if it is text, put it in quotes")
    if integer:
        return int(text)
    if based:
        return int(text, 0)
    number = float(text)
    if math.isinf(number):
        raise ValueError("the number is too large; if it is text, put it in quotes")
    return number


def unspeakable(text: str) -> str | None:
    """Why a text cannot be a value: it holds something that files, databases and servers disagree about."""
    if "\0" in text:
        return "holds a NUL character"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return "is not valid UTF-8"
    return None


class Filled(msgspec.Struct, frozen=True):
    """A text after `${VAR}` was filled in: the variables it named, and what is wrong with it."""

    text: str
    variables: tuple[str, ...] = ()
    problem: str | None = None


def fill(text: str, variables: Mapping[str, str]) -> Filled:
    """Fill in `${VAR}` and `${VAR:-default}`; `$${` stands for a literal `${`. The default counts for an empty variable too."""
    if "${" not in text:
        return Filled(text)
    pieces: list[str] = []
    names: list[str] = []
    length = position = 0
    for match in _REFERENCE.finditer(text):
        piece, problem = _value(match, variables)
        name = match["name"]
        if name is not None:
            names.append(name)
        pieces += (text[position : match.start()], piece)
        length += len(pieces[-2]) + len(piece)
        position = match.end()
        if length > MAX_TEXT:
            problem = "is too long once its variables are filled in"
        if problem:
            return Filled(text, tuple(names), problem)
    return Filled("".join((*pieces, text[position:])), tuple(names))


def _value(match: re.Match[str], variables: Mapping[str, str]) -> tuple[str, str | None]:
    """What one reference stands for, and what is wrong with it."""
    if match[0] == "$${":
        return "${", None
    name, default = match["name"], match["default"]
    if name is None:
        return "", "has a ${ that is no variable; write ${NAME}, ${NAME:-default}, or $${ for the two characters themselves"
    value = variables.get(name)
    if default is not None and not value:
        return default, None
    if value is None:
        return "", f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
    complaint = unspeakable(value)
    return value, complaint and f"the environment variable {name} {complaint}"
