"""A rule about a token as somebody wants to make it, checked."""

import re
from datetime import timedelta
from typing import Final

import msgspec

from dagi.access.names import check_role
from dagi.access.tokens import STANDARDS, Standard
from dagi.access.wallets import wallet_identity
from dagi.errors import Invalid

MAX: Final = 2**256 - 1
MAX_GRACE: Final = timedelta(days=365)
MAX_RULES: Final = 50
_DIGITS: Final = re.compile(r"(0|[1-9]\d{0,77})\Z", re.ASCII)
_STANDARD_NAMES: Final[dict[str, Standard]] = {one: one for one in STANDARDS}


class TokenWish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for, as it was written: numbers are digits, for no JSON number holds them."""

    chain: str
    token: str
    standard: str
    role: str
    min_balance: str = "1"
    token_id: str | None = None
    grace_s: int = 86_400
    everyone: bool = False


class TokenTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The same, of the right form; the chain is the store's to find."""

    token: str
    standard: Standard
    token_id: int | None
    min_balance: int
    role: str
    grace_s: int


def token_terms(wish: TokenWish) -> TokenTerms:
    """The wish, checked.

    Raises:
        Invalid: something of it is not what it has to be; names the field.
    """
    standard = _STANDARD_NAMES.get(wish.standard.lower().replace("-", ""))
    if standard is None:
        raise Invalid("That is no standard of tokens.", field="standard", allowed=list(STANDARDS))
    token_id = None if wish.token_id is None else uint256(wish.token_id, "token_id")
    if standard == "erc1155" and token_id is None:
        raise Invalid("An ERC-1155 contract holds many tokens: name the one that counts, token_id.", field="token_id")
    if standard == "erc20" and token_id is not None:
        raise Invalid("An ERC-20 contract holds one token; leave token_id out.", field="token_id")
    min_balance = uint256(wish.min_balance, "min_balance")
    if min_balance == 0:
        raise Invalid("Everybody has at least nothing: min_balance is 1 or more, in the token's smallest unit.", field="min_balance")
    if standard == "erc721" and token_id is not None and min_balance != 1:
        raise Invalid("There is one of it: with token_id, min_balance is 1.", field="min_balance")
    if not 0 <= wish.grace_s <= MAX_GRACE.total_seconds():
        raise Invalid("The grace is at most a year.", field="grace_s")
    return TokenTerms(
        token=wallet_identity(wish.token, "token").removeprefix("eth:"),
        standard=standard,
        token_id=token_id,
        min_balance=min_balance,
        role=check_role(wish.role),
        grace_s=wish.grace_s,
    )


def uint256(written: str, field: str) -> int:
    """A whole number as chains count.

    Raises:
        Invalid: it is none, or too large.
    """
    if not _DIGITS.match(written) or (found := int(written)) > MAX:
        sentence = f"{field} is a whole number up to 2^256 - 1, in digits, in the token's smallest unit: 1000000000000000000."
        raise Invalid(sentence, field=field)
    return found
