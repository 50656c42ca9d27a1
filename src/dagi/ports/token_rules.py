"""Token rules: whoever holds enough of a token is a member."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from dagi.access.actor import Actor
from dagi.access.token_wishes import TokenWish
from dagi.access.tokens import TokenRule


class RuleInfo(msgspec.Struct, frozen=True):
    """A rule, how many have the role by it, and how many of those no longer have enough and are in the grace."""

    rule: TokenRule
    holders: int
    in_grace: int


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking the chain. `trouble` is why it told nothing, so that nothing has changed; empty where it answered."""

    rule_id: str
    at: datetime
    holders: int = 0
    gained: int = 0
    lacking: int = 0
    lost: int = 0
    trouble: str = ""


class TokenRules(Protocol):
    """A DAO's rules, for whoever acts; all but `claim` needs `member.manage`."""

    async def add(self, dao_id: str, wish: TokenWish) -> TokenRule:
        """Make a rule. It is checked within moments.

        Raises:
            Invalid: something of it is not what it has to be, or the chain is not configured.
            Denied: the actor may not, or does not hold what the role grants.
            Missing: no such DAO.
            Conflict: the same rule is there, or too many are.
        """
        ...

    async def all(self, dao_id: str) -> tuple[RuleInfo, ...]:
        """All rules, oldest first."""
        ...

    async def remove(self, dao_id: str, rule_id: str) -> None:
        """End a rule, and at once the roles it alone has given.

        Raises:
            Missing: the DAO has no such rule.
            Conflict: the DAO would be left without an admin.
        """
        ...

    async def check(self, dao_id: str) -> Sequence[Checked]:
        """Ask the chains now about all rules of the DAO.

        Raises:
            RateLimited: that is being done, or was a moment ago; an operator may at any time.
        """
        ...

    async def claim(self, dao_id: str, user_id: str) -> Sequence[Checked]:
        """Ask the chains now about one person's wallets, at that person's own wish: the way in for those who are no members yet.

        Raises:
            Missing: there is nothing for the account's wallets there, or no such DAO, which look the same.
            RateLimited: it asked a moment ago.
        """
        ...


class TokenRulesBy(Protocol):
    """Rules, for whoever acts."""

    def __call__(self, by: Actor) -> TokenRules:
        """As that one."""
        ...
