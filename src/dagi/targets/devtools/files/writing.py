"""fs_write: the whole of a file, or changes to it; the file is the old one or the new one at every moment."""

import os
import stat
from base64 import b64decode
from typing import Annotated, Final

import msgspec

from dagi.errors import Conflict, Invalid, Missing, PayloadTooLarge, PreconditionFailed
from dagi.targets.devtools.files.diffs import bounded, unified
from dagi.targets.devtools.files.edits import Edit, apply_edits
from dagi.targets.devtools.files.patches import apply_patch, parse_patch
from dagi.targets.devtools.files.paths import parse
from dagi.targets.devtools.files.reading import PathParam, etag_of, text_of
from dagi.targets.devtools.files.tree import WHOLE, Tree, told, too_large
from dagi.targets.devtools.tool import InWorkspace
from dagi.targets.devtools.workspaces.workspace import Change, Workspace

_PATH: Final = "params.path"
_DIFF: Final = 32 << 10
# What costs time for each of their lines: larger files are not compared, and not changed in parts.
_COMPARED: Final = 1 << 20
_CHANGED: Final = 4 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FORMS: Final = ("content", "base64", "edits", "patch")
IfMatch = Annotated[str, msgspec.Meta(description="Only if the file has this etag; * for any, so it must exist.")]


class WriteTakes(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fs_write takes: a path, and exactly one of content, base64, edits and patch."""

    path: PathParam
    content: Annotated[str, msgspec.Meta(description="The whole file, as text.")] | None = None
    base64: Annotated[str, msgspec.Meta(description="The whole file, as base64.")] | None = None
    edits: Annotated[list[Edit], msgspec.Meta(description="Exact replacements in the file, one after the other.")] | None = None
    patch: Annotated[str, msgspec.Meta(description="A unified diff for this file.")] | None = None
    if_match: IfMatch | None = None
    if_none_match: Annotated[str, msgspec.Meta(pattern=r"^\*$", description="* : only if there is no such file.")] | None = None


class WriteGives(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What fs_write gives.

    Attributes:
        diff: what changed, as a unified diff; empty where nothing did, and for what is no text.
        diff_cut: it was longer than what is shown.
    """

    path: str
    etag: str
    size: int
    created: bool
    diff: str = ""
    diff_cut: bool = False


def write(workspace: Workspace, tree: Tree, wanted: WriteTakes) -> WriteGives:
    """Write. In a thread, while somebody holds the workspace for writing.

    Raises:
        Invalid: of the path; not exactly one form; a form that is wrong.
        Missing: there is no file to change.
        Conflict: edits or patch do not fit the file.
        PreconditionFailed: the file is not the one that was meant.
        PayloadTooLarge: the file, or the workspace, would be larger than it may be.
    """
    _check_forms(wanted)
    parts = parse(wanted.path, _PATH)
    with told(_PATH):
        old = _old(tree, parts)
        before = None if old is None else old[0]
        check_etag(before, wanted.if_match, absent=wanted.if_none_match is not None)
        after = _after(before, wanted)
        if len(after) > WHOLE:
            raise too_large(_PATH)
        if after != before:
            with workspace.changing() as change:
                missing = tree.missing(parts[:-1])
                change.grow(size=len(after) - len(before or b""), files=missing + (before is None))
                _put(tree, parts, after, 0o644 if old is None else stat.S_IMODE(old[1].st_mode) & 0o777, change)
    path = "/".join(parts)
    diff, cut = _shown(before or b"", after, path)
    return WriteGives(path=path, etag=etag_of(after), size=len(after), created=before is None, diff=diff, diff_cut=cut)


def check_etag(data: bytes | None, if_match: str | None, *, absent: bool = False) -> None:
    """Make sure that the file is the one that was meant.

    Raises:
        PreconditionFailed: it is not; tells the etag it has.
    """
    if absent and data is not None:
        raise PreconditionFailed("The file is there already.", etag=etag_of(data), field="params.if_none_match")
    if if_match is None:
        return
    etag = None if data is None else etag_of(data)
    if etag is None or if_match not in {"*", etag}:
        raise PreconditionFailed(
            "The file is not there." if etag is None else "The file has changed since: read it again.", etag=etag, field="params.if_match"
        )


def _check_forms(wanted: WriteTakes) -> None:
    given = [form for form in _FORMS if getattr(wanted, form) is not None]
    if len(given) != 1:
        raise Invalid(f"Give exactly one of {', '.join(_FORMS)}.", field=f"params.{given[1] if given else _FORMS[0]}")


def _old(tree: Tree, parts: tuple[str, ...]) -> tuple[bytes, os.stat_result] | None:
    try:
        return tree.content(parts, _PATH)
    except NotADirectoryError:
        # The sentence for reading would be puzzling here.
        raise Conflict("A part of the path is a file or a link, so no file can be put beneath it.", field=_PATH) from None


def _after(before: bytes | None, wanted: WriteTakes) -> bytes:
    if wanted.content is not None:
        return _encoded(wanted.content, "params.content")
    if wanted.base64 is not None:
        try:
            return b64decode(wanted.base64, validate=True)
        except ValueError:
            raise Invalid("It is no base64.", field="params.base64") from None
    hunks = parse_patch(wanted.patch) if wanted.patch is not None else []
    if before is None and (wanted.edits is not None or any(hunk.old for hunk in hunks)):
        raise Missing("There is no file of that path to be changed; write it with content.", field=_PATH)
    text = text_of(before or b"")
    if text is None:
        raise Invalid("The file is no text, so it cannot be edited; write it with base64.", field=_PATH)
    if before is not None and len(before) > _CHANGED:
        raise PayloadTooLarge(
            f"A file of more than {_CHANGED} bytes is written as a whole, with content.", limit_bytes=_CHANGED, field=_PATH
        )
    if wanted.edits is not None:
        return _encoded(apply_edits(text, wanted.edits, limit=WHOLE), "params.edits")
    return _encoded(apply_patch(text, hunks), "params.patch")


def _encoded(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid("The text has half a character (a lone surrogate), which no file can hold.", field=field) from None


def _shown(before: bytes, after: bytes, path: str) -> tuple[str, bool]:
    if max(len(before), len(after)) > _COMPARED:
        return "", before != after
    old, new = text_of(before), text_of(after)
    return ("", False) if old is None or new is None else bounded(unified(old, new, path), _DIFF)


def _put(tree: Tree, parts: tuple[str, ...], data: bytes, mode: int, change: Change) -> None:
    # Made beside the tree, where nobody sees it half done and nothing of it is left in the tree by a process that dies.
    draft = change.draft / "file"
    fd = os.open(draft, _NEW, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)
    with tree.made(parts[:-1]) as parent:
        os.rename(draft, parts[-1], dst_dir_fd=parent)
        os.fsync(parent)
