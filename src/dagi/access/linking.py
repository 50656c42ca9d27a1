"""Two accounts of one person: whether they may be joined, what they have together, and what is held back for a day.

An account is linked on the word of whoever controls it at the moment. So what it gives access to grows with two brakes: nothing that
administers a DAO through it for a day, and no account that administers a DAO is put on hold for what it gains elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from dagi.access.decide import entitlements
from dagi.access.entitlements import ADMINISTRATIVE
from dagi.errors import Conflict, Invalid

# A role that somebody gave by hand is not taken away by a schedule, wherever else it comes from.
_SOURCES = ("manual", "invitation", "import", "token")
# A key has its own role, whoever's it is: it leads nobody into a person's rights.
_NO_WAY_IN = "key:"
# Nobody's account on any platform.
_NO_PERSONS = ("dev:", "cli:", "system:")


class Account(msgspec.Struct, frozen=True):
    """An account of a person; `trusted_from` is aware UTC, None for ever."""

    id: str
    trusted_from: datetime | None = None

    def trusted(self, now: datetime) -> bool:
        """Whether it gives all that the person has."""
        return self.trusted_from is None or self.trusted_from <= now


class HeldRole(msgspec.Struct, frozen=True, kw_only=True):
    """One role of a person in a DAO, as a row of membership holds it."""

    dao_id: str
    role: str
    suspended: bool = False
    expires_at: datetime | None = None
    source: str = "manual"
    created_at: datetime


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a person.

    Attributes:
        id: empty for an account nobody knows yet, which is then the only one.
        administers: what is administrative and granted to it now, each with its DAO.
    """

    id: str = ""
    accounts: tuple[Account, ...]
    roles: tuple[HeldRole, ...] = ()
    administers: frozenset[tuple[str, str]] = frozenset()


def administered(
    roles: Iterable[HeldRole], defined: Mapping[str, Mapping[str, frozenset[str]]], now: datetime
) -> frozenset[tuple[str, str]]:
    """Each DAO with what the roles in force grant there that is administrative; `defined` is every DAO's roles."""
    return frozenset(
        (held.dao_id, entitlement)
        for held in roles
        if not held.suspended and (held.expires_at is None or held.expires_at > now)
        for entitlement in entitlements((held.role,), defined.get(held.dao_id, {})) & ADMINISTRATIVE
    )


def check_linkable(account: str) -> None:
    """Make sure that somebody can have the account.

    Raises:
        Invalid: nobody can.
    """
    if account.startswith(_NO_PERSONS):
        raise Invalid("That is no person's account. Name the account to link: tg:…, dc:… and the like.", field="user_id")


def held_back(one: Known, other: Known, now: datetime, *, by_operator: bool = False) -> tuple[str, ...]:
    """The accounts that get nothing administrative for a while once the two are one person: what is linked, and whoever would gain.

    Args:
        other: the person, or the account nobody knows, that is linked to the first.
        by_operator: somebody who knows both vouches for it, so it may be done where people themselves may not.

    Raises:
        Conflict: they may not be joined.
        Invalid: an account is nobody's.
    """
    for account in (*one.accounts, *other.accounts):
        check_linkable(account.id)
    if one.id == other.id and (one.id or one.accounts == other.accounts):
        raise _conflict("The two accounts are linked to one another already.", "linked")
    if not by_operator:
        if one.id and other.id and len(one.accounts) > 1 and len(other.accounts) > 1:
            raise elsewhere()
        if one.administers and other.administers and _would_wait(one, other):
            raise _conflict(
                "Each of the two administers what the other does not, and would have to wait for a day. The operator can join them: "
                "`dagi identity link`.",
                "administers",
            )
    held = _waiting(other, one, now, by_operator=by_operator)
    if other.administers - one.administers:
        held += _waiting(one, other, now, by_operator=by_operator)
    return tuple(sorted(held))


def _would_wait(one: Known, other: Known) -> bool:
    """Whether joining two who administer would hold somebody in a DAO back for what it gains in another, or both of them."""
    places = ({dao_id for dao_id, _ in person.administers} for person in (one, other))
    return next(places) != next(places) or bool(one.administers - other.administers and other.administers - one.administers)


def _waiting(person: Known, joined: Known, now: datetime, *, by_operator: bool) -> list[str]:
    """The accounts that would administer, by the other person, what they have not so far. The others keep what they had."""
    keeps = bool(person.administers) and (by_operator or joined.administers <= person.administers)
    return [account.id for account in person.accounts if not (keeps and account.trusted(now))]


def elsewhere() -> Conflict:
    """Said to whoever comes with an account that belongs to somebody else, whatever is behind it."""
    return _conflict(
        "That account is linked elsewhere already. Unlink it there first, or let the operator join the two: `dagi identity link`.",
        "linked_elsewhere",
    )


def united(one: Sequence[HeldRole], other: Sequence[HeldRole], now: datetime) -> tuple[HeldRole, ...]:
    """All roles of both. Who is suspended in a DAO stays suspended there, with all roles; of two ends of a role the later one counts.

    A role that a token gives beside one by hand lasts no longer for it: the one by hand counts until it ends, and the token's after that.
    """
    suspended = {held.dao_id for held in (*one, *other) if held.suspended}
    found: dict[tuple[str, str], HeldRole] = {}
    for held in (*one, *other):
        place = (held.dao_id, held.role)
        before = found.get(place, held)
        found[place] = msgspec.structs.replace(
            _lasting(before, held, now),
            suspended=held.dao_id in suspended,
            created_at=min(before.created_at, held.created_at),
        )
    return tuple(found[place] for place in sorted(found))


def _lasting(one: HeldRole, other: HeldRole, now: datetime) -> HeldRole:
    """Of the same role held twice the one that counts, with the end and the source that it has then."""
    by_hand = [held for held in (one, other) if held.source != "token"]
    if len(by_hand) == 1:
        (hand,) = by_hand
        ended = hand.expires_at is not None and hand.expires_at <= now
        return (one if hand is other else other) if ended else hand
    ends = (one.expires_at, other.expires_at)
    latest = None if None in ends else max(end for end in ends if end is not None)
    return msgspec.structs.replace(one, expires_at=latest, source=min(one.source, other.source, key=_rank))


def _rank(source: str) -> int:
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)


def check_not_suspended(person: Known) -> None:
    """Make sure that an account a person gives up does not become somebody new, whom nobody has suspended.

    Raises:
        Conflict: it would.
    """
    if any(held.suspended for held in person.roles):
        raise _conflict("While a membership is suspended its accounts stay together. Ask one of the DAO's admins.", "suspended")


def check_unlink(person: Known, account: str, now: datetime) -> None:
    """Make sure that the person can still come in, and still do what nobody else may be able to.

    Raises:
        Conflict: it could not; says what to do.
    """
    left = [one for one in person.accounts if one.id != account and not one.id.startswith(_NO_WAY_IN)]
    if account.startswith(_NO_WAY_IN):
        return
    if not left:
        raise _conflict(
            f"{account} is the only account. Link another one first; to leave a DAO, ask its admin to end the membership.", "only_account"
        )
    if person.administers and not any(one.trusted(now) for one in left):
        when = min(one.trusted_from for one in left if one.trusted_from is not None)
        raise _conflict(
            f"{account} is the only account through which a DAO is administered until {when:%Y-%m-%d %H:%M} UTC. Unlink it after that.",
            "last_trusted",
        )


def _conflict(sentence: str, reason: str) -> Conflict:
    return Conflict(sentence, reason=reason)
