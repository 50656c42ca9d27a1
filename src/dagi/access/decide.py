"""From what the store knows of a person to what the person may do."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from dagi.access.entitlements import DEFAULT_ROLES, TOOL_ENTITLEMENTS
from dagi.access.limits import NO_QUOTA, Quota
from dagi.errors import Invalid, UnknownTool
from dagi.message import Grant, Message, Sender


class DaoStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a DAO.

    Attributes:
        open: strangers are guests.
        version: counts the changes of the DAO, its roles and its members; tells decisions apart in logs.
        roles: role name to entitlements, strongest role first.
        quota: the DAO's own limits.
    """

    name: str = ""
    open: bool = False
    suspended: bool = False
    version: int = 0
    roles: Mapping[str, frozenset[str]] = msgspec.field(default_factory=lambda: DEFAULT_ROLES)
    quota: Quota = NO_QUOTA


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """A person's membership of one DAO. `expires_at` is aware UTC; None lasts."""

    roles: tuple[str, ...]
    suspended: bool = False
    expires_at: datetime | None = None


class Standing(msgspec.Struct, frozen=True):
    """What the store knows of one person in one DAO. Both None: no such DAO."""

    dao: DaoStanding | None = None
    membership: Membership | None = None


def decide(sender: Sender, standing: Standing, now: datetime, decision_id: str) -> Grant:
    """Decide what the sender may do. Whatever is unknown denies; roles the DAO does not define grant nothing."""
    dao, membership = standing.dao, standing.membership
    if dao is None:
        return _grant(sender, decision_id, "not_a_member")
    if membership is None:
        if dao.open and not dao.suspended:
            return _grant(sender, decision_id, "guest_of_open_dao", ("guest",), dao.roles.get("guest", frozenset()))
        return _grant(sender, decision_id, "not_a_member")
    if dao.suspended:
        return _grant(sender, decision_id, "dao_suspended", membership.roles)
    if membership.suspended:
        return _grant(sender, decision_id, "suspended", membership.roles)
    if membership.expires_at is not None and membership.expires_at <= now:
        return _grant(sender, decision_id, "expired", membership.roles)
    return _grant(sender, decision_id, "role_grants", ranked(membership.roles, dao.roles), entitlements(membership.roles, dao.roles))


def _grant(
    sender: Sender,
    decision_id: str,
    reason: str,
    roles: tuple[str, ...] = (),
    entitled: frozenset[str] = frozenset(),
) -> Grant:
    return Grant(
        dao_id=sender.dao_id,
        user_id=sender.user_id,
        roles=roles,
        entitlements=entitled,
        reason=reason,
        decision_id=decision_id,
    )


def entitlements(roles: tuple[str, ...], defined: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Everything the roles together grant."""
    if len(roles) == 1:
        return defined.get(roles[0], frozenset())
    return frozenset().union(*(defined.get(role, frozenset()) for role in roles))


def ranked(roles: tuple[str, ...], defined: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The person's roles in the DAO's order, strongest first."""
    if len(roles) == 1:
        return roles
    order = {role: rank for rank, role in enumerate(defined)}
    return tuple(sorted(roles, key=lambda role: order.get(role, len(order))))


def needed(message: Message) -> str:
    """The entitlement a message needs where its rule does not name one.

    Raises:
        Invalid: mode devtools without a tool, or mode crew without a workflow.
        UnknownTool: the tool does not exist; nothing unknown is allowed.
    """
    if message.mode in {"chat", "embedding"}:
        return "chat.use"
    if message.mode == "crew":
        if not message.workflow:
            raise Invalid("Mode crew needs metadata.workflow.", field="metadata.workflow")
        return f"workflow.run:{message.workflow}"
    if not message.tool:
        raise Invalid("Mode devtools needs metadata.tool.", field="metadata.tool", allowed=sorted(TOOL_ENTITLEMENTS))
    entitlement = TOOL_ENTITLEMENTS.get(message.tool)
    if entitlement is None:
        raise UnknownTool("No developer tool has that name.", tool=message.tool[:64], allowed=sorted(TOOL_ENTITLEMENTS))
    return entitlement
