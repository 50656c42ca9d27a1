"""Unified diffs for one text: read leniently, applied strictly.

Models count lines badly, so the numbers of a hunk's head say where to look first, and every line of its context decides.
"""

import re
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

from dagi.errors import Conflict, Invalid

_HEAD: Final = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@")
# Hunks that are not where they say cost a look through the whole text each.
_MOVED: Final = 100
_NOT_HERE: Final = ("Binary files ", "GIT binary patch", "rename from ", "copy from ")
_FIELD: Final = "params.patch"


class Hunk(NamedTuple):
    """One hunk.

    Attributes:
        at: the line (from 0) its old lines are said to begin at; None where it does not say.
        old, new: with their line ends; the last line lacks its own where the text ends without one.
    """

    at: int | None
    old: str
    new: str


def parse_patch(patch: str) -> list[Hunk]:
    """The hunks of a diff of one file. The names of files in it are not looked at.

    Raises:
        Invalid: it is none, is for more than one file, or does more than change lines.
    """
    lines = patch.split("\n")
    if lines[-1] == "":
        lines.pop()
    hunks: list[Hunk] = []
    files = at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("@@"):
            hunk, at = _read_hunk(lines, at, len(hunks) + 1)
            hunks.append(hunk)
            files = max(files, 1)
            continue
        if line.startswith(_NOT_HERE):
            raise Invalid("A patch changes lines of one text file; moving is fs_move, other contents are base64.", field=_FIELD)
        if _begins_a_file(lines, at):
            files += 1
            if files > 1:
                raise Invalid("A patch is for one file: the one that path names.", field=_FIELD)
            if lines[at + 1].startswith("+++ /dev/null"):
                raise Invalid("A patch does not remove a file; fs_delete does.", field=_FIELD)
            at += 1
        at += 1
    if not hunks:
        raise Invalid("The patch has no hunk: it is a unified diff, with heads such as @@ -1,3 +1,4 @@.", field=_FIELD)
    return hunks


def _begins_a_file(lines: Sequence[str], at: int) -> bool:
    return lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ ")


def _read_hunk(lines: Sequence[str], at: int, number: int) -> tuple[Hunk, int]:
    head = _HEAD.match(lines[at])
    # How many lines of each side are still to come, by the head's word.
    old_left, new_left = (int(head[2] or 1), int(head[3] or 1)) if head else (0, 0)
    begins = None if head is None else int(head[1]) - (1 if old_left else 0)
    old: list[str] = []
    new: list[str] = []
    last: tuple[list[str], ...] = ()
    at += 1
    while at < len(lines):
        line = lines[at]
        complete = old_left <= 0 and new_left <= 0
        if line.startswith(("@@", "diff --git ")) or (complete and (line == "-- " or _begins_a_file(lines, at))):
            break
        mark = line[:1] or " "
        if mark == "\\":
            for side in last:
                side[-1] = side[-1].removesuffix("\n")
        elif line == "" and complete and (head is not None or _nothing_follows(lines, at)):
            break
        elif mark in " +-":
            last = {" ": (old, new), "-": (old,), "+": (new,)}[mark]
            for side in last:
                side.append(f"{line[1:]}\n")
            old_left -= mark != "+"
            new_left -= mark != "-"
        elif complete:
            break
        else:
            raise Invalid(f"Hunk {number} has a line that begins with neither space, + nor -.", field=_FIELD, hunk=number)
        at += 1
    return Hunk(max(begins, 0) if begins is not None else None, "".join(old), "".join(new)), at


def _nothing_follows(lines: Sequence[str], at: int) -> bool:
    return all(line == "" or line.startswith("@@") for line in lines[at : at + 2])


def apply_patch(text: str, hunks: Sequence[Hunk]) -> str:
    """The text after the patch.

    Raises:
        Conflict: a hunk's lines are not in the text, or not after the hunk before it.
        Invalid: a hunk fits at more than one place, and not at the one it says; or it has no lines to find its place by.
    """
    starts = array("Q", [0])
    starts.extend(match.end() for match in re.finditer("\n", text))
    if starts[-1] != len(text):
        starts.append(len(text))
    pieces: list[str] = []
    done = shift = moved = 0
    for number, hunk in enumerate(hunks, 1):
        place = _where_it_says(text, starts, hunk, shift, done)
        if place is None:
            moved += 1
            place = _elsewhere(text, hunk, done, number, moved)
            if hunk.at is not None:
                shift = text.count("\n", 0, place) - hunk.at
        end = place + len(hunk.old)
        if (end < len(text) and hunk.new and not hunk.new.endswith("\n")) or (place == len(text) and text and not text.endswith("\n")):
            raise Conflict(f"Hunk {number} puts lines behind one that has no line end.", hunk=number, field=_FIELD)
        pieces += [text[done:place], hunk.new]
        done = end
    return "".join([*pieces, text[done:]])


def _where_it_says(text: str, starts: Sequence[int], hunk: Hunk, shift: int, done: int) -> int | None:
    if hunk.at is None or not 0 <= hunk.at + shift < len(starts):
        return None
    place = starts[hunk.at + shift]
    fits = place >= done and text.startswith(hunk.old, place) and _ends_well(text, hunk, place)
    return place if fits else None


def _elsewhere(text: str, hunk: Hunk, done: int, number: int, moved: int) -> int:
    if not hunk.old:
        raise Invalid(f"Hunk {number} adds lines without any line around them, at a place that is not there.", hunk=number, field=_FIELD)
    if moved > _MOVED:
        raise Conflict("Too many hunks are not where they say: make the diff anew from the file as it is now.", field=_FIELD)
    place = _next(text, hunk, done)
    if place is None:
        raise Conflict(
            f"Hunk {number} does not fit: its lines (context and removed ones) are not in the file as it is now, after the hunk before it.",
            hunk=number,
            field=_FIELD,
        )
    if _next(text, hunk, place + 1) is not None:
        raise Invalid(f"Hunk {number} fits at several places, and not where it says: give more context.", hunk=number, field=_FIELD)
    return place


def _next(text: str, hunk: Hunk, begin: int) -> int | None:
    if not hunk.old.endswith("\n"):
        # Only the end of the text has a line without an end.
        place = len(text) - len(hunk.old)
        return place if place >= begin and text.endswith(hunk.old) and (place == 0 or text[place - 1] == "\n") else None
    if begin == 0 and text.startswith(hunk.old):
        return 0
    place = text.find(f"\n{hunk.old}", max(begin - 1, 0))
    return None if place < 0 else place + 1


def _ends_well(text: str, hunk: Hunk, place: int) -> bool:
    return hunk.old.endswith("\n") or not hunk.old or place + len(hunk.old) == len(text)
