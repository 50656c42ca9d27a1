"""Membership by tokens: what a rule asks for, and what becomes of its holders when the chain was asked. Pure.

Balances are whole numbers of the token's smallest unit, as the contract counts them: nothing is divided, nothing is rounded.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

Standard = Literal["erc20", "erc721", "erc1155"]
Turn = Literal["gained", "lacking", "regained", "lost"]

STANDARDS: Final[tuple[Standard, ...]] = ("erc20", "erc721", "erc1155")
WALLET: Final = "eth:"


class TokenRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds so much of a token has the role.

    Attributes:
        token: the contract's address, `0x` and 40 lower-case digits.
        token_id: the one of an ERC-1155 contract that counts, or one picture of an ERC-721 contract; None for all of them.
        min_balance: in the smallest unit; all wallets of a person count together.
        grace_s: how long whoever has no longer enough keeps the role.
        everyone: people with a wallet become members without asking; otherwise those alone who are members already, or ask.
        checked_at: when the chain last answered; `tried_at`: when it was last asked. `trouble` is why it did not answer.
    """

    id: str
    dao_id: str
    chain_id: int
    token: str
    standard: Standard
    token_id: int | None
    min_balance: int
    role: str
    grace_s: int
    everyone: bool
    made_by: str
    created_at: datetime
    checked_at: datetime | None = None
    tried_at: datetime | None = None
    trouble: str = ""


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """A wallet of a person. `settled_at`: since when it may count for what administers a DAO."""

    account: str
    person_id: str
    settled_at: datetime

    @property
    def address(self) -> str:
        """As the chain has it."""
        return self.account.removeprefix(WALLET)


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has the role by a rule. `lacking_since` begins the grace; None while there is enough."""

    person_id: str
    balance: int
    since: datetime
    lacking_since: datetime | None = None


class Moved(msgspec.Struct, frozen=True):
    """What happened to one person."""

    turn: Turn
    holder: Holder


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What a check comes to: the holders from now on, and what happened to whom."""

    holders: tuple[Holder, ...]
    moved: tuple[Moved, ...]


def totals(wallets: Iterable[Wallet], balances: Mapping[str, int]) -> Mapping[str, int | None]:
    """What each person has in all wallets together, by the balances of addresses; None where one of them is not known."""
    found: dict[str, int | None] = {}
    for wallet in wallets:
        before, more = found.get(wallet.person_id, 0), balances.get(wallet.address)
        found[wallet.person_id] = None if before is None or more is None else before + more
    return found


def settle(rule: TokenRule, held: Mapping[str, int | None], before: Iterable[Holder], now: datetime) -> Settled:
    """What the rule makes of what people hold.

    Args:
        held: by person; None for what the chain did not tell. Whoever is not in it has no wallet.
        before: those who have the role by this rule.
    """
    known = {holder.person_id: holder for holder in before}
    holders: list[Holder] = []
    moved: list[Moved] = []
    for person_id in sorted({*held, *known}):
        was, balance = known.get(person_id), held.get(person_id, 0)
        if balance is None:
            # Not to know is no reason to give anything, nor to take it.
            holders += [was] if was is not None else []
        elif balance >= rule.min_balance:
            after = Holder(person_id=person_id, balance=balance, since=now if was is None else was.since)
            holders.append(after)
            if was is None or was.lacking_since is not None:
                moved.append(Moved("gained" if was is None else "regained", after))
        elif was is not None:
            after = msgspec.structs.replace(was, balance=balance, lacking_since=was.lacking_since or now)
            over = now >= grace_ends(rule, after)
            holders += [] if over else [after]
            if over or was.lacking_since is None:
                moved.append(Moved("lost" if over else "lacking", after))
    return Settled(holders=tuple(holders), moved=tuple(moved))


def grace_ends(rule: TokenRule, holder: Holder) -> datetime:
    """When somebody who has no longer enough loses the role."""
    return (holder.lacking_since or holder.since) + timedelta(seconds=rule.grace_s)
