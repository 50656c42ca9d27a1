"""What wallets hold of a token, asked of the contract: ERC-20, ERC-721 and ERC-1155 (eips.ethereum.org)."""

from collections.abc import Mapping, Sequence
from typing import Final

from dagi.access.tokens import TokenRule
from dagi.chain.rpc import RpcChains
from dagi.errors import OutsideFailure
from dagi.ports.abi import address, encoded, number
from dagi.ports.chain import Chain, Query

_BALANCE: Final = "70a08231"  # balanceOf(address), ERC-20 and ERC-721
_BALANCE_OF_ID: Final = "00fdd58e"  # balanceOf(address,uint256), ERC-1155
_OWNER: Final = "6352211e"  # ownerOf(uint256), ERC-721
_ADDRESS_MAX: Final = 2**160 - 1


class ChainBalances:
    """Implements the port Balances over the configured chains."""

    def __init__(self, chains: RpcChains) -> None:
        self._chains = chains

    def chain_id(self, name: str) -> int | None:
        """See the port."""
        found = self._chains.by_name.get(name)
        if found is None and name.isascii() and name.isdigit() and len(name) < 20:
            found = self._chains.by_id(int(name))
        return None if found is None else found.chain_id

    def chains(self) -> Sequence[str]:
        """See the port."""
        return sorted(self._chains.by_name)

    async def of(self, rule: TokenRule, addresses: Sequence[str]) -> Mapping[str, int]:
        """See the port."""
        chain = self._chains.by_id(rule.chain_id)
        if chain is None:
            raise OutsideFailure(f"The chain {rule.chain_id} is not configured.", service=str(rule.chain_id))
        # All of one block: a token that moves meanwhile must not be counted in two wallets.
        block = await chain.block_number()
        if rule.standard == "erc721" and rule.token_id is not None:
            owner = await self._owner(chain, rule, rule.token_id, block)
            return {one: int(address(one) == owner) for one in addresses}
        results = await chain.calls([_question(rule, one) for one in addresses], block=block)
        told = {one: result for one, result in zip(addresses, results, strict=True) if result is not None}
        found = {one: held for one, result in told.items() if (held := number(result)) is not None}
        if addresses and not found:
            raise _no_contract(chain, rule)
        return found

    async def _owner(self, chain: Chain, rule: TokenRule, token_id: int, block: int) -> int | None:
        """Whose the token is; None for one that nobody has, which contracts refuse to tell of."""
        (result,) = await chain.calls([Query(rule.token, encoded(_OWNER, token_id))], block=block)
        if result is None:
            return None
        owner = number(result)
        if owner is None or owner > _ADDRESS_MAX:
            raise _no_contract(chain, rule)
        return owner


def _question(rule: TokenRule, holder: str) -> Query:
    if rule.token_id is not None:
        return Query(rule.token, encoded(_BALANCE_OF_ID, address(holder), rule.token_id))
    return Query(rule.token, encoded(_BALANCE, address(holder)))


def _no_contract(chain: Chain, rule: TokenRule) -> OutsideFailure:
    what = f"there is no {rule.standard} contract at {rule.token}"
    return OutsideFailure(f"On the chain {chain.name} {what}.", service=chain.name, detail=what)
