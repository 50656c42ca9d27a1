"""Whose a signature is, by eth-keys."""

import asyncio

from dagi.access.keccak import keccak256
from dagi.errors import SwitchedOff


class Recovery:
    """Implements the port Signatures."""

    async def signer(self, digest: bytes, signature: bytes) -> str | None:
        """See the port. Loading the library takes half a second once, and each signature tens of milliseconds, so a thread does both."""
        return await asyncio.to_thread(_signer, digest, signature)


def _signer(digest: bytes, signature: bytes) -> str | None:
    try:
        from eth_keys.datatypes import Signature  # noqa: PLC0415 - an extra, and slow to load
        from eth_keys.exceptions import BadSignature  # noqa: PLC0415
        from eth_utils.exceptions import ValidationError  # noqa: PLC0415
    except ImportError as error:
        raise SwitchedOff(
            "Wallets' signatures cannot be checked here. The operator can install that: pip install dagi-stack[wallets]"
        ) from error
    try:
        key = Signature(signature[:64] + bytes([signature[64] - 27])).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError, ValueError):
        return None
    return "0x" + keccak256(key.to_bytes())[12:].hex()
