"""The accounts of a DAO."""

from dataclasses import dataclass, field
from decimal import Decimal


class NotEnough(Exception):
    """The account holds less than was to be spent."""


@dataclass
class Treasury:
    """Money by account; `reserve` is the share of each account that no vote may touch."""

    reserve: Decimal = Decimal("0.2")
    accounts: dict[str, Decimal] = field(default_factory=dict)

    def receive(self, account: str, amount: Decimal) -> Decimal:
        """Add to an account; gives what it holds then."""
        if amount <= 0:
            raise ValueError("An amount is more than nothing.")
        self.accounts[account] = self.accounts.get(account, Decimal(0)) + amount
        return self.accounts[account]

    def spendable(self, account: str) -> Decimal:
        """What a vote may spend from an account."""
        return self.accounts.get(account, Decimal(0)) * (1 - self.reserve)

    def spend(self, account: str, amount: Decimal) -> Decimal:
        """Take from an account; gives what it holds then."""
        if amount > self.spendable(account):
            raise NotEnough(f"{account} may spend {self.spendable(account)}, not {amount}")
        self.accounts[account] -= amount
        return self.accounts[account]
