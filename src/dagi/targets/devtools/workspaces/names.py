"""Names that nobody may give to a file, because git or a disk of another kind would take them for git's own directory."""

import re
from typing import Final

# What HFS+ leaves out of names when it compares them; the list is that of git's own check (utf8.c, next_hfs_char).
_IGNORED: Final = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
# NTFS: what follows a colon is a stream of the file; dots and spaces at the end are left out; git~1 is the short form of .git.
_GITS: Final = re.compile(r"(?:\.git|git~[0-9]+)[. ]*(?::.*)?\Z", re.IGNORECASE | re.DOTALL)
_LONGEST: Final = 200


def is_gits(name: str) -> bool:
    """Whether a part of a path is `.git`, or something that a file system may take for it.

    Backslashes separate names on NTFS, so each piece between them counts.
    """
    plain = name.translate(_IGNORED)
    return any(_GITS.match(piece) is not None for piece in plain.split("\\"))


def printable(path: str) -> str:
    """A path of others, fit to be shown: what cannot be printed, or decoded, as an escape."""
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode("ascii") for one in path)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
