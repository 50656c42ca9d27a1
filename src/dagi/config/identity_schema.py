"""The sections about accounts outside: chains, Sign-In with Ethereum, Telegram's login, Discord's."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from dagi.config.section import Name, Section, Text

# What EIP-4361 allows.
_STATEMENT = re.compile(r"[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~ -]+\Z")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?\Z")


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        # Reading the port finds out whether it is one.
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        good = False
    if not good or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be an http:// or https:// address")
    return text


def _domain(text: str) -> str:
    if not _DOMAIN.match(text):
        raise ValueError("must be the host of the page where wallets sign, in lower case, such as dao.example or dao.example:8443")
    return text


def _sentence(text: str) -> str:
    if not _STATEMENT.match(text):
        raise ValueError("must be one line of ASCII letters, digits, spaces and any of : / ? # [ ] @ ! $ & ' ( ) * + , ; = . _ ~ -")
    return text


WebAddress = Annotated[str, Field(max_length=1000), AfterValidator(_web_address)]


class Chain(Section):
    """An EVM chain and a node that knows it.

    Attributes:
        rpc_url: the node; where its address holds a provider's key, `rpc_url_env` or `rpc_url_file` lead to it instead.
        max_batch: how many questions the node takes at once; 1 for nodes that take no arrays.
    """

    name: Name
    chain_id: int = Field(ge=1, le=2**63 - 1)
    rpc_url: WebAddress | None = Field(default=None, repr=False)
    rpc_url_env: Text | None = None
    rpc_url_file: Text | None = None
    timeout_ms: int = Field(default=5_000, ge=10, le=120_000)
    max_batch: int = Field(default=50, ge=1, le=1_000)


class Siwe(Section):
    """Sign-In with Ethereum. Without a domain it is off.

    Attributes:
        domain: the host of the page where wallets sign.
        uri: that page; `https://<domain>` where null.
        statement: what people read above the technical lines; the account that is linked is named after it.
        chain_ids: chains a wallet may sign for; the configured ones and 1 where empty.
    """

    domain: Annotated[str, AfterValidator(_domain)] | None = None
    uri: WebAddress | None = None
    statement: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_sentence)] = "Link this wallet."
    chain_ids: Annotated[tuple[Annotated[int, Field(ge=1, le=2**63 - 1)], ...], Field(strict=False)] = ()


class TelegramLogin(Section):
    """The bot whose login button and mini apps prove Telegram accounts. Without a token they are off."""

    bot_token_env: Text | None = None
    bot_token_file: Text | None = None


class DiscordLogin(Section):
    """The application whose OAuth2 proves Discord accounts. Without an id, a secret and a redirect it is off.

    Attributes:
        redirect_url: this stack's `/identities/discord/callback`, as Discord's page for developers has it.
        api_url, authorize_url: Discord's own; others for tests.
    """

    client_id: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")] | None = None
    client_secret_env: Text | None = None
    client_secret_file: Text | None = None
    redirect_url: WebAddress | None = None
    api_url: WebAddress = "https://discord.com/api/v10"
    authorize_url: WebAddress = "https://discord.com/oauth2/authorize"
    timeout_ms: int = Field(default=5_000, ge=10, le=120_000)


class Identities(Section):
    """How people prove that several accounts are theirs. Codes need nothing of this.

    Attributes:
        hold_hours: how long an account that was just linked gives no administrative entitlement it had not before.
        trusted_keys: ids of keys with `act_as` whose word about who their users are counts beyond their DAO. Where there is but one DAO,
            every such key's does.
    """

    siwe: Siwe = Siwe()
    telegram: TelegramLogin = TelegramLogin()
    discord: DiscordLogin = DiscordLogin()
    hold_hours: int = Field(default=24, ge=0, le=8_760)
    trusted_keys: Annotated[tuple[Text, ...], Field(strict=False)] = ()
