"""Markdown of a model as plain text with styles laid over it: nothing in it can be taken for markup of a platform."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_WEB: Final = re.compile(r"(?:https?://|mailto:)[^\s]+\Z", re.IGNORECASE)
_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")
_INDENTED: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_BULLET: Final = "• "
_RULE: Final = "———"
_INDENT: Final = "   "
_SPANNING: Final = {"strong_open": "bold", "em_open": "italic", "s_open": "strikethrough"}
# A table wider than this is no table on a telephone: its rows become lines.
_WIDEST_TABLE: Final = 48


class Style(msgspec.Struct, frozen=True):
    """How a stretch of text is shown: `bold`, `italic`, `strikethrough`, `code`, `pre`, `blockquote` or `text_link`.

    Attributes:
        url: where a `text_link` leads; http, https or mailto.
        language: of a `pre`, where it was told.
    """

    kind: str
    url: str = ""
    language: str = ""


class Span(msgspec.Struct, frozen=True):
    """A stretch of the text in one style; in characters of the text."""

    start: int
    end: int
    style: Style


class Rich(msgspec.Struct, frozen=True):
    """Text with styles, and where it may best be cut: `blocks` are the places at which a block begins."""

    text: str
    spans: tuple[Span, ...] = ()
    blocks: tuple[int, ...] = ()


def _stars_between_letters(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's own form of a rule
    """`2*3*4` is a product, whatever CommonMark says: a single star between two letters or digits stands for itself."""
    source, at = state.src, state.pos
    if source[at] != "*" or not 0 < at < len(source) - 1 or not (source[at - 1].isalnum() and source[at + 1].isalnum()):
        return False
    if not silent:
        state.pending += "*"
    state.pos += 1
    return True


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("emphasis", "stars_between_letters", _stars_between_letters)
    # What stands in angle brackets is text: a tag a model writes is shown, not followed.
    return parser.disable(["html_block", "html_inline", "entity"])


_PARSER: Final = _parser()


def rich(markdown: str) -> Rich:
    """The Markdown (CommonMark with tables and strikethrough) as text with styles. Whatever is no Markdown is shown as it stands."""
    writer = _Writer()
    writer.blocks_of(_PARSER.parse(markdown))
    return writer.done()


def literal(text: str) -> str:
    """Text as Markdown that shows it as it stands."""
    # Blanks that a line begins with would make it code.
    return _PUNCTUATION.sub(r"\\\g<0>", _INDENTED.sub("", text.strip())).replace("\n", "\\\n")


class _Writer:
    """Collects runs of text with the styles in force."""

    def __init__(self) -> None:
        self._runs: list[tuple[str, tuple[Style, ...]]] = []
        self._size = 0
        self._blocks: list[int] = []
        self._styles: list[Style] = []
        self._lists: list[int | None] = []
        self._lead = ""
        self._gap = ""

    def done(self) -> Rich:
        text = "".join(run for run, _ in self._runs)
        return Rich(text, tuple(sorted(self._spans(), key=lambda span: (span.start, -span.end))), tuple(self._blocks))

    def blocks_of(self, tokens: Sequence[Token]) -> None:
        """Write blocks, in their order."""
        place = 0
        while place < len(tokens):
            token = tokens[place]
            if token.type == "table_open":
                end = next(at for at in range(place, len(tokens)) if tokens[at].type == "table_close")
                self._table(tokens[place:end])
                place = end
            else:
                self._block(token)
            place += 1

    def _block(self, token: Token) -> None:
        kind = token.type
        if kind == "inline":
            self._begin()
            self._inline(token.children or [])
        elif kind in {"fence", "code_block", "hr"}:
            self._begin()
            self._standing(token)
            self._gap = "\n\n"
        elif kind in {"heading_open", "blockquote_open"}:
            self._styles.append(Style("bold" if kind == "heading_open" else "blockquote"))
        elif kind in {"heading_close", "blockquote_close"}:
            self._styles.pop()
            self._gap = "\n\n"
        elif kind == "paragraph_close":
            # A paragraph of a list without blank lines is hidden.
            self._gap = "\n" if token.hidden else "\n\n"
        else:
            self._list(token)

    def _standing(self, token: Token) -> None:
        """A block without anything in it: code, or a line across."""
        if token.type == "hr":
            self._write(_RULE)
            return
        language = (token.info.split() or [""])[0]
        self._write(token.content.rstrip("\n") or " ", Style("pre", language=language[:32]))

    def _list(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_open":
                start = token.attrGet("start")
                self._lists.append(1 if start is None else int(start))
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
                self._gap = "\n" if self._lists else "\n\n"
            case "list_item_open":
                self._item()
            case "list_item_close":
                self._lead = ""
                self._gap = "\n"
            case _:
                pass

    def _item(self) -> None:
        number = self._lists[-1]
        indent = _INDENT * (len(self._lists) - 1)
        self._lead = indent + (_BULLET if number is None else f"{number}. ")
        if number is not None:
            self._lists[-1] = number + 1

    def _begin(self) -> None:
        """A block begins: after the gap the last one left, with a list's mark where one waits."""
        if self._size:
            self._write_plain(self._gap)
        self._gap = "\n\n"
        self._blocks.append(self._size)
        self._write_plain(self._lead)
        self._lead = _INDENT * len(self._lists)

    def _inline(self, children: Sequence[Token]) -> None:
        for child in children:
            kind = child.type
            if kind in _SPANNING:
                self._styles.append(Style(_SPANNING[kind]))
            elif kind == "link_open":
                self._styles.append(_link(str(child.attrGet("href") or "")))
            elif kind.endswith("_close"):
                self._styles.pop()
            elif kind in {"softbreak", "hardbreak"}:
                self._write("\n" + _INDENT * len(self._lists))
            elif kind == "code_inline":
                self._write(child.content, Style("code"))
            elif kind == "image":
                self._write(child.content or "…", _link(str(child.attrGet("src") or "")))
            else:
                self._write(child.content)

    def _table(self, tokens: Sequence[Token]) -> None:
        rows: list[list[str]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_plain(token.children or []))
        widths = [max(len(row[at]) if at < len(row) else 0 for row in rows) for at in range(max(map(len, rows), default=0))]
        self._begin()
        if sum(widths) + 3 * (len(widths) - 1) > _WIDEST_TABLE:
            self._records(rows)
        else:
            lines = [" │ ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
            lines.insert(1, "─┼─".join("─" * width for width in widths))
            self._write("\n".join(lines), Style("pre"))
        self._gap = "\n\n"

    def _records(self, rows: Sequence[Sequence[str]]) -> None:
        """A wide table: each row a point, each cell after the name of its column."""
        for at, row in enumerate(rows[1:]):
            if at:
                self._write("\n")
            self._write(_BULLET)
            told = [(name, cell) for name, cell in zip(rows[0], row, strict=False) if cell]
            for place, (name, cell) in enumerate(told):
                self._write(("; " if place else "") + (f"{name}: " if name else ""))
                self._write(cell)

    def _write(self, text: str, style: Style | None = None) -> None:
        styles = tuple(self._styles) if style is None else (*self._styles, style)
        self._add(text, styles)

    def _write_plain(self, text: str) -> None:
        """What belongs to the layout: a quotation that goes on goes on through it."""
        before = self._runs[-1][1] if self._runs else ()
        self._add(text, tuple(style for style in self._styles if style.kind == "blockquote" and style in before))

    def _add(self, text: str, styles: tuple[Style, ...]) -> None:
        if text:
            self._runs.append((text, styles))
            self._size += len(text)

    def _spans(self) -> Iterator[Span]:
        """Stretches of each style, joined where they touch. In code nothing but the code itself counts, save a quotation around it."""
        open_spans: dict[Style, int] = {}
        at = 0
        for text, styles in self._runs:
            held = _effective(styles)
            for style in [one for one in open_spans if one not in held]:
                yield Span(open_spans.pop(style), at, style)
            for style in held:
                open_spans.setdefault(style, at)
            at += len(text)
        for style, start in open_spans.items():
            yield Span(start, at, style)


def _effective(styles: tuple[Style, ...]) -> tuple[Style, ...]:
    code = [style for style in styles if style.kind in {"code", "pre"}]
    if code:
        # A link would be gone with its text shown as code: the link counts.
        links = [style for style in styles if style.kind == "text_link"]
        inner = links[-1] if links and code[-1].kind == "code" else code[-1]
        quotes = [style for style in styles if style.kind == "blockquote"] if inner.kind != "pre" else []
        return (*quotes[:1], inner)
    seen: dict[str, Style] = {style.kind: style for style in styles if style.kind != "text_link" or style.url}
    return tuple(seen.values())


def _link(url: str) -> Style:
    """A link a person may follow; any other address shows its text alone."""
    return Style("text_link", url=url) if _WEB.match(url) else Style("text_link")


def _plain(children: Sequence[Token]) -> str:
    return "".join(" " if child.type in {"softbreak", "hardbreak"} else child.content for child in children)
