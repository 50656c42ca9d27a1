"""From what the store knows of a person to what the person may do."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from dagi.access.entitlements import ADMINISTRATIVE, DEFAULT_ROLES, TOOL_ENTITLEMENTS
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
    """A person's membership of one DAO. Times are aware UTC; None lasts.

    Attributes:
        expires_at: when the last of the roles ends.
        ending: roles that end before the others, and when.
        trusted_from: before that time nothing administrative is granted through the account that was named.
    """

    roles: tuple[str, ...]
    suspended: bool = False
    expires_at: datetime | None = None
    ending: tuple[tuple[str, datetime], ...] = ()
    trusted_from: datetime | None = None

    def lasting(self, now: datetime) -> tuple[str, ...]:
        """The roles that have not ended."""
        if not self.ending:
            return self.roles
        over = {role for role, until in self.ending if until <= now}
        return tuple([role for role in self.roles if role not in over])


class Standing(msgspec.Struct, frozen=True):
    """What the store knows of one person in one DAO. Both None: no such DAO."""

    dao: DaoStanding | None = None
    membership: Membership | None = None


def decide(sender: Sender, standing: Standing, now: datetime, decision_id: str) -> Grant:
    """Decide what the sender may do. Whatever is unknown denies; roles the DAO does not define grant nothing."""
    dao, membership = standing.dao, standing.membership
    if dao is None:
        return _refused(sender, decision_id, "not_a_member")
    if membership is None:
        if dao.open and not dao.suspended:
            return _granted(sender, decision_id, "guest_of_open_dao", ("guest",), dao)
        return _refused(sender, decision_id, "not_a_member")
    if dao.suspended:
        return _refused(sender, decision_id, "dao_suspended", membership.roles, dao.version)
    if membership.suspended:
        return _refused(sender, decision_id, "suspended", membership.roles, dao.version)
    if membership.expires_at is not None and membership.expires_at <= now:
        return _refused(sender, decision_id, "expired", membership.roles, dao.version)
    grant = _granted(sender, decision_id, "role_grants", membership.lasting(now), dao)
    if membership.trusted_from is not None and membership.trusted_from > now:
        return _on_probation(grant)
    return grant


def _granted(sender: Sender, decision_id: str, reason: str, roles: tuple[str, ...], dao: DaoStanding) -> Grant:
    return Grant(
        dao_id=sender.dao_id,
        user_id=sender.user_id,
        roles=ranked(roles, dao.roles),
        entitlements=entitlements(roles, dao.roles),
        reason=reason,
        decision_id=decision_id,
        policy_version=dao.version,
    )


def _refused(sender: Sender, decision_id: str, reason: str, roles: tuple[str, ...] = (), version: int = 0) -> Grant:
    """A stranger and a DAO that does not exist give equal grants, down to the version."""
    return Grant(dao_id=sender.dao_id, user_id=sender.user_id, roles=roles, reason=reason, decision_id=decision_id, policy_version=version)


def _on_probation(grant: Grant) -> Grant:
    """The grant without what administers the DAO; equal where it grants nothing of the kind."""
    withheld = grant.entitlements & ADMINISTRATIVE
    if not withheld:
        return grant
    return msgspec.structs.replace(grant, entitlements=grant.entitlements - withheld, reason="recently_linked", withheld=withheld)


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
