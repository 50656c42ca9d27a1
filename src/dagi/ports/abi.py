"""The part of the contract ABI that is needed here: calls with numbers, addresses, bytes and lists of words; results of numbers.

The encoding is Solidity's (docs.soliditylang.org, "Contract ABI Specification"); tests compare it with eth-abi. Function selectors are
the first four bytes of the Keccak-256 of the function's signature, written down beside the signature.
"""

import re
from collections.abc import Sequence
from typing import Final

from dagi.errors import Invalid

WORD: Final = 32
UINT256_MAX: Final = 2**256 - 1
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}\Z")

Value = int | bytes | Sequence[int]


def address(text: str, field: str = "address") -> int:
    """An address as the number it is encoded as.

    Raises:
        Invalid: it is none.
    """
    if not _ADDRESS.match(text):
        raise Invalid("An address is 0x and 40 hexadecimal digits.", field=field)
    return int(text, 16)


def encoded(selector: str, *values: Value) -> bytes:
    """A call of the function with that selector (eight hexadecimal digits).

    Args:
        values: a number for uint256, address and bytes32; bytes for `bytes`; a list of numbers for an array of such words.
    """
    heads: list[bytes] = []
    tails = b""
    for value in values:
        if isinstance(value, int):
            heads.append(_word(value))
        else:
            heads.append(_word(len(values) * WORD + len(tails)))
            tails += _tail(value)
    return bytes.fromhex(selector) + b"".join(heads) + tails


def _word(number: int) -> bytes:
    return number.to_bytes(WORD, "big")


def _tail(value: bytes | Sequence[int]) -> bytes:
    if isinstance(value, bytes):
        return _word(len(value)) + value + bytes(-len(value) % WORD)
    return _word(len(value)) + b"".join(_word(one) for one in value)


def number(result: bytes) -> int | None:
    """The one uint256 that a function returned; None where it returned anything else, as an address without a contract does."""
    return int.from_bytes(result, "big") if len(result) == WORD else None


def numbers(result: bytes, count: int) -> list[int] | None:
    """The array of `count` uint256 that a function returned; None where it returned anything else."""
    words = [int.from_bytes(result[start : start + WORD], "big") for start in range(0, len(result), WORD)]
    if len(result) != WORD * (count + 2) or words[:2] != [WORD, count]:
        return None
    return words[2:]
