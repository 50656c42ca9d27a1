"""Signed grants: what one service tells another that somebody may do. The other holds the public key alone, and checks everything again.

Form: `dagi1.<payload>.<signature>`, both parts base64url without padding (RFC 4648, 5): the payload is JSON, the signature Ed25519
(RFC 8032) over everything before its dot. There is one way to write a grant, and any other is refused.
"""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from dagi.errors import Unauthenticated
from dagi.message import Grant

Audience = Literal["devtools", "orchestrator"]
LASTS: Final = timedelta(seconds=60)
# By how much the clocks of two machines may differ.
SKEW: Final = timedelta(seconds=5)
_FORM: Final = "dagi1"
_LONGEST: Final = 16_384


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed. `iat` and `exp` are seconds since 1970; `key` is the API key that was spoken by, empty without one."""

    aud: str
    dao: str
    sub: str
    roles: tuple[str, ...]
    may: tuple[str, ...]
    reason: str
    decision_id: str
    policy_version: int
    iat: int
    exp: int
    key: str


class Signed(msgspec.Struct, frozen=True):
    """What a signed grant says: the grant, and the API key its person spoke by; empty without one."""

    grant: Grant
    key_id: str


_decoder: Final = msgspec.json.Decoder(_Payload)


class Signer:
    """Signs grants.

    Args:
        seed: 32 secret bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)

    @property
    def public_key(self) -> bytes:
        """The 32 bytes by which others check."""
        return bytes(self._key.verify_key)

    def sign(self, grant: Grant, audience: Audience, now: datetime, key_id: str = "") -> str:
        """The grant for one service, good for `LASTS`; `key_id` is the API key it came with."""
        issued = int(now.timestamp())
        payload = _Payload(
            aud=audience,
            dao=grant.dao_id,
            sub=grant.user_id,
            roles=grant.roles,
            may=tuple(sorted(grant.entitlements)),
            reason=grant.reason,
            decision_id=grant.decision_id,
            policy_version=grant.policy_version,
            iat=issued,
            exp=issued + int(LASTS.total_seconds()),
            key=key_id,
        )
        signed = f"{_FORM}.{_text(msgspec.json.encode(payload))}"
        return f"{signed}.{_text(self._key.sign(signed.encode()).signature)}"


class Verifier:
    """Checks grants that are meant for one service.

    Args:
        public_key: the signer's, 32 bytes.
    """

    def __init__(self, public_key: bytes, audience: Audience) -> None:
        self._key = VerifyKey(public_key)
        self._audience = audience

    def read(self, text: str, now: datetime) -> Signed:
        """What was signed.

        Raises:
            Unauthenticated: it is none of ours, was changed, is for another service, or is past its time.
        """
        payload = self._payload(text)
        issued, ends = (_time(seconds) for seconds in (payload.iat, payload.exp))
        if payload.aud != self._audience:
            raise _refused("it is meant for another service")
        if not issued - SKEW <= now < ends + SKEW or ends - issued != LASTS:
            raise _refused("it is past its time, or the clocks of the two machines differ")
        grant = Grant(
            dao_id=payload.dao,
            user_id=payload.sub,
            roles=payload.roles,
            entitlements=frozenset(payload.may),
            reason=payload.reason,
            decision_id=payload.decision_id,
            policy_version=payload.policy_version,
        )
        return Signed(grant, payload.key)

    def _payload(self, text: str) -> _Payload:
        parts = text.split(".") if len(text) <= _LONGEST and text.isascii() else []
        if len(parts) != 3 or parts[0] != _FORM:
            raise _refused("it is not of the form of one")
        payload, signature = _bytes(parts[1]), _bytes(parts[2])
        try:
            self._key.verify(f"{parts[0]}.{parts[1]}".encode(), signature)
            return _decoder.decode(payload)
        except (BadSignatureError, ValueError) as error:
            # msgspec's errors are ValueErrors, too.
            raise _refused("its signature is not ours") from error


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Back from base64url; only as `_text` writes it, for its last character holds bits that mean nothing."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise _refused("it is not of the form of one") from error
    if _text(data) != text:
        raise _refused("it is not of the form of one")
    return data


def _time(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise _refused("it is past its time") from error


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"The grant that was sent is refused: {why}.")
