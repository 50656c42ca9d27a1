"""Markdown as blocks that must stay together: headings, paragraphs, list items, fenced code. Linear in the length of the text."""

import re
from collections.abc import Iterator

import msgspec

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING_MARKS = re.compile(r"[ \t]+#+[ \t]*$")
_ITEM = re.compile(r" {0,3}(?:[-*+]|[0-9]{1,9}[.)])[ \t]")
_OWN_LINE = re.compile(r"\s*[|>*+-]")
_WRAPPED_FROM = 60
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class Heading(msgspec.Struct, frozen=True):
    """A heading; `level` counts from 1."""

    level: int
    text: str


class Block(msgspec.Struct, frozen=True):
    """Text that belongs together. `tight`: it follows the block before it without an empty line, as list items do."""

    text: str
    tight: bool = False
    fenced: bool = False


def blocks(markdown: str) -> Iterator[Heading | Block]:
    """The text's headings and blocks in order. Whatever is not understood is a paragraph, so nothing is lost."""
    lines: list[str] = []
    tight = False
    fence = ""
    # A paragraph's lines that were only wrapped belong together; a quotation in a chat must not break where an editor did.
    wrapped = False
    for line in markdown.splitlines():
        if fence:
            lines.append(line)
            if _closes(line, fence):
                yield Block("\n".join(lines), fenced=True)
                lines, fence = [], ""
            continue
        opening, heading, item = _FENCE.match(line), _HEADING.match(line), _ITEM.match(line)
        if lines and (opening or heading or item or not line.strip()):
            yield Block("\n".join(lines), tight)
            # An empty line between items does not make another list of them, but it is kept as it was written.
            tight = bool(item)
            lines = []
        if opening:
            fence = opening.group(1)
            lines = [line]
        elif heading:
            yield Heading(len(heading.group(1)), _CLOSING_MARKS.sub("", heading.group(2) or "").strip())
            tight = False
        elif line.strip():
            if lines and wrapped and not _OWN_LINE.match(line):
                lines[-1] += " " + line.strip()
            else:
                lines.append(line.rstrip())
            wrapped = len(line) >= _WRAPPED_FROM and not line.endswith(("  ", "\\", "|"))
        else:
            tight = False
    if lines:
        # A fence that is never closed ends with the document.
        yield Block("\n".join(lines), tight, fenced=bool(fence))


def _closes(line: str, fence: str) -> bool:
    mark = line.strip()
    return len(mark) >= len(fence) and mark == fence[0] * len(mark)
