"""Who may come in to the devtools service: whoever may at the rbac service, and whoever shows a grant that was signed for it."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from dagi.access.names import check_dao
from dagi.access.signed import Verifier
from dagi.errors import Denied, Unauthenticated
from dagi.message import Grant
from dagi.ports.clock import Clock
from dagi.services.face import Request
from dagi.services.rbac.door import Door
from dagi.services.rbac.endpoints import AS

_SIGNED: Final = b"dagi1."


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """A proven caller in one DAO. `key_id`: the API key it came with, to this service or to the one that signed."""

    grant: Grant
    key_id: str

    def require(self, entitlement: str) -> None:
        """Let it pass.

        Raises:
            Denied: its grant does not cover the entitlement.
        """
        try:
            self.grant.require(entitlement)
        except Denied as denied:
            denied.by(self.grant, self.key_id)
            raise


class Entrance:
    """Lets callers in.

    Args:
        verifier: gives what checks signed grants; None where the public key is not there.
    """

    def __init__(self, door: Door, verifier: Callable[[], Verifier | None], clock: Clock) -> None:
        self._door = door
        self._verifier = verifier
        self._clock = clock

    def prove(self, request: Request) -> None:
        """Make sure that somebody known is there. Raises Unauthenticated."""
        if self._signed(request) is None:
            self._door.caller(request)

    def enter(self, request: Request, values: Mapping[str, str], dao_id: str | None = None) -> Guest:
        """Who comes, on whose behalf, and what it may do there.

        Args:
            values: the query's parameters, of which `as` is read; a signed grant speaks for its own person alone.
            dao_id: the DAO that is named; the key's or the grant's own where None.

        Raises:
            Unauthenticated: nobody knows who it is.
            Denied: the key or the grant is for another DAO, or may not speak for that account.
            Invalid: the DAO or the account has not the form of one, or nobody names a DAO.
        """
        guest = self._signed(request)
        if guest is None:
            visitor = self._door.enter(request, values, dao_id)
            grant = visitor.grant or self._door.decide(visitor.dao_id, visitor.user_id)
            return Guest(grant=grant, key_id=visitor.actor.key_id)
        if dao_id not in {None, guest.grant.dao_id} and check_dao(str(dao_id)):
            raise _refused(guest, "The grant is for another DAO.", "dao_mismatch")
        if values.get(AS, guest.grant.user_id) != guest.grant.user_id:
            raise _refused(guest, "The grant speaks for its own person alone.", "may_not_act_as")
        return guest

    def _signed(self, request: Request) -> Guest | None:
        scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token.startswith(_SIGNED):
            return None
        verifier = self._verifier()
        if verifier is None:
            why = "this service has no public key to check it by (keys/grant.pub in its data directory)"
            raise Unauthenticated(f"The grant that was sent is refused: {why}.")
        signed = verifier.read(token.decode("latin-1"), self._clock.now())
        return Guest(grant=signed.grant, key_id=signed.key_id)


def _refused(guest: Guest, sentence: str, reason: str) -> Denied:
    grant = guest.grant
    role = grant.roles[0] if grant.roles else None
    denied = Denied(sentence, user_role=role, required_entitlement=None, reason=reason, decision_id=grant.decision_id)
    return denied.by(grant, guest.key_id)
