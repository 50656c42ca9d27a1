"""Chain: contracts on an EVM chain, asked and never written to."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Query(msgspec.Struct, frozen=True):
    """A call of a contract's function. `to` is the contract's address, `0x` and 40 hex digits; `data` the selector and arguments."""

    to: str
    data: bytes


class Reverted(Exception):
    """The contract itself refused the call: it has no such function, or does not accept the arguments."""


class Chain(Protocol):
    """One chain, by its number. Whatever a node says is somebody else's word: it is bounded and checked for its form, and no more.

    Attributes:
        name: what the configuration calls it.
        chain_id: its number, EIP-155.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def chain_id(self) -> int:
        """See the class."""
        ...

    async def call(self, query: Query, *, block: int | None = None) -> bytes:
        """What the function returns, ABI-encoded; empty where there is no contract at the address.

        Args:
            block: as of which block; the latest where None.

        Raises:
            Reverted: the contract refused.
            OutsideFailure: the node did not answer, answered with nonsense, or stands on another chain.
        """
        ...

    async def calls(self, queries: Sequence[Query], *, block: int | None = None) -> list[bytes | None]:
        """What each function returns, in order; None for one that the contract refused.

        Raises:
            OutsideFailure: see `call`; then there is no answer to any of them.
        """
        ...

    async def block_number(self) -> int:
        """The latest block's number.

        Raises:
            OutsideFailure: see `call`.
        """
        ...


class Chains(Protocol):
    """The chains the operator has configured."""

    def by_id(self, chain_id: int) -> Chain | None:
        """The chain of that number; None where none is configured."""
        ...
