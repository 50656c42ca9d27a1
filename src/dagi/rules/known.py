"""What rules may refer to, and what to say of a word that is none of it."""

import difflib
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

import msgspec


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What rules may refer to.

    Attributes:
        providers: every provider of the configuration.
        configured: those that lack nothing to be asked, their key above all.
        selectable: those a caller may choose.
    """

    providers: AbstractSet[str]
    configured: AbstractSet[str]
    selectable: AbstractSet[str]
    is_entitlement: Callable[[str], bool]


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a complaint about an unknown word: what was probably meant, and what there is."""
    close = difflib.get_close_matches(word, known, n=1)
    meant = f'; did you mean "{close[0]}"?' if close else "."
    return f"{meant} Known: {', '.join(known)}"
