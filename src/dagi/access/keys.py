"""API keys: their form, and whether one proves its bearer. Form: `dagi_<id>_<secret>`, the secret having 256 random bits."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final

import msgspec

from dagi.access.limits import NO_QUOTA, Quota
from dagi.errors import Invalid

PREFIX: Final = "dagi"


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a key.

    Attributes:
        act_as: it may name the user it speaks for, within its DAO.
        previous_digest, previous_until: the secret before the last rotation, and until when it still counts.
        quota: the key's own limits.
    """

    id: str
    dao_id: str
    role: str
    digest: bytes
    act_as: bool = False
    expires_at: datetime | None = None
    revoked: bool = False
    previous_digest: bytes | None = None
    previous_until: datetime | None = None
    quota: Quota = NO_QUOTA


def check_end(expires_at: datetime | None, now: datetime) -> None:
    """Make sure that a key that is made, or given a new secret, is good for something.

    Raises:
        Invalid: its end is not ahead, or is a time without a zone.
    """
    if expires_at is None:
        return
    if expires_at.tzinfo is None:
        raise Invalid(f"expires_at {expires_at} is a time without a zone.", field="expires_at")
    if expires_at <= now:
        over = f"expires_at {expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC is over already, so the key would open nothing."
        raise Invalid(f"{over} Name a later time, or none.", field="expires_at")


def digest(secret: str) -> bytes:
    """SHA-256 of the secret part. A slow hash would protect nothing: 256 random bits cannot be guessed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def split(key: str) -> tuple[str, str] | None:
    """The id and the secret; None when the text is not of a key's form."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == PREFIX and key_id and secret else None


def proves(record: KeyRecord, secret: str, now: datetime) -> bool:
    """Whether the secret is the record's, and the key still counts. Constant time in the secret."""
    given = digest(secret)
    same = hmac.compare_digest(record.digest, given)
    if record.previous_digest is not None and record.previous_until is not None:
        same |= hmac.compare_digest(record.previous_digest, given) and record.previous_until > now
    return same and not record.revoked and (record.expires_at is None or record.expires_at > now)
