"""Administration over the database: the repositories, each for whoever acts."""

from dagi.access.actor import Actor
from dagi.ports.clock import Clock
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.invitations import InvitationAdmin
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.stores.roles import RoleAdmin


class SqlAdministration:
    """Implements the port Administration."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def daos(self, by: Actor) -> Daos:
        """See the port."""
        return Daos(self._database, self._clock, by)

    def members(self, by: Actor) -> MemberAdmin:
        """See the port."""
        return MemberAdmin(self._database, self._clock, by)

    def roles(self, by: Actor) -> RoleAdmin:
        """See the port."""
        return RoleAdmin(self._database, self._clock, by)

    def keys(self, by: Actor) -> Keys:
        """See the port."""
        return Keys(self._database, self._clock, by)

    def invitations(self, by: Actor) -> InvitationAdmin:
        """See the port."""
        return InvitationAdmin(self._database, self._clock, by)
