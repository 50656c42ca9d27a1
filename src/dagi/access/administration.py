"""What bounds those who give rights to others: nobody grants what they do not hold, and a DAO never loses its last admin."""

from collections.abc import Iterable, Mapping

import msgspec

from dagi.access.decide import entitlements
from dagi.errors import Denied
from dagi.message import Grant, covers


def lacking(held: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """What is wanted and not held, sorted."""
    have = frozenset(held)
    return sorted(entitlement for entitlement in set(wanted) if not covers(have, entitlement))


def common(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """What both sets allow, for example a key's own rights and those of the person it speaks for."""
    return frozenset({name for name in one if covers(other, name)} | {name for name in other if covers(one, name)})


def through_key(person: Grant, key: Grant) -> Grant:
    """What somebody may do by a key that speaks for it: what both may. Denials tell which of the two lacks something."""
    both = common(person.entitlements, key.entitlements)
    return msgspec.structs.replace(person, entitlements=both, beyond_key=person.entitlements - both)


def require_held(grant: Grant, wanted: Iterable[str]) -> None:
    """Let somebody give, take or change rights only within the rights it has itself.

    Raises:
        Denied: something of it is not held; names what.
    """
    missing = lacking(grant.entitlements, wanted)
    if missing:
        own = lacking(grant.beyond_key, missing)
        sentence = f"Nobody gives or takes rights they do not hold: {', '.join(own)}. Ask somebody who holds them."
        if not own:
            sentence = f"You hold what this gives or takes, but the key that speaks for you does not: {', '.join(missing)}."
        raise Denied(
            sentence,
            user_role=grant.roles[0] if grant.roles else None,
            required_entitlement=(own or missing)[0],
            reason="not_held" if own else "not_held_by_key",
            decision_id=grant.decision_id,
        ).by(grant)


def everything(roles: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """All that can be held in a DAO. Whoever holds it can give back whatever is lost: that is an admin."""
    return frozenset().union(*roles.values())


def is_admin(held: Iterable[str], roles: Mapping[str, frozenset[str]]) -> bool:
    """Whether the roles held, all of them names, together grant everything there is in the DAO."""
    return bool(roles) and not lacking(entitlements(tuple(held), roles), everything(roles))


def rarest(roles: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The roles one of which every admin has: those that grant what the fewest roles grant."""
    granting: dict[str, set[str]] = {}
    for role, granted in roles.items():
        for entitlement in granted:
            granting.setdefault(entitlement, set()).add(role)
    by_family = {name: {*found, *granting.get(f"{name.partition(':')[0]}:*", ())} for name, found in granting.items()}
    return frozenset(min(by_family.values(), key=len, default=()))
