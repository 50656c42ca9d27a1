"""Ethereum accounts: the forms of an address, and what a signature has to be before anybody looks whose it is."""

import re
from typing import Final

from dagi.access.keccak import keccak256
from dagi.access.names import check_identity
from dagi.errors import Invalid

KIND: Final = "eth"
# The order of secp256k1. Of the two signatures that prove the same, (r, s) and (r, n - s), only the one with the low s is taken (EIP-2).
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}\Z")
_SIGNATURE: Final = re.compile(r"0x((?:[0-9a-fA-F]{2})+)\Z")
MAX_SIGNATURE: Final = 8192
PLAIN_SIGNATURE: Final = 65


def checksummed(address: str) -> str:
    """The address in the spelling of EIP-55, whose capitals are a checksum."""
    digits = address[2:].lower()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(digit.upper() if mark in "89abcdef" else digit for digit, mark in zip(digits, marks, strict=False))


def wallet_identity(address: str, field: str = "address") -> str:
    """The identity of a wallet, `eth:0x` and 40 lower-case digits, from its address in EIP-55's spelling or all in lower case.

    Raises:
        Invalid: it is no address, or its capitals are not its checksum: a digit is wrong then.
    """
    if not _ADDRESS.match(address):
        raise Invalid("A wallet's address is 0x and 40 hexadecimal digits.", field=field)
    lower = address.lower()
    if address not in {lower, checksummed(lower)}:
        raise Invalid("The address's capitals do not fit its digits (EIP-55): one of them is wrong. Copy it again.", field=field)
    return f"{KIND}:{lower}"


def account(text: str, field: str = "user_id") -> str:
    """An account as somebody types it: a wallet's address in either spelling, everything else as it is.

    Raises:
        Invalid: it has not the form of one.
    """
    kind, _, address = text.partition(":")
    return wallet_identity(address, field) if kind == KIND else check_identity(text, field)


def personal_digest(text: str) -> bytes:
    """What a wallet signs when it shows a text (EIP-191, version 0x45)."""
    data = text.encode()
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(data)).encode() + data)


def signature_bytes(text: str, field: str = "signature") -> bytes:
    """A signature as a wallet gives it. Contract wallets' are of any length; a plain one has 65 bytes.

    Raises:
        Invalid: it is not hexadecimal, or too long.
    """
    match = _SIGNATURE.match(text) if len(text) <= 2 + 2 * MAX_SIGNATURE else None
    if match is None:
        raise Invalid(f"A signature is 0x and an even number of hexadecimal digits, of at most {MAX_SIGNATURE} bytes.", field=field)
    return bytes.fromhex(match[1])


def check_plain(signature: bytes, field: str = "signature") -> None:
    """Make sure that the signature of a plain account can be but one: a low s, and v as 27 or 28.

    Raises:
        Invalid: it is not of that form.
    """
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if len(signature) != PLAIN_SIGNATURE or not 0 < r < _ORDER or not 0 < s <= _ORDER // 2 or signature[-1] not in {27, 28}:
        raise Invalid("The signature is not one that a wallet gives: 65 bytes with a low s, and v 27 or 28.", field=field)
