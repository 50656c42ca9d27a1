"""Ed25519 over time and raw body (https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint)."""

import re
from collections.abc import Callable
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

_SIGNATURE: Final = re.compile(rb"[0-9a-fA-F]{128}\Z")


def authentic(public_key: bytes) -> Callable[[bytes, bytes], bool]:
    """Tells whether a signature, in hexadecimal digits, counts for the bytes signed.

    Args:
        public_key: 32 bytes.
    """
    key = VerifyKey(public_key)

    def counts(signature: bytes, signed: bytes) -> bool:
        if not _SIGNATURE.match(signature):
            return False
        try:
            key.verify(signed, bytes.fromhex(signature.decode("ascii")))
        except BadSignatureError:
            return False
        return True

    return counts
