"""One YAML file as a tree with marks.

Written for files that may be anything: every limit is checked before the work it bounds, nesting is followed with a stack of our
own, and an alias costs what it stands for. Whatever is wrong ends in `ConfigError`.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

from dagi.config.composing import Composer, Tree
from dagi.config.marks import Mark
from dagi.config.mistakes import line
from dagi.config.scalars import MAX_TEXT
from dagi.errors import ConfigError

# libyaml is some thirty times faster; wheels of PyYAML have it, a build from source may lack it.
Loader = type[yaml.SafeLoader] | type[yaml.CSafeLoader]
LOADERS: tuple[Loader, ...] = (yaml.CSafeLoader, yaml.SafeLoader) if yaml.__with_libyaml__ else (yaml.SafeLoader,)


def read_text(path: Path, shown: str) -> str:
    """The file's text.

    Args:
        path: where it is.
        shown: its name in messages.

    Raises:
        ConfigError: it cannot be read, is too large, or is not text.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_TEXT + 1)
    except FileNotFoundError:
        raise ConfigError(f"{shown}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror or 'unknown reason'}") from None
    if len(raw) > MAX_TEXT:
        raise ConfigError(f"{shown}: is larger than 1 MiB, which no configuration is")
    if b"\0" in raw:
        row = raw.count(b"\n", 0, raw.index(b"\0")) + 1
        raise ConfigError(f"{shown}:{row}: holds a NUL byte; save the file as UTF-8 text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown}:{row}: is not UTF-8 text; save the file as UTF-8") from None


def read_tree(text: str, shown: str, variables: Mapping[str, str], loader: Loader = LOADERS[0]) -> Tree:
    """The text's YAML, with `${…}` filled in from the variables.

    Raises:
        ConfigError: it is no YAML, or beyond a limit. Mistakes that leave the rest readable are in the tree instead.
    """
    composer = Composer(shown, variables)
    try:
        for event in yaml.parse(text, Loader=loader):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(shown) if place is None else Mark(shown, place.line + 1, place.column + 1)
        raise ConfigError(line(mark, "", f"this is not valid YAML: {_sentence(error.problem or error.context)}")) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        # The reader met a character, or an escape, that YAML does not allow; it knows an offset at best.
        raise ConfigError(_bad_character(text, shown)) from None
    return composer.tree()


def _sentence(problem: str | None) -> str:
    """PyYAML's words on one line, with the commonest riddle solved."""
    words = " ".join((problem or "unknown problem").split())[:200]
    if "cannot start any token" in words:
        words += " (indent with spaces, and put text beginning with a special character in quotes)"
    return words


def _bad_character(text: str, shown: str) -> str:
    for row, content in enumerate(text.split("\n"), 1):
        for column, letter in enumerate(content, 1):
            if not letter.isprintable() and letter not in "\t\r":
                return line(Mark(shown, row, column), "", f"the character U+{ord(letter):04X} is not allowed in YAML")
    return line(Mark(shown), "", "holds a character or an escape that is not allowed in YAML")
