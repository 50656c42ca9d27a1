"""Identities: one person, many accounts; proving that two of them are the same person's, and undoing it.

Every proof ends in the same two steps: what would be linked is shown (`Preview`), and then confirmed by the account it was shown to.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from dagi.access.actor import Actor
from dagi.message import Sender

# How it was proved that an account is the person's: known from the start, or linked.
ProvedBy = Literal["code", "siwe", "telegram_login", "telegram_mini_app", "discord", "operator", ""]
PendingKind = Literal["code", "siwe", "discord", "confirm"]


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """For which account a caller speaks, and on whose word.

    Attributes:
        account: the identity, for example `tg:12345`.
        key_id: the key that speaks for it with `act_as`; empty for a caller that is the account itself, or is trusted by all DAOs.
        dao_id: that key's DAO.
        operator: whoever does it for the account at the command line.
    """

    account: str
    key_id: str = ""
    dao_id: str = ""
    operator: Actor | None = None

    @property
    def vouched(self) -> bool:
        """Whether a DAO's key says who this is, and nothing else does."""
        return bool(self.key_id) and self.account != f"key:{self.key_id}"

    @property
    def actor(self) -> Actor:
        """How the audit names it."""
        return self.operator or Actor(id=self.account, key_id=self.key_id)

    @property
    def sender(self) -> Sender:
        """The same where something is denied."""
        return Sender(dao_id=self.dao_id, user_id=self.account, key_id=self.key_id)


class IdentityInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One account of a person.

    Attributes:
        proved_by: how it was linked; empty for the account the person became known with.
        trusted_from: before that time nothing administrative is granted through it.
    """

    id: str
    proved_by: ProvedBy
    created_at: datetime
    trusted_from: datetime | None


class PersonInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A person: its accounts, oldest first, and its roles by DAO. No accounts: nobody knows this person."""

    identities: tuple[IdentityInfo, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = {}


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would be linked. Nothing has happened yet.

    Attributes:
        confirm: the secret with which the account it is shown to confirms it; 130 bits.
        accounts: the one it was begun at, and the other one.
        held_until: the accounts of `held` get nothing administrative before.
    """

    confirm: str
    expires_at: datetime
    accounts: tuple[str, str]
    proved_by: ProvedBy
    roles: Mapping[str, tuple[str, ...]]
    held: tuple[str, ...] = ()
    held_until: datetime | None = None


class NewCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code as it is shown once."""

    code: str
    expires_at: datetime


class WalletChallenge(msgspec.Struct, frozen=True, kw_only=True):
    """What a wallet has to sign: `message` where the address was told, else its fields (EIP-4361)."""

    domain: str
    uri: str
    statement: str
    version: str
    chain_id: int
    chain_ids: tuple[int, ...]
    nonce: str
    request_id: str
    issued_at: str
    expiration_time: str
    message: str | None = None


class DiscordStart(msgspec.Struct, frozen=True, kw_only=True):
    """Where the person goes with its browser."""

    url: str
    expires_at: datetime


class DiscordProved(msgspec.Struct, frozen=True, kw_only=True):
    """What Discord has said, for the page the browser shows.

    Attributes:
        code: to be told at the account where it was begun, and nowhere else.
        begun_at: that account.
    """

    code: str
    account: str
    begun_at: str
    expires_at: datetime


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Something begun that waits for its next step; its secret is kept as a digest.

    Attributes:
        account: where it was begun.
        other: for a `confirm`, the account that is linked to it; for a `code`, the only account that may tell it, or empty.
        shown_to: for a `confirm`, the account that may confirm.
        detail: what the next step needs (JSON).
    """

    kind: PendingKind
    account: str
    other: str = ""
    shown_to: str = ""
    proved_by: ProvedBy = ""
    detail: str = ""
    created_at: datetime
    expires_at: datetime


class PendingLinks(Protocol):
    """What was begun, for ten minutes. Every secret counts once, whatever process it is told to."""

    async def keep(self, secret: str, pending: Pending) -> None:
        """Keep it. A new code takes the place of the account's earlier one.

        Raises:
            RateLimited: the account has begun too much in the last ten minutes.
        """
        ...

    async def take(self, kind: PendingKind, secret: str, told_by: str) -> Pending:
        """Use it up.

        Args:
            told_by: the account that tells it; empty for a browser.

        Raises:
            Missing: there is no such secret, or not for that account.
            Gone: it was used, or its time is over.
            RateLimited: the account told too many wrong ones.
        """
        ...

    async def once(self, digest: bytes, until: datetime) -> None:
        """Take a proof that counts by itself for the first time.

        Args:
            until: when it would be too old anyway.

        Raises:
            Gone: it was taken before.
        """
        ...


class Persons(Protocol):
    """Persons and their accounts, changed in one transaction with the audit."""

    async def show(self, account: str) -> PersonInfo:
        """The person an account belongs to; empty where nobody knows it."""
        ...

    async def check_word(self, speaker: Speaker) -> None:
        """Make sure that whoever says so may say who this is. What is linked counts in every DAO, and a DAO's key is that DAO's.

        Raises:
            Denied: a DAO's key speaks for somebody, and there are other DAOs that do not have to believe it; or for somebody who
                administers what the key may not.
        """
        ...

    async def would_link(self, account: str, other: str) -> tuple[PersonInfo, tuple[str, ...]]:
        """The person the two would be, and the accounts that would be held.

        Raises:
            Conflict: they cannot be linked; says why as far as whoever asks may know.
        """
        ...

    async def link(self, account: str, other: str, proved_by: ProvedBy, speaker: Speaker) -> PersonInfo:
        """Make the two accounts one person's.

        Args:
            speaker: who confirms it.

        Raises:
            Conflict, Denied: see `would_link` and `check_word`.
        """
        ...

    async def unlink(self, account: str, speaker: Speaker) -> PersonInfo:
        """Take an account away from the speaker's person; what is left of it.

        Raises:
            Missing: the account is not one of that person's.
            Conflict: it is the only one, or the last trusted one of somebody who administers a DAO, or the person is suspended in one.
            Denied: the speaker's account was linked a moment ago, or its key speaks for somebody beyond its DAO.
        """
        ...


class IdentityAdmin(Protocol):
    """Accounts of others, changed by whoever manages members in every DAO concerned, and holds what these persons may do there."""

    async def show(self, dao_id: str, account: str) -> PersonInfo:
        """A member's accounts, and its roles in that DAO.

        Raises:
            Missing: not a member.
            Denied: the actor does not manage members there.
        """
        ...

    async def unlink(self, account: str, dao_id: str = "") -> PersonInfo:
        """Take an account away from its person; what is left.

        Args:
            dao_id: where the person has to be a member; empty for operators.

        Raises:
            Missing, Conflict, Denied: as above.
        """
        ...

    async def transfer(self, account: str, to: str, dao_id: str = "") -> PersonInfo:
        """Give an account to the person of another account; that person.

        Raises:
            Missing, Conflict, Denied: as above.
        """
        ...

    async def link(self, account: str, other: str, *, trusted: bool = False) -> PersonInfo:
        """Make two accounts one person's on the operator's word.

        Args:
            trusted: at once, without holding administrative entitlements back.
        """
        ...


class Linking(Protocol):
    """The ways to prove that two accounts are one person's; what the HTTP face and the bots call."""

    async def begin_code(self, speaker: Speaker) -> NewCode:
        """A code to be told at another account."""
        ...

    async def tell_code(self, speaker: Speaker, code: str) -> Preview:
        """Tell a code; see `PendingLinks.take` and `Persons.would_link` for what is raised."""
        ...

    async def confirm(self, speaker: Speaker, secret: str) -> PersonInfo:
        """Do what a preview has shown."""
        ...

    async def challenge(self, speaker: Speaker, address: str | None, chain_id: int | None) -> WalletChallenge:
        """What a wallet has to sign.

        Raises:
            SwitchedOff: Sign-In with Ethereum is not set up here.
            Invalid: no address, or a chain that is not allowed.
        """
        ...

    async def prove_wallet(self, speaker: Speaker, message: str, signature: str) -> Preview:
        """A signed message."""
        ...

    async def prove_telegram(self, speaker: Speaker, proof: str | Mapping[str, object]) -> Preview:
        """A mini app's `initData`, or the fields of the login button."""
        ...

    async def begin_discord(self, speaker: Speaker) -> DiscordStart:
        """Where to go to prove a Discord account."""
        ...

    async def finish_discord(self, state: str, code: str) -> DiscordProved:
        """What Discord's redirect brought."""
        ...
