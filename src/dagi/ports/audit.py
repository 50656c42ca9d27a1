"""Audit: what was changed and what was denied, in a chain in which nothing can be changed, left out or moved unnoticed.

A record's hash is SHA-256 over its own fields and the hash of the record before it; who, what and why enter as a digest of their own,
so that a person's data can be removed from a record and the chain still holds.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from dagi.errors import Denied, Whose

Outcome = Literal["done", "denied"]
# As long as the longest entitlement there can be; what is asked for may be longer.
ACTION_MAX: Final = 200
_AS_OTHERS: Final = ("may_not_act_as", "dao_mismatch", "")


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record.

    Attributes:
        dao_id: whose chain it is in; empty for what belongs to no DAO.
        seq: its number in the chain, from 1.
        actor: who did it or was denied it; None, like `subject` and `details`, where that was erased.
        key_id: the API key it came with.
        action: what was done, `<thing>.<done>`, for example `member.added`; of a denial the entitlement that was missing.
        decision_id: of the decision behind it, as logs and error answers name it.
        hash: of this record, in hex.
    """

    dao_id: str
    seq: int
    at: datetime
    action: str
    outcome: Outcome
    decision_id: str
    actor: str | None
    key_id: str | None
    subject: str | None
    details: Mapping[str, object] | None
    hash: str


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which records.

    Attributes:
        dao_id: of one DAO; None for all.
        before: only those with smaller numbers, for reading page by page; needs `dao_id`.
        involving: those an identity did, or was the subject of.
    """

    dao_id: str | None = None
    action: str | None = None
    outcome: Outcome | None = None
    involving: str | None = None
    since: datetime | None = None
    before: int | None = None
    limit: int = 100


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with a chain, at a record's number."""

    dao_id: str
    seq: int
    what: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What verification has found.

    Attributes:
        records: how many were looked at, `erased` of them without their content.
        heads: the number and the hash of every chain's newest record. Kept elsewhere, they prove later that nothing was cut off since.
    """

    chains: int
    records: int
    erased: int
    findings: tuple[Finding, ...]
    heads: Mapping[str, str]


class AuditLog(Protocol):
    """Reads the audit."""

    async def list(self, query: AuditQuery) -> Sequence[AuditRecord]:
        """The newest records that fit, newest first."""
        ...

    async def verify(self, dao_id: str | None = None) -> Verification:
        """Compute every hash again."""
        ...


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody was not allowed something. `request_id` is the first request's where several were denied alike."""

    dao_id: str
    user_id: str
    key_id: str
    entitlement: str
    reason: str
    decision_id: str
    request_id: str

    @classmethod
    def of(cls, denied: Denied, whose: Whose, request_id: str, key_id: str = "") -> "Denial":
        """The denial that an error tells of."""
        own = whose.user_id.removeprefix("key:") if whose.user_id.startswith("key:") else ""
        return cls(
            dao_id=whose.dao_id,
            user_id=whose.user_id,
            key_id=key_id or denied.key_id or own,
            entitlement=str(denied.facts.get("required_entitlement") or "")[:ACTION_MAX],
            reason=str(denied.facts.get("reason") or ""),
            decision_id=str(denied.facts.get("decision_id") or ""),
            request_id=request_id,
        )


def action_of(entitlement: str, reason: str) -> str:
    """What a record of a denial names: the entitlement that was missing; where none was asked for, why it was denied."""
    return entitlement or (reason if reason not in _AS_OTHERS else "speak_for_others")


class Denials(Protocol):
    """Told of every denial."""

    def denied(self, denial: Denial) -> None:
        """Have it written down; does not wait.

        Raises:
            Overloaded: nothing more can be written down now.
        """
        ...
