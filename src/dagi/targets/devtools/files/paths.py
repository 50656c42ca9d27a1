"""Paths as callers and models write them: hostile text that becomes parts, each the name of something in a directory, or nothing."""

import unicodedata
from typing import Final

from dagi.errors import Invalid
from dagi.targets.devtools.workspaces.names import is_gits
from dagi.targets.devtools.workspaces.walking import DEPTH

_LONGEST_PART: Final = 255
_LONGEST: Final = 4096
# Control characters, surrogates, and separators of lines and paragraphs.
_REFUSED: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
# What turns text about when it is shown, and tags, which show nothing.
_UNSEEN: Final = frozenset({0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xE0000, 0xE0080)})
_OURS: Final = ".dagi"


def parse(path: str, field: str, *, root: bool = False) -> tuple[str, ...]:
    """The parts of a path within a workspace: `src//./a.py` has `src` and `a.py`.

    Args:
        root: the workspace itself ("" or ".") may be meant.

    Raises:
        Invalid: it leads out of the workspace or into git's own directory, or no tool takes such a name.
    """
    if path.startswith("/"):
        raise Invalid("A path begins in the workspace, without a slash.", field=field)
    if len(path) > _LONGEST:
        raise Invalid(f"A path has at most {_LONGEST} bytes.", field=field)
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    for part in parts:
        if (mistake := _mistake(part)) is not None:
            raise Invalid(mistake, field=field)
    if len("/".join(parts).encode()) > _LONGEST:
        raise Invalid(f"A path has at most {_LONGEST} bytes.", field=field)
    if len(parts) > DEPTH:
        raise Invalid(f"A path has at most {DEPTH} parts.", field=field)
    if not parts and not root:
        raise Invalid("A path names something in the workspace, not the workspace itself.", field=field)
    return parts


def is_name(part: str) -> bool:
    """Whether it can be a part of a path."""
    return part not in {"", "."} and _mistake(part) is None


def _mistake(part: str) -> str | None:
    if part == "..":
        return "A path does not leave the workspace: no part of it is `..`."
    odd = next((one for one in part if unicodedata.category(one) in _REFUSED or ord(one) in _UNSEEN), None)
    if odd is not None:
        return f"A path has no control characters and none that change how text is shown; this one has U+{ord(odd):04X}."
    if len(part.encode()) > _LONGEST_PART:
        return f"Each part of a path has at most {_LONGEST_PART} bytes."
    if is_gits(part):
        return "Git's own directory is no place for files; the git tools work with it."
    if part.casefold().startswith(_OURS):
        return f"Names that begin with {_OURS} are the stack's own."
    return None
