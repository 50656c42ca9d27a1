"""Linking accounts, put together."""

import secrets
from datetime import timedelta

from dagi.access.actor import Actor
from dagi.assemble.outside import Outside
from dagi.chain.rpc import RpcChains
from dagi.config import Settings
from dagi.identities.discord import DiscordLogin, DiscordSettings
from dagi.identities.linking import Linker, Parts
from dagi.identities.recovery import Recovery
from dagi.identities.wallets import SiweSettings, Wallets
from dagi.ports.clock import Clock
from dagi.ports.http import HttpClient
from dagi.ports.observer import Observer
from dagi.stores.database import Database
from dagi.stores.pending_links import SqlPendingLinks
from dagi.stores.persons import ManagedIdentities, PersonRepository

MAINNET = 1


class Linked:
    """Persons, their accounts, and the ways to link them.

    Args:
        http: for chains' nodes and Discord.
    """

    def __init__(
        self, settings: Settings, outside: Outside, database: Database, clock: Clock, http: HttpClient, observer: Observer
    ) -> None:
        identities = settings.identities
        hold = timedelta(hours=identities.hold_hours)
        self._database = database
        self._clock = clock
        self.persons = PersonRepository(database, clock, hold=hold, trusted_keys=frozenset(identities.trusted_keys))
        parts = Parts(
            persons=self.persons,
            pending=SqlPendingLinks(database, clock),
            clock=clock,
            observer=observer,
            chance=secrets.randbits,
            wallets=Wallets(_siwe(settings, outside), Recovery(), RpcChains(http, outside.nodes)),
            discord=DiscordLogin(_discord(settings, outside), http),
            telegram_token=outside.telegram_token or "",
            hold=hold,
        )
        self.linking = Linker(parts)

    def admin(self, by: Actor) -> ManagedIdentities:
        """Accounts of others, for whoever acts."""
        return ManagedIdentities(self.persons, self._database, self._clock, by)


def _siwe(settings: Settings, outside: Outside) -> SiweSettings:
    siwe = settings.identities.siwe
    if siwe.domain is None:
        return SiweSettings()
    chains = siwe.chain_ids or tuple(dict.fromkeys((MAINNET, *(node.chain_id for node in outside.nodes))))
    return SiweSettings(domain=siwe.domain, uri=siwe.uri or f"https://{siwe.domain}", statement=siwe.statement, chain_ids=chains)


def _discord(settings: Settings, outside: Outside) -> DiscordSettings:
    discord = settings.identities.discord
    return DiscordSettings(
        client_id=discord.client_id or "",
        client_secret=outside.discord_secret or "",
        redirect_url=discord.redirect_url or "",
        api_url=discord.api_url.rstrip("/"),
        authorize_url=discord.authorize_url,
        timeout_s=discord.timeout_ms / 1000,
    )
