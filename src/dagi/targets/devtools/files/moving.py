"""fs_move and fs_delete."""

import os
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec

from dagi.errors import Conflict, Invalid
from dagi.targets.devtools.files.paths import parse
from dagi.targets.devtools.files.reading import PathParam
from dagi.targets.devtools.files.tree import Tree, told
from dagi.targets.devtools.files.writing import IfMatch, check_etag
from dagi.targets.devtools.tool import InWorkspace
from dagi.targets.devtools.workspaces.kernel import DIRECTORY, rename_to_new
from dagi.targets.devtools.workspaces.walking import DEPTH, walk
from dagi.targets.devtools.workspaces.workspace import Change, Workspace

_PATH: Final = "params.path"
_TO: Final = "params.to"
_LONGEST: Final = 4096


class MoveTakes(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fs_move takes."""

    path: PathParam
    to: Annotated[str, msgspec.Meta(description="Its new path; directories on the way are made.")]
    overwrite: Annotated[bool, msgspec.Meta(description="A file there is replaced; a directory never is.")] = False


class MoveGives(msgspec.Struct, frozen=True, kw_only=True):
    """What fs_move gives."""

    path: str
    to: str
    replaced: bool


class DeleteTakes(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fs_delete takes."""

    path: PathParam
    recursive: Annotated[bool, msgspec.Meta(description="A directory with all that is in it.")] = False
    if_match: IfMatch | None = None


class DeleteGives(msgspec.Struct, frozen=True, kw_only=True):
    """What fs_delete gives: the path, and how many files and directories are gone."""

    path: str
    deleted: int


def move(workspace: Workspace, tree: Tree, wanted: MoveTakes) -> MoveGives:
    """Move or rename. In a thread, while somebody holds the workspace for writing.

    Raises:
        Invalid: of the paths; a directory into itself, or deeper than paths may be.
        Missing: there is nothing to move.
        Conflict: something is at its new path.
        PayloadTooLarge: there would be more directories than there may be.
    """
    source, target = parse(wanted.path, _PATH), parse(wanted.to, _TO)
    if target[: len(source)] == source:
        raise Invalid("Nothing can be moved to where it is, or into itself.", field=_TO)
    with told(_PATH), workspace.changing() as change, tree.directory(source[:-1]) as leaving:
        state = os.stat(source[-1], dir_fd=leaving, follow_symlinks=False)
        is_directory = stat.S_ISDIR(state.st_mode)
        if is_directory:
            _check_depth(tree, source, target)
        with told(_TO):
            change.grow(files=tree.missing(target[:-1]))
            with tree.made(target[:-1]) as entering:
                replaced = _renamed((leaving, source[-1]), (entering, target[-1]), change, overwrite=wanted.overwrite and not is_directory)
                os.fsync(entering)
        os.fsync(leaving)
    return MoveGives(path="/".join(source), to="/".join(target), replaced=replaced)


def _renamed(source: tuple[int, str], target: tuple[int, str], change: Change, *, overwrite: bool) -> bool:
    if overwrite:
        try:
            there = os.stat(target[1], dir_fd=target[0], follow_symlinks=False)
        except FileNotFoundError:
            there = None
        if there is not None:
            if stat.S_ISDIR(there.st_mode):
                raise Conflict("A directory is there, which no file replaces.", field=_TO)
            change.grow(size=-there.st_size if stat.S_ISREG(there.st_mode) else 0, files=-1)
            os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])
            return True
    rename_to_new(source, target)
    return False


def _check_depth(tree: Tree, source: tuple[str, ...], target: tuple[str, ...]) -> None:
    # Otherwise a deep tree, moved into a deep one again and again, would become too deep for whoever walks it.
    deepest = longest = 0
    with tree.directory(source) as fd:
        for found in walk(fd, opener=tree.opener):
            deepest, longest = max(deepest, found.parts), max(longest, len(os.fsencode(found.path)) + 1)
    if len(target) + deepest > DEPTH or len("/".join(target).encode()) + longest > _LONGEST:
        raise Invalid(f"Paths beneath it would have more than {DEPTH} parts or {_LONGEST} bytes.", field=_TO)


def delete(workspace: Workspace, tree: Tree, wanted: DeleteTakes) -> DeleteGives:
    """Remove. In a thread, while somebody holds the workspace for writing.

    Raises:
        Invalid: of the path; an etag for a directory.
        Missing: there is nothing to remove.
        Conflict: it is a directory with something in it, and not all of that is to go.
        PreconditionFailed: the file is not the one that was meant.
    """
    parts = parse(wanted.path, _PATH)
    with told(_PATH), workspace.changing() as change, tree.directory(parts[:-1]) as parent:
        state = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
        if wanted.if_match is not None:
            content = tree.content(parts, _PATH)
            check_etag(None if content is None else content[0], wanted.if_match)
        deleted = 1
        if not stat.S_ISDIR(state.st_mode):
            change.grow(size=-state.st_size if stat.S_ISREG(state.st_mode) else 0, files=-1)
            os.unlink(parts[-1], dir_fd=parent)
        elif not wanted.recursive:
            change.grow(files=-1)
            os.rmdir(parts[-1], dir_fd=parent)
        else:
            deleted = _removed(tree, parts, parent, change)
        os.fsync(parent)
    return DeleteGives(path="/".join(parts), deleted=deleted)


def _removed(tree: Tree, parts: tuple[str, ...], parent: int, change: Change) -> int:
    size = files = 0
    with _directory(parent, parts[-1]) as fd:
        for found in walk(fd, opener=tree.opener):
            size, files = size + found.size, files + 1
    change.grow(size=-size, files=-files - 1)
    # Out of the tree in one step, and then away.
    gone = change.draft / "gone"
    os.rename(parts[-1], gone, src_dir_fd=parent)
    shutil.rmtree(gone, ignore_errors=True)
    return files + 1


@contextmanager
def _directory(parent: int, name: str) -> Generator[int]:
    fd = os.open(name, DIRECTORY, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)
