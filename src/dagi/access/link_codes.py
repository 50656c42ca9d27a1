"""Link codes: told at one account to prove that another one is the same person's. 130 random bits in letters a person can type.

The letters are Crockford's base 32 (crockford.com/base32.html): no I, L, O or U, so that none is mistaken for a number.
"""

import hashlib
import re
from datetime import timedelta
from typing import Final

from dagi.errors import Invalid

BITS: Final = 130
LIFETIME: Final = timedelta(minutes=10)
# Wrong codes of one account within a lifetime; nobody mistypes more often, and 2^130 codes are not guessed in any number of tries.
WRONG_TRIES: Final = 5
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = BITS // 5
_READ_AS: Final = str.maketrans("OIL", "011")
_CODE: Final = re.compile(rf"[{_LETTERS}]{{{_LENGTH}}}\Z")
_LONGEST: Final = 100


def spelled(number: int) -> str:
    """The 26 letters of a random number below 2^130."""
    return "".join(_LETTERS[number >> (5 * place) & 31] for place in reversed(range(_LENGTH)))


def grouped(letters: str) -> str:
    """The same as it is shown: `XXXXX-XXXXX-XXXXX-XXXXX-XXXXXX`."""
    return "-".join([*(letters[start : start + 5] for start in range(0, 20, 5)), letters[20:]])


def read_code(text: str, field: str = "code") -> str:
    """The letters of a code as somebody typed it: in any case, with or without dashes and spaces, O for 0 and I or L for 1.

    Raises:
        Invalid: it has not the form of a code.
    """
    letters = re.sub(r"[\s-]", "", text).upper().translate(_READ_AS) if len(text) <= _LONGEST else ""
    if not _CODE.match(letters):
        raise Invalid(f"A code has {_LENGTH} letters and digits. Copy it again, whole.", field=field)
    return letters


def digest(secret: str) -> bytes:
    """What is kept of a code or another secret of that strength. A slow hash would protect nothing: it cannot be guessed."""
    return hashlib.sha256(secret.encode()).digest()
