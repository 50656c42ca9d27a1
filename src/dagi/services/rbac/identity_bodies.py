"""What the endpoints of identities take and give."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from dagi.ports.identities import PersonInfo, Preview

LanguageName = Annotated[Literal["uk", "en"], msgspec.Meta(description="Of the sentence for the member.")]


class CodeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Begin at one account. `private` says that only this person reads the place where the code will be shown."""

    private: bool = False
    language: LanguageName = "en"


class CodeReply(msgspec.Struct):
    """A code, shown this once, and what to tell the member with it."""

    request_id: str
    user_id: str
    code: str
    expires_at: datetime
    message: str


class LinkBody(msgspec.Struct, forbid_unknown_fields=True):
    """Either a `code`, told at the other account, or the `confirm` of a preview."""

    code: str | None = None
    confirm: str | None = None
    language: LanguageName = "en"


class ChallengeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which wallet will sign. With the address the whole message comes back; without it, its fields."""

    address: str | None = None
    chain_id: int | None = None
    language: LanguageName = "en"


class ChallengeReply(msgspec.Struct):
    """What the wallet has to sign (EIP-4361), all of it; `text` is null where no address was told."""

    request_id: str
    domain: str
    uri: str
    statement: str
    version: str
    chain_id: int
    chain_ids: list[int]
    nonce: str
    id: Annotated[str, msgspec.Meta(description="The message's Request ID.")]
    issued_at: str
    expiration_time: str
    text: str | None
    message: str


class SiweBody(msgspec.Struct, forbid_unknown_fields=True):
    """The message as it was signed, and the signature, in hexadecimal digits after 0x."""

    message: str
    signature: str
    language: LanguageName = "en"


class TelegramBody(msgspec.Struct, forbid_unknown_fields=True):
    """Either a mini app's `init_data` as it came, or the fields of the `login` button as they came."""

    init_data: str | None = None
    login: dict[str, str | int] | None = None
    language: LanguageName = "en"


class DiscordBody(msgspec.Struct, forbid_unknown_fields=True):
    """Begin at one account; see `CodeBody`."""

    private: bool = False
    language: LanguageName = "en"


class DiscordReply(msgspec.Struct):
    """Where the member goes with its browser."""

    request_id: str
    url: str
    expires_at: datetime
    message: str


class TransferBody(msgspec.Struct, forbid_unknown_fields=True):
    """An account of the person who gets it."""

    to: str


class IdentityBody(msgspec.Struct):
    """One account: how it was linked (empty for the first), since when, and from when on it may administer (null: always)."""

    id: str
    proved_by: str
    created_at: datetime
    trusted_from: datetime | None


class PersonReply(msgspec.Struct):
    """A person's accounts, and its roles in this DAO."""

    request_id: str
    dao_id: str
    identities: list[IdentityBody]
    roles: list[str]
    message: str = ""


class PreviewBody(msgspec.Struct):
    """What would be linked: the account it was begun at, the other one, and the roles in this DAO that both would have.

    Attributes:
        confirm: to be sent back, as the same account, if the member agrees.
        held: accounts that administer nothing before `held_until`.
    """

    accounts: list[str]
    proved_by: str
    confirm: str
    expires_at: datetime
    roles: list[str]
    held: list[str]
    held_until: datetime | None


class LinkReply(msgspec.Struct):
    """A preview, where nothing has happened yet; or the person, where it has."""

    request_id: str
    linked: bool
    message: str
    preview: PreviewBody | None = None
    identities: list[IdentityBody] | None = None


def previewed(found: Preview, dao_id: str) -> PreviewBody:
    """A preview as one DAO may see it: what the person is elsewhere is no business of its."""
    return PreviewBody(
        accounts=list(found.accounts),
        proved_by=found.proved_by,
        confirm=found.confirm,
        expires_at=found.expires_at,
        roles=list(found.roles.get(dao_id, ())),
        held=list(found.held),
        held_until=found.held_until,
    )


def accounts_of(found: PersonInfo) -> list[IdentityBody]:
    """The accounts."""
    return [IdentityBody(one.id, one.proved_by, one.created_at, one.trusted_from) for one in found.identities]
