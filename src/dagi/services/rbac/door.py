"""Who stands at the door of the rbac service, for whom, and as whom the audit will know them."""

from collections.abc import Mapping
from secrets import token_hex

import msgspec

from dagi.access.actor import Actor
from dagi.access.administration import through_key
from dagi.access.decide import decide
from dagi.access.names import check_dao, check_identity
from dagi.errors import Denied
from dagi.message import Grant, Sender
from dagi.ports.clock import Clock
from dagi.ports.members import Members
from dagi.services.callers import LOCAL_USER, Caller, Callers
from dagi.services.face import Request
from dagi.services.rbac.endpoints import AS


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """A proven caller in one DAO.

    Attributes:
        actor: as whom it changes things.
        grant: what it may do; None for the developer's own machine, which may do everything.
        acts_as: it may speak for others.
    """

    dao_id: str
    user_id: str
    actor: Actor
    grant: Grant | None
    acts_as: bool

    def require(self, entitlement: str) -> None:
        """Let it pass.

        Raises:
            Denied: its grant does not cover the entitlement.
        """
        if self.grant is None:
            return
        try:
            self.grant.require(entitlement)
        except Denied as denied:
            denied.by(self.grant, self.actor.key_id)
            raise


class Door:
    """Lets callers in."""

    def __init__(self, callers: Callers, members: Members, clock: Clock) -> None:
        self._callers = callers
        self._members = members
        self._clock = clock

    def caller(self, request: Request) -> Caller:
        """Who sends the request. Raises Unauthenticated."""
        return self._callers.prove(request)

    def own(self, caller: Caller) -> Actor:
        """The caller as whoever it is itself, for what belongs to no DAO."""
        if caller.key is None:
            return Actor(id=LOCAL_USER, unbounded=True)
        return Actor(id=caller.user_id, key_id=caller.key.id)

    def enter(self, request: Request, values: Mapping[str, str], dao_id: str | None = None) -> Visitor:
        """Who comes, and on whose behalf.

        Args:
            values: the query's parameters, of which `as` is read.
            dao_id: the DAO the path or the body names; the key's own where None.

        Raises:
            Unauthenticated: nobody knows who it is.
            Denied: the key belongs to another DAO, or may not speak for that account.
            Invalid: the DAO or the account has not the form of one, or nobody names a DAO.
        """
        caller = self.caller(request)
        claimed = {} if dao_id is None else {"dao_id": check_dao(dao_id)}
        if AS in values:
            claimed["user_id"] = check_identity(values[AS], AS)
        sender = self._callers.sender(caller, claimed, token_hex(8))
        unbounded = sender.user_id == LOCAL_USER and caller.key is None
        return Visitor(
            dao_id=sender.dao_id,
            user_id=sender.user_id,
            actor=Actor(id=sender.user_id, unbounded=unbounded, key_id=sender.key_id),
            grant=None if unbounded else self._lent(sender),
            acts_as=caller.key is None or caller.key.act_as,
        )

    def decide(self, dao_id: str, user_id: str) -> Grant:
        """What somebody may do in a DAO, decided now."""
        return decide(Sender(dao_id=dao_id, user_id=user_id), self._members.standing(dao_id, user_id), self._clock.now(), token_hex(8))

    def _lent(self, sender: Sender) -> Grant:
        grant = self.decide(sender.dao_id, sender.user_id)
        own = f"key:{sender.key_id}"
        if not sender.key_id or sender.user_id == own:
            return grant
        return through_key(grant, self.decide(sender.dao_id, own))
