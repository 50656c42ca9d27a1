"""Markdown to passages that can be quoted on their own. Pure."""

import re
from collections.abc import Iterator

from dagi.knowledge.blocks import Block, Heading, blocks
from dagi.ports.documents import Passage

WANTED = 600
LONGEST = 1200
LONGEST_FENCE = 2400

# Six levels of headings with their separators stay below the 400 characters a title may have.
_HEADING_LIMIT = 60
_SEPARATOR = " › "
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")


def passages(markdown: str) -> Iterator[Passage]:
    """Passages of about 600 characters, one heading's text in each; none is longer than `LONGEST_FENCE`.

    Paragraphs, list items and fenced code stay whole unless they are longer than that. No word is lost: a heading is the title of
    what stands under it, and where nothing does it is a passage itself.
    """
    path: list[Heading] = []
    waiting: list[Block] = []
    untold = False
    for part in blocks(markdown):
        if isinstance(part, Block):
            waiting.append(part)
            continue
        if waiting or untold:
            yield from _section(path, waiting, part)
            waiting = []
        path = [above for above in path if above.level < part.level]
        if part.text:
            path.append(part)
        untold = bool(part.text)
        # A heading too long for a title is told in full in the text.
        if len(part.text) > _HEADING_LIMIT:
            waiting.append(Block(part.text))
    if waiting or untold:
        yield from _section(path, waiting, None)


def _section(path: list[Heading], told: list[Block], following: Heading | None) -> Iterator[Passage]:
    title = _SEPARATOR.join(_short(heading.text) for heading in path)
    if told:
        yield from (Passage(title, text) for text in _packed(told))
    elif following is None or following.level <= path[-1].level:
        # Nothing stands under it, neither text nor a deeper heading that would carry it in its title.
        yield Passage(title, path[-1].text)


def _short(heading: str) -> str:
    return heading if len(heading) <= _HEADING_LIMIT else heading[: _HEADING_LIMIT - 1].rstrip() + "…"


def _packed(told: list[Block]) -> Iterator[str]:
    """Neighbouring blocks together, as long as they fit."""
    text = ""
    for block in told:
        for piece in _bounded(block):
            joint = "\n" if block.tight else "\n\n"
            if text and len(text) + len(joint) + len(piece) > WANTED:
                yield text
                text = piece
            else:
                text = f"{text}{joint}{piece}" if text else piece
    if text:
        yield text


def _bounded(block: Block) -> Iterator[str]:
    """The block itself, or pieces of it when it is too long to be quoted."""
    if len(block.text) <= (LONGEST_FENCE if block.fenced else LONGEST):
        yield block.text
        return
    text = ""
    pieces = block.text.splitlines() if block.fenced else _SENTENCE_END.split(block.text)
    joint = "\n" if block.fenced else " "
    for piece in _cut(pieces):
        if text and len(text) + len(joint) + len(piece) > WANTED:
            yield text
            text = piece
        else:
            text = f"{text}{joint}{piece}" if text else piece
    if text:
        yield text


def _cut(pieces: list[str]) -> Iterator[str]:
    """Pieces no longer than wanted: between words where there are any, else wherever it has to be."""
    for piece in pieces:
        rest = piece
        while len(rest) > WANTED:
            space = rest.rfind(" ", WANTED // 2, WANTED)
            end = space if space > 0 else WANTED
            yield rest[:end]
            rest = rest[end:].lstrip()
        if rest.strip():
            yield rest
