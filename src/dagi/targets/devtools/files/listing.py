"""fs_list: what is in a directory."""

from typing import Annotated, Final

import msgspec

from dagi.targets.devtools.files.globs import matcher
from dagi.targets.devtools.files.paths import is_name, parse
from dagi.targets.devtools.files.tree import Tree, told
from dagi.targets.devtools.tool import InWorkspace
from dagi.targets.devtools.workspaces.walking import Kind, walk

_PATH: Final = "params.path"
# Characters of paths in one answer.
_SHOWN: Final = 512 << 10
Globs = Annotated[tuple[str, ...], msgspec.Meta(max_length=50)]


class ListTakes(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fs_list takes."""

    path: Annotated[str, msgspec.Meta(description="A directory; empty for the whole workspace.")] = ""
    depth: Annotated[int, msgspec.Meta(ge=1, le=100, description="1 for the directory alone, 2 with its subdirectories, and so on.")] = 1
    glob: Annotated[str, msgspec.Meta(description="Only paths like this, for example *.py or src/**/test_*.py.")] | None = None
    max_entries: Annotated[int, msgspec.Meta(ge=1, le=5000, description="At most so many.")] = 500


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something in a directory; `size` in bytes, of files."""

    path: str
    kind: Kind
    size: int | None = None


class ListGives(msgspec.Struct, frozen=True, kw_only=True):
    """What fs_list gives.

    Attributes:
        more: there is more than max_entries, or than fits into one answer.
        unnamed: how many have names that no tool takes, and are left out.
    """

    path: str
    entries: list[Entry]
    more: bool
    unnamed: int


def list_files(tree: Tree, wanted: ListTakes) -> ListGives:
    """List. In a thread, while somebody holds the workspace for reading.

    Raises:
        Invalid: of the path or the pattern.
        Missing: there is no such directory.
    """
    parts = parse(wanted.path, _PATH, root=True)
    base = "/".join(parts)
    matches = matcher([wanted.glob], "params.glob") if wanted.glob is not None else None
    entries: list[Entry] = []
    unnamed, shown, more = 0, 0, False
    with told(_PATH), tree.directory(parts) as fd:
        for found in walk(fd, into=lambda found: found.parts < wanted.depth and is_name(found.name), opener=tree.opener):
            if not is_name(found.name):
                unnamed += 1
                continue
            path = f"{base}/{found.path}" if base else found.path
            if matches is not None and not matches(path):
                continue
            shown += len(path)
            if len(entries) == wanted.max_entries or shown > _SHOWN:
                more = True
                break
            entries.append(Entry(path=path, kind=found.kind, size=found.size if found.kind == "file" else None))
    return ListGives(path=base, entries=entries, more=more, unnamed=unnamed)
