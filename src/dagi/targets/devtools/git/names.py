"""Names in git that callers give: branches, revisions and paths. What begins with a dash would be an option."""

import re
from collections.abc import Sequence
from typing import Final

from dagi.errors import Invalid

LONGEST: Final = 200
_PART: Final = re.compile(r"(?!-)[\w.+@#-]+\Z")
_REVISION: Final = re.compile(r"(HEAD|[0-9a-f]{4,64}|(?P<name>[^~^]+))((~[0-9]{0,4}|\^[0-9]?){0,10})\Z")
_MOST_PATHS: Final = 100


def check_branch(name: str, field: str = "params.name") -> str:
    """A branch's name; a part of what git-check-ref-format(1) allows.

    Raises:
        Invalid: it is none.
    """
    parts = name.split("/")
    fine = all(_PART.match(part) and not part.startswith(".") and not part.endswith((".", ".lock")) and ".." not in part for part in parts)
    if not fine or len(name.encode()) > LONGEST or name == "HEAD" or "@{" in name or name == "@":
        raise Invalid(
            "A branch's name has letters, digits and . _ + @ # -, in parts between slashes; no part begins with a dash or a dot.",
            field=field,
        )
    return name


def check_revision(text: str, field: str) -> str:
    """What names a commit: a branch, a tag, HEAD or a commit's id, and `~2` or `^` behind it.

    Raises:
        Invalid: it is of no such form.
    """
    found = _REVISION.match(text) if len(text.encode()) <= LONGEST else None
    if found is None:
        raise Invalid("Name a commit by its id, a branch, a tag or HEAD; `~1` behind it is the one before.", field=field)
    if found["name"] is not None:
        check_branch(found["name"], field)
    return text


def check_paths(paths: Sequence[str], field: str = "params.paths") -> Sequence[str]:
    """Paths within the workspace, which git takes as they are.

    Raises:
        Invalid: they are too many, or one cannot be a path there.
    """
    if len(paths) > _MOST_PATHS:
        raise Invalid(f"Name at most {_MOST_PATHS} paths, or a directory of theirs.", field=field)
    for path in paths:
        parts = path.split("/")
        if not path or "\0" in path or path.startswith("/") or ".." in parts or len(path.encode("utf-8", "replace")) > 4096:
            raise Invalid("A path is relative to the workspace and stays in it.", field=field)
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise Invalid("A path is text in Unicode.", field=field) from error
    return paths
