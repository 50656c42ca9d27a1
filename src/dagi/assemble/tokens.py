"""Memberships that tokens give, put together: rules, the chains behind them, and the checks beside the requests."""

from datetime import timedelta

from dagi.access.actor import Actor
from dagi.assemble.installation import Installation
from dagi.assemble.outside import read_outside
from dagi.chain.balances import ChainBalances
from dagi.chain.rpc import RpcChains
from dagi.ports.clock import Clock
from dagi.ports.http import HttpClient
from dagi.ports.observer import Observer
from dagi.stores.database import Database
from dagi.stores.token_checks import Times, TokenChecks
from dagi.stores.token_rules import SqlTokenRules


class Tokens:
    """Rules about tokens, over the chains the installation has configured."""

    def __init__(self, installation: Installation, database: Database, http: HttpClient, clock: Clock, observer: Observer) -> None:
        settings = installation.loaded.settings
        self._database = database
        self._clock = clock
        self._balances = ChainBalances(RpcChains(http, read_outside(installation.loaded).nodes))
        times = Times(hold=timedelta(hours=settings.identities.hold_hours), every_s=settings.membership.check_every_s)
        self.checks = TokenChecks(database, clock, self._balances, observer, times)

    def rules(self, by: Actor) -> SqlTokenRules:
        """The rules, for whoever acts."""
        return SqlTokenRules(self._database, self._clock, self._balances, self.checks, by)
