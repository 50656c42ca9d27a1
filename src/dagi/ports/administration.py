"""Administration: DAOs, members, roles, keys and invitations, changed by somebody who may.

Every method that changes something checks the actor's rights against the database in the transaction of the change, and writes it into the
audit. Its errors: `Denied` (the actor may not, or would give what it does not hold), `Missing`, `Conflict`, `Invalid`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

import msgspec

from dagi.access.actor import Actor
from dagi.access.limits import NO_QUOTA, Quota

# Who gives a role, and so who may take it away again.
MembershipSource = Literal["manual", "invitation", "import", "token"]


class DaoInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A DAO with its numbers. `version` counts the changes of its rights."""

    id: str
    name: str
    open: bool
    suspended: bool
    version: int
    members: int
    documents: int
    created_at: datetime


class MemberInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A person's membership: all accounts, all roles, and who gives each role, in the same order."""

    dao_id: str
    person_id: str
    name: str
    identities: tuple[str, ...]
    roles: tuple[str, ...]
    sources: tuple[str, ...]
    suspended: bool
    expires_at: datetime | None


class RoleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A role of a DAO, what it grants, and how many persons and usable keys have it."""

    name: str
    entitlements: tuple[str, ...]
    members: int
    keys: int


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is shown once."""

    id: str
    key: str
    dao_id: str
    role: str
    expires_at: datetime | None = None
    previous_until: datetime | None = None


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be listed."""

    id: str
    dao_id: str
    role: str
    label: str
    act_as: bool
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    rpm: int | None
    tokens_per_day: int | None
    money_per_month: int | None
    previous_until: datetime | None

    @property
    def quota(self) -> Quota:
        """The key's own limits."""
        return Quota(rpm=self.rpm, tokens_per_day=self.tokens_per_day, money_per_month=self.money_per_month)


class NewInvitation(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation as it is shown once; whoever has the code and is no member may become one."""

    id: str
    code: str
    dao_id: str
    role: str
    uses: int
    expires_at: datetime


class InvitationInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation as it may be listed. `member_until`: when the memberships end that it makes."""

    id: str
    dao_id: str
    role: str
    label: str
    uses_left: int
    made_by: str
    expires_at: datetime
    member_until: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class DaoAdmin(Protocol):
    """DAOs. Founding, suspending and removing one is the operator's."""

    async def create(self, dao_id: str, name: str, *, is_open: bool = False) -> DaoInfo:
        """Found a DAO with the four default roles."""
        ...

    async def all(self) -> Sequence[DaoInfo]:
        """All DAOs by id."""
        ...

    async def show(self, dao_id: str) -> DaoInfo:
        """One DAO."""
        ...

    async def update(self, dao_id: str, *, name: str | None = None, is_open: bool | None = None, suspended: bool | None = None) -> DaoInfo:
        """Change what is not None; needs `config.update`."""
        ...

    async def remove(self, dao_id: str) -> None:
        """Remove a DAO with its memberships, keys and documents."""
        ...


class Members(Protocol):
    """Memberships of people, named by any of their accounts. Changes need `member.manage`."""

    async def create(
        self, dao_id: str, user_id: str, roles: Sequence[str], *, name: str = "", expires_at: datetime | None = None
    ) -> MemberInfo:
        """Take a person into a DAO; the account is made known when it is new."""
        ...

    async def update(
        self,
        dao_id: str,
        user_id: str,
        *,
        roles: Sequence[str] | None = None,
        suspended: bool | None = None,
        expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> MemberInfo:
        """Change what is given; roles replace those held, and `expires_at=None` lets the membership last for ever."""
        ...

    async def remove(self, dao_id: str, user_id: str) -> None:
        """End a membership. Everybody may end their own."""
        ...

    async def show(self, dao_id: str, user_id: str) -> MemberInfo:
        """One member."""
        ...

    async def all(self, dao_id: str) -> Sequence[MemberInfo]:
        """All members of a DAO, in the order in which they became known."""
        ...


class Roles(Protocol):
    """The roles a DAO defines. Changes need `config.update`."""

    async def all(self, dao_id: str) -> Sequence[RoleInfo]:
        """All roles, strongest first."""
        ...

    async def put(self, dao_id: str, role: str, entitlements: Sequence[str]) -> RoleInfo:
        """Define a role, or define it anew."""
        ...

    async def remove(self, dao_id: str, role: str) -> None:
        """Remove a role that nobody has."""
        ...


class KeyAdmin(Protocol):
    """API keys. Everything needs `key.manage`, and all that the key can do."""

    async def create(
        self,
        dao_id: str,
        role: str,
        *,
        label: str = "",
        act_as: bool = False,
        expires_at: datetime | None = None,
        quota: Quota = NO_QUOTA,
    ) -> NewKey:
        """Make a key. One that may speak for others needs all that anybody can hold in the DAO."""
        ...

    async def rotate(self, key_id: str, *, overlap: timedelta, expires_at: datetime | None = None) -> NewKey:
        """Give a key a new secret; the one before it counts until the overlap is over."""
        ...

    async def limit(self, key_id: str, changes: dict[str, int | None]) -> KeyInfo:
        """Change the key's own limits."""
        ...

    async def show(self, key_id: str) -> KeyInfo:
        """One key."""
        ...

    async def all(self, dao_id: str | None = None) -> Sequence[KeyInfo]:
        """All keys, or those of one DAO, oldest first."""
        ...

    async def revoke(self, key_id: str) -> None:
        """End a key for good."""
        ...


class Invitations(Protocol):
    """Invitations into a DAO. All but accepting one needs `member.manage`."""

    async def create(
        self, dao_id: str, role: str, *, uses: int, expires_at: datetime, label: str = "", member_until: datetime | None = None
    ) -> NewInvitation:
        """Make one; whoever accepts it gets the role."""
        ...

    async def all(self, dao_id: str) -> Sequence[InvitationInfo]:
        """All that are kept, newest first."""
        ...

    async def revoke(self, dao_id: str, invitation_id: str) -> None:
        """End one."""
        ...

    async def accept(self, code: str, user_id: str, dao_id: str | None = None) -> MemberInfo:
        """Become a member.

        Raises:
            Missing: no such invitation, or of another DAO than `dao_id`.
            Gone: it was revoked or used up, is past its time, or its maker has lost the right to give the role.
        """
        ...


class Administration(Protocol):
    """All of it, for whoever acts."""

    def daos(self, by: Actor) -> DaoAdmin:
        """DAOs."""
        ...

    def members(self, by: Actor) -> Members:
        """Memberships."""
        ...

    def roles(self, by: Actor) -> Roles:
        """Roles."""
        ...

    def keys(self, by: Actor) -> KeyAdmin:
        """Keys."""
        ...

    def invitations(self, by: Actor) -> Invitations:
        """Invitations."""
        ...
