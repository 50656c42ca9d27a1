"""Rich text as Discord takes it: its own Markdown, in which everything that is only text is escaped."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final

from dagi.channels.cutting import parts, utf16
from dagi.channels.rich import Rich, Style, rich

# https://docs.discord.com/developers/resources/message#create-message-jsonform-params: 2000 characters, which in UTF-16 are never fewer;
# the mention of whoever asked, where an answer comes too late for its own place, needs some of them.
CONTENT_UNITS: Final = 1970
# An address longer than that leaves no room for words; those of a link stand alone then.
_LONGEST_ADDRESS: Final = 1000
_MARKS: Final = {"bold": "**", "italic": "*", "strikethrough": "~~"}
# What Discord reads as markup anywhere, and what at the beginning of a line.
_ANYWHERE: Final = re.compile(r"[\\*_~|`<>\[\]]")
_AT_LINE: Final = re.compile(r"^([ \t]*)([#+-])", re.MULTILINE)
_ADDRESS: Final = re.compile(r"https?://[^\s<>\\|`*]+", re.IGNORECASE)
_LOOKS_LIKE_ADDRESS: Final = re.compile(r"\w\.\w{2,}|://|@")
_NOT_IN_ADDRESS: Final = re.compile(r"[\s<>()\\`|]")
_FENCE: Final = "```"
# Parts the two marks that meet here: `**a***b*` would be read otherwise.
_APART: Final = "\u200b"
_QUOTE: Final = "> "


def contents(markdown: str) -> list[str]:
    """A model's Markdown as the contents of messages, in their order; none where it holds nothing to be read."""
    clean = markdown.encode("utf-8", "replace").decode().replace("\0", "")
    return [content for part in parts(rich(clean), CONTENT_UNITS) for content in _fitting(part, CONTENT_UNITS)]


def _fitting(part: Rich, limit: int) -> Iterator[str]:
    """The part in as many contents as its marks make necessary."""
    content = _content(part)
    if utf16(content) <= CONTENT_UNITS or limit <= 1:
        if content:
            yield content
        return
    for smaller in parts(part, limit * 2 // 3):
        yield from _fitting(smaller, limit * 2 // 3)


def _content(part: Rich) -> str:
    quotes = [span for span in part.spans if span.style.kind == "blockquote"]
    spans = [span for span in part.spans if span.style.kind != "blockquote"]
    edges = sorted({0, len(part.text), *(at for span in part.spans for at in (span.start, span.end))})
    pieces: list[tuple[bool, str]] = []
    for start, end in pairwise(edges):
        styles = {span.style.kind: span.style for span in spans if span.start <= start and end <= span.end}
        quoted = any(quote.start <= start and end <= quote.end for quote in quotes)
        pieces.append((quoted, _piece(part.text, start, end, styles)))
    stretches = ((quoted, _joined([piece for _, piece in some])) for quoted, some in groupby(pieces, key=itemgetter(0)))
    return "".join(_QUOTE + text.replace("\n", f"\n{_QUOTE}") if quoted else text for quoted, text in stretches).strip()


def _joined(pieces: Sequence[str]) -> str:
    whole = ""
    for piece in pieces:
        meets = whole[-1:] in {"*", "~"} and piece[:1] in {"*", "~"} and not whole.endswith("\\" + whole[-1:])
        whole += (_APART if meets else "") + piece
    return whole


def _piece(text: str, start: int, end: int, styles: Mapping[str, Style]) -> str:
    """A stretch in one set of styles."""
    words = text[start:end]
    if "pre" in styles:
        language = re.sub(r"[^A-Za-z0-9+#_.-]", "", styles["pre"].language)
        # Nothing within it may end it.
        return f"{_FENCE}{language}\n{words.replace(_FENCE, _APART.join(_FENCE))}\n{_FENCE}"
    lead, core, tail = _trimmed(words)
    if not core:
        return words
    if "code" in styles:
        return f"{lead}{_code(core)}{tail}"
    before = text[: start + len(lead)].rstrip(" \t")
    shown = _escaped(core, first=not before or before.endswith("\n"))
    link = styles.get("text_link")
    if link is not None and link.url:
        shown = _link(core, shown, link.url)
    for kind, mark in _MARKS.items():
        if kind in styles:
            shown = f"{mark}{shown}{mark}"
    return f"{lead}{shown}{tail}"


def _trimmed(words: str) -> tuple[str, str, str]:
    """Blanks outside of the marks: Discord reads no mark before one."""
    core = words.strip()
    if not core:
        return words, "", ""
    at = words.index(core)
    return words[:at], core, words[at + len(core) :]


def _code(words: str) -> str:
    flat = " ".join(words.split("\n"))
    if "`" not in flat:
        return f"`{flat}`"
    # Two around hold single ones; more than one in a row are parted.
    return f"`` {re.sub('`(?=`)', '`' + _APART, flat)} ``"


def _escaped(text: str, *, first: bool) -> str:
    """Text that stands for itself.

    Args:
        first: it begins a line.
    """
    found: list[str] = []
    at = 0
    for address in _ADDRESS.finditer(text):
        # Without a preview, and with its underscores as they are.
        found += [_ANYWHERE.sub(r"\\\g<0>", text[at : address.start()]), f"<{_ends(address[0])}>"]
        at = address.start() + len(_ends(address[0]))
    shown = "".join((*found, _ANYWHERE.sub(r"\\\g<0>", text[at:])))
    head, line, rest = ("", "", shown) if first else shown.partition("\n")
    return head + line + _AT_LINE.sub(r"\1\\\2", rest)


def _ends(address: str) -> str:
    """An address without what ends the sentence around it."""
    return address.rstrip(".,;:!?)'\"")


def _link(text: str, shown: str, url: str) -> str:
    """A link whose words could be taken for another address shows where it leads."""
    address = _NOT_IN_ADDRESS.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), url)
    if len(address) > _LONGEST_ADDRESS:
        return shown
    if text.strip() == url:
        return f"<{address}>"
    return f"{shown} (<{address}>)" if _LOOKS_LIKE_ADDRESS.search(text) else f"[{shown}](<{address}>)"
