"""fs_read: a file or a part of it, as text with line numbers or as base64."""

import os
from base64 import b64encode
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec

from dagi.errors import Invalid
from dagi.targets.devtools.files.paths import parse
from dagi.targets.devtools.files.tree import WHOLE, Tree, told, too_large, whole
from dagi.targets.devtools.tool import InWorkspace

_MOST: Final = 1 << 20
_USUAL: Final = 256 << 10
_ETAG: Final = 32
_PATH: Final = "params.path"

PathParam = Annotated[str, msgspec.Meta(description="A path in the workspace, for example src/main.py.")]


class ReadTakes(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fs_read takes."""

    path: PathParam
    first_line: Annotated[int, msgspec.Meta(ge=1, description="The first line wanted; lines count from 1.")] | None = None
    last_line: Annotated[int, msgspec.Meta(ge=1, description="The last line wanted.")] | None = None
    numbered: Annotated[bool, msgspec.Meta(description="Put its number and a tab before each line.")] = False
    offset: Annotated[int, msgspec.Meta(ge=0, le=1 << 62, description="Begin at this byte instead of at a line.")] | None = None
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=_MOST, description="At most so many bytes of the file.")] = _USUAL


class ReadGives(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What fs_read gives.

    Attributes:
        etag: changes with the content; for if_match. Not there for files that are too large to be read as a whole.
        next_line, next_offset: where to go on, if there is more than was wanted or given.
    """

    path: str
    encoding: Literal["utf-8", "base64"]
    content: str
    size: int
    etag: str | None = None
    total_lines: int | None = None
    first_line: int | None = None
    last_line: int | None = None
    next_line: int | None = None
    next_offset: int | None = None


def etag_of(data: bytes) -> str:
    """The tag of a content."""
    return sha256(data).hexdigest()[:_ETAG]


def text_of(data: bytes) -> str | None:
    """The content as text; None where it is none."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def read(tree: Tree, wanted: ReadTakes) -> ReadGives:
    """Read. In a thread, while somebody holds the workspace for reading.

    Raises:
        Invalid: of the path; lines and an offset together, lines beyond the end, or of what is no text.
        Missing: there is no such file.
        PayloadTooLarge: lines of a file that is not read as a whole.
    """
    by_lines = wanted.first_line is not None or wanted.last_line is not None or wanted.numbered
    if by_lines and wanted.offset is not None:
        raise Invalid("A part is named by lines or by an offset, not by both.", field="params.offset")
    path = "/".join(parse(wanted.path, _PATH))
    with told(_PATH), tree.file(path, _PATH) as (fd, state):
        if state.st_size > WHOLE:
            if by_lines:
                raise too_large(_PATH)
            return _far_part(fd, state.st_size, path, wanted)
        data = whole(fd, state.st_size)
    etag = etag_of(data)
    if text_of(data) is None:
        if by_lines:
            raise Invalid("It is no text, so it has no lines; read it by offset.", field="params.first_line")
        start = wanted.offset or 0
        return _bytes(data[start : start + wanted.max_bytes], start, len(data), path, etag)
    total = data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    if wanted.offset is not None:
        part = _whole_characters(data, wanted.offset, wanted.max_bytes)
        given = _bytes(part, wanted.offset, len(data), path, etag)
        return msgspec.structs.replace(given, total_lines=total)
    return _lines(data, total, path, etag, wanted)


def _lines(data: bytes, total: int, path: str, etag: str, wanted: ReadTakes) -> ReadGives:
    first = wanted.first_line or 1
    last = total if wanted.last_line is None else min(wanted.last_line, total)
    if first > max(total, 1) or (wanted.last_line is not None and wanted.last_line < first):
        raise Invalid(
            f"The file has {total} lines; the first one wanted is one of them, and not behind the last one.", field="params.first_line"
        )
    start = _line_start(data, 0, first - 1)
    end = len(data) if last == total else _line_start(data, start, last - first + 1)
    cut = end
    if end - start > wanted.max_bytes:
        cut = data.rfind(b"\n", start, start + wanted.max_bytes) + 1
        if cut <= start:
            cut = start + len(_whole_characters(data, start, wanted.max_bytes))
    part = data[start:cut]
    inside = cut > start and cut < len(data) and data[cut - 1 : cut] != b"\n"
    given = first + part.count(b"\n") - (0 if inside or (part and not part.endswith(b"\n")) else 1)
    return ReadGives(
        path=path,
        encoding="utf-8",
        content=_numbered(part.decode(), first) if wanted.numbered else part.decode(),
        size=len(data),
        etag=etag,
        total_lines=total,
        first_line=first if total else None,
        last_line=given if total else None,
        next_line=given + 1 if cut < len(data) and not inside else None,
        next_offset=cut if cut < len(data) else None,
    )


def _line_start(data: bytes, at: int, lines: int) -> int:
    for _ in range(lines):
        at = data.find(b"\n", at) + 1
        if at == 0:
            return len(data)
    return at


def _numbered(text: str, first: int) -> str:
    lines = text.split("\n")
    ended = lines[-1] == ""
    shown = "\n".join(f"{number:>6}\t{line}" for number, line in enumerate(lines[:-1] if ended else lines, first))
    return f"{shown}\n" if ended and len(lines) > 1 else shown


def _whole_characters(data: bytes, start: int, limit: int) -> bytes:
    # A continuation byte is 10xxxxxx; a character has at most three of them.
    end = min(start + limit, len(data))
    while start < end < len(data) and data[end] & 0xC0 == 0x80:
        end -= 1
    # Less than one character was asked for: it is given whole.
    return data[start:end] if end > start else data[start : start + 4].decode(errors="ignore")[:1].encode()


def _bytes(part: bytes, start: int, size: int, path: str, etag: str | None) -> ReadGives:
    text = text_of(part)
    end = start + len(part)
    return ReadGives(
        path=path,
        encoding="base64" if text is None else "utf-8",
        content=b64encode(part).decode() if text is None else text,
        size=size,
        etag=etag,
        next_offset=end if end < size else None,
    )


def _far_part(fd: int, size: int, path: str, wanted: ReadTakes) -> ReadGives:
    start = wanted.offset or 0
    return _bytes(os.pread(fd, min(wanted.max_bytes, max(0, size - start)), start), start, size, path, None)
