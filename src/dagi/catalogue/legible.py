"""Whether a text shows anything: platforms refuse messages and buttons of which nobody would see a thing."""

import unicodedata
from typing import Final

# Letters by name, but blank: Hangul's fillers, and Braille without a dot.
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
# Controls, formats, halves of characters, separators, and marks that need something to stand on.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Cs", "Mn", "Me", "Zl", "Zp", "Zs"})


def legible(text: str) -> bool:
    """Whether anybody sees anything of it."""
    return any(letter not in _BLANK and unicodedata.category(letter) not in _UNSEEN for letter in text)
