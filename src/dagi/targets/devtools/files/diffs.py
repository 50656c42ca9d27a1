"""What changed in a text, as a unified diff, in bounded time."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

_CONTEXT: Final = 3
# difflib's worst case is cubic; beyond so many lines a change is shown as one block.
_COMPARED: Final = 400
NO_NEWLINE: Final = "\\ No newline at end of file"

Opcode = tuple[str, int, int, int, int]


def lines_of(text: str) -> list[str]:
    """Lines with their ends, which are line feeds and nothing else."""
    *ended, last = text.split("\n")
    lines = [f"{line}\n" for line in ended]
    return [*lines, last] if last else lines


def unified(old: str, new: str, path: str) -> str:
    """The diff; "" where nothing changed."""
    before, after = lines_of(old), lines_of(new)
    shown = [line for group in _groups(before, after) for line in _hunk(before, after, group)]
    return "".join([f"--- a/{path}\n+++ b/{path}\n", *shown]) if shown else ""


def bounded(diff: str, limit: int) -> tuple[str, bool]:
    """As many whole lines of it as the limit (in characters) allows; whether any were left out."""
    if len(diff) <= limit:
        return diff, False
    return diff[: diff.rfind("\n", 0, limit) + 1], True


def _groups(before: Sequence[str], after: Sequence[str]) -> Iterator[Sequence[Opcode]]:
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    tail = next((at for at in range(shorter - head) if before[-1 - at] != after[-1 - at]), shorter - head)
    if head == len(before) == len(after):
        return
    start = max(0, head - _CONTEXT)
    ends = len(before) - tail, len(after) - tail
    margin = min(tail, _CONTEXT)
    if max(ends[0] - head, ends[1] - head) <= _COMPARED:
        matcher = SequenceMatcher(None, before[start : ends[0] + margin], after[start : ends[1] + margin], autojunk=True)
        for group in matcher.get_grouped_opcodes(_CONTEXT):
            yield [(tag, one + start, two + start, three + start, four + start) for tag, one, two, three, four in group]
        return
    yield [
        ("equal", start, head, start, head),
        ("replace", head, ends[0], head, ends[1]),
        ("equal", ends[0], ends[0] + margin, ends[1], ends[1] + margin),
    ]


def _hunk(before: Sequence[str], after: Sequence[str], group: Sequence[Opcode]) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
    for tag, one, two, three, four in group:
        if tag == "equal":
            yield from (_line(" ", line) for line in before[one:two])
            continue
        yield from (_line("-", line) for line in before[one:two])
        yield from (_line("+", line) for line in after[three:four])


def _range(start: int, end: int) -> str:
    # Of an empty range the line before it is named.
    return f"{start + 1 if end > start else start},{end - start}"


def _line(mark: str, line: str) -> str:
    return f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n{NO_NEWLINE}\n"
