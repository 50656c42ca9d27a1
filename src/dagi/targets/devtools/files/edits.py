"""Exact replacements in a text."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from dagi.errors import Conflict, Invalid, PayloadTooLarge

_MOST: Final = 200


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One replacement."""

    old: Annotated[str, msgspec.Meta(min_length=1, description="Text of the file, exactly; long enough to be there once.")]
    new: Annotated[str, msgspec.Meta(description="What takes its place.")]
    all: Annotated[bool, msgspec.Meta(description="Replace it wherever it is.")] = False


def apply_edits(text: str, edits: Sequence[Edit], *, limit: int, field: str = "params.edits") -> str:
    """The text after all edits, one after the other.

    Args:
        limit: the most characters that may come of it.

    Raises:
        Invalid: there is none, there are too many, or one is found more than once.
        Conflict: one is not found.
        PayloadTooLarge: more would come of it than the limit.
    """
    if not 0 < len(edits) <= _MOST:
        raise Invalid(f"There are 1 to {_MOST} edits in one call.", field=field)
    for number, edit in enumerate(edits):
        where = f"{field}[{number}].old"
        count = text.count(edit.old) if edit.old else 0
        if count == 0:
            raise Conflict(f"Edit {number + 1} is not in the file as it is now: read it again, and copy the text exactly.", field=where)
        if count > 1 and not edit.all:
            raise Invalid(f"Edit {number + 1} is in the file {count} times: give more of the text around it, or say all.", field=where)
        if len(text) + count * (len(edit.new) - len(edit.old)) > limit:
            raise PayloadTooLarge(f"The file would be larger than the {limit} bytes that can be written at once.", limit_bytes=limit)
        text = text.replace(edit.old, edit.new)
    return text
