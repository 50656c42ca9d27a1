"""Members and keys in memory."""

from dagi.access.decide import DaoStanding, Membership, Standing
from dagi.access.keys import KeyRecord
from dagi.errors import AccessUnavailable


class FakeMembers:
    """Implements the ports Members and KeyRing. `stale` makes every question fail closed, as an unreadable store does."""

    def __init__(self) -> None:
        self.daos: dict[str, DaoStanding] = {}
        self.members: dict[tuple[str, str], Membership] = {}
        self.keys: dict[str, KeyRecord] = {}
        self.stale = False

    def found(self, dao_id: str, dao: DaoStanding | None = None) -> None:
        """A DAO."""
        self.daos[dao_id] = dao or DaoStanding(name=dao_id)

    def join(self, dao_id: str, user_id: str, *roles: str) -> None:
        """A member."""
        self.members[dao_id, user_id] = Membership(roles=roles)

    def standing(self, dao_id: str, user_id: str) -> Standing:
        """See the port Members."""
        self._check()
        key = self.keys.get(user_id.removeprefix("key:")) if user_id.startswith("key:") else None
        if key is not None and key.dao_id == dao_id:
            return Standing(self.daos.get(dao_id), Membership(roles=(key.role,), suspended=key.revoked, expires_at=key.expires_at))
        return Standing(self.daos.get(dao_id), self.members.get((dao_id, user_id)) if dao_id in self.daos else None)

    def find(self, key_id: str) -> KeyRecord | None:
        """See the port KeyRing."""
        self._check()
        return self.keys.get(key_id)

    def _check(self) -> None:
        if self.stale:
            raise AccessUnavailable("Memberships cannot be read just now.", retry_after_s=5)
