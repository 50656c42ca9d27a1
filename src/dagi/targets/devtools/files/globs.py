"""Patterns of paths: `*` and `?` within a name, `**` across directories, `[abc]`; matched in linear time."""

from collections.abc import Callable, Sequence
from typing import Final

import re2

from dagi.errors import Invalid

_LONGEST: Final = 500


def matcher(patterns: Sequence[str], field: str) -> Callable[[str], bool]:
    """Whether a path matches any of the patterns. One without a slash is meant for names, wherever they are.

    Raises:
        Invalid: a pattern is too long, or none.
    """
    whole: list[str] = []
    for number, pattern in enumerate(patterns):
        if not pattern or len(pattern) > _LONGEST:
            raise Invalid(f"A pattern has 1 to {_LONGEST} characters.", field=f"{field}[{number}]")
        anchored = pattern.removeprefix("/")
        whole.append(_expression(anchored) if "/" in pattern else f"(?:.*/)?{_expression(anchored)}")
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    try:
        found = re2.compile("|".join(f"(?:{one})" for one in whole), options)
    except re2.error:
        raise Invalid("A pattern of paths is not closed, or too large: write for example src/**/*.py.", field=field) from None
    return lambda path: found.fullmatch(path) is not None


def _expression(pattern: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            out.append(".*")
            at += 2
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end]
            negated = inside[:1] in {"!", "^"}
            members = re2.escape(inside[1:] if negated else inside).replace("\\-", "-")
            out.append(f"[{'^/' if negated else ''}{members}]")
            at = end + 1
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[at]) or re2.escape(pattern[at]))
            at += 1
    return "".join(out)
