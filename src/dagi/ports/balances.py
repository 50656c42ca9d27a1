"""Balances: who holds how much of a token, now."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dagi.access.tokens import TokenRule


class Balances(Protocol):
    """Asks the chain of a rule. What it says is somebody else's word, taken as it is or not at all."""

    def chain_id(self, name: str) -> int | None:
        """The number of a chain by its name in the configuration, or by the number itself; None for one that is not configured."""
        ...

    def chains(self) -> Sequence[str]:
        """The names of those that are."""
        ...

    async def of(self, rule: TokenRule, addresses: Sequence[str]) -> Mapping[str, int]:
        """What each address holds, as of one block; without those the contract refused to tell.

        Raises:
            OutsideFailure: the chain is not configured, its node gave no usable answer, or there is no such contract.
        """
        ...
