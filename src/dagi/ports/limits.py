"""Limits: how much a sender may use, asked before a target is, and what was used, told after."""

from typing import TYPE_CHECKING, Protocol

import msgspec

from dagi.access.limits import Allowance, Quota
from dagi.message import Sender

if TYPE_CHECKING:
    from dagi.ports.dialogs import Exchange


class Charge(msgspec.Struct, frozen=True):
    """What an exchange used: recorded with it, in one transaction.

    Attributes:
        day: the day it counts on, `YYYY-MM-DD` in UTC.
        micros: money in millionths of a currency unit.
    """

    day: str
    tokens: int = 0
    micros: int = 0


class Quotas(Protocol):
    """The limits that keys and DAOs have of their own, as the store knows them now. Asked on every request, so it answers from memory."""

    def of_key(self, key_id: str) -> Quota:
        """The key's own; `NO_QUOTA` where it has none."""
        ...

    def of_dao(self, dao_id: str) -> Quota:
        """The DAO's own; `NO_QUOTA` where it has none."""
        ...


class Limits(Protocol):
    """Counts what is used. A sender is counted as its key, as the user it speaks for, and as its DAO."""

    async def admit(self, sender: Sender) -> Allowance:
        """Count one request, if all limits of the sender have room for it; a request that is refused counts nowhere.

        Raises:
            BudgetUnknown: money is limited, and what was spent of it cannot be read.
        """
        ...

    async def look(self, sender: Sender) -> Allowance:
        """The same without counting.

        Raises:
            BudgetUnknown: see `admit`.
        """
        ...

    def settle(self, exchange: "Exchange") -> None:
        """Count what an admitted exchange used, however it ended, and leave the charge on it. Called once; must not wait or raise."""
        ...
