"""Signatures: whose a wallet's signature is."""

from typing import Protocol


class Signatures(Protocol):
    """Finds out who has signed. Takes tens of milliseconds, away from the event loop."""

    async def signer(self, digest: bytes, signature: bytes) -> str | None:
        """The address whose key has signed the digest, `0x` and 40 lower-case digits; None where no key has.

        Args:
            digest: 32 bytes.
            signature: 65 bytes: r, s, and v as 27 or 28.

        Raises:
            SwitchedOff: what this needs is not installed.
        """
        ...
