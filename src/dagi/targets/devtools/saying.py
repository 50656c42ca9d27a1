"""What a person would say of a tool's result, in a sentence. Pure; everything in a result may have been written by others."""

from collections.abc import Mapping, Sequence
from typing import Final

_LONGEST: Final = 200
_SHOWN: Final = ("outcome", "path", "branch", "commit")
_COUNTED: Final = ("entries", "matches", "commits", "files", "cells", "tests")


def said(tool: str, result: Mapping[str, object]) -> str:
    """One short sentence: what was done, and the few facts of the result that tell how it went."""
    facts = [f"{name} {_line(result[name])}" for name in _SHOWN if isinstance(result.get(name), str) and result[name]]
    facts += [f"{_length(result[name])} {name}" for name in _COUNTED if _length(result.get(name)) is not None]
    totals = result.get("totals")
    if isinstance(totals, Mapping):
        facts += [f"{count} {name}" for name, count in totals.items() if isinstance(count, int) and count]
    return f"{tool}: {', '.join(facts)}." if facts else f"{tool}: done."


def _length(value: object) -> int | None:
    return len(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else None


def _line(value: object) -> str:
    clean = "".join(each if each.isprintable() else " " for each in str(value)[: 2 * _LONGEST])
    return " ".join(clean.split())[:_LONGEST]
