"""Invitations: the form of their codes, and when one still opens a door. Form: `inv_<id>_<secret>`, the secret having 128 random bits."""

import hmac
from datetime import datetime
from typing import Final

from dagi.access.keys import digest

PREFIX: Final = "inv"
MOST_USES: Final = 10_000


def split_code(code: str) -> tuple[str, str] | None:
    """The id and the secret; None when the text is not of a code's form."""
    prefix, _, rest = code.strip().partition("_")
    invitation_id, _, secret = rest.partition("_")
    return (invitation_id, secret) if prefix == PREFIX and invitation_id and secret else None


def is_its_secret(stored: bytes, secret: str) -> bool:
    """Whether the secret is the stored one's. Constant time in the secret."""
    return hmac.compare_digest(stored, digest(secret))


def why_over(*, uses_left: int, expires_at: datetime, revoked: bool, now: datetime) -> str | None:
    """Why an invitation opens nothing any more; None when it does."""
    if revoked:
        return "was withdrawn"
    if expires_at <= now:
        return "is past its time"
    return None if uses_left > 0 else "has been used up"
