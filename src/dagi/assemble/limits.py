"""Limits: from the configuration to what counts requests, tokens and money."""

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import cast

from dagi.access.limits import MICROS, Quota
from dagi.access.prices import PriceTable
from dagi.assemble.installation import Installation
from dagi.assemble.providers import Configured, read_providers, read_rules
from dagi.config import Loaded, Settings, prices_in_force
from dagi.errors import ConfigError, StoreError
from dagi.observe.clock import SystemClock
from dagi.ports.clock import Clock
from dagi.ports.limits import Quotas
from dagi.ports.observer import Observer
from dagi.ports.provider import Finding
from dagi.stores.dao_limits import DaoLimits
from dagi.stores.database import Database
from dagi.stores.limits import LocalLimits, Terms
from dagi.stores.shared_limits import SharedLimits
from dagi.stores.spend import Spends
from dagi.stores.upgrade import HEAD, revision
from dagi.stores.valkey import CountersDown, Valkey


def read_terms(settings: Settings, providers: Iterable[Configured]) -> Terms:
    """The limits of whoever has none of their own, and what answers cost."""
    limits = settings.limits
    key, user, dao = (
        Quota(
            rpm=one.rpm,
            tokens_per_day=one.tokens_per_day,
            money_per_month=None if one.money_per_month is None else round(one.money_per_month * MICROS),
        )
        for one in (limits.key, limits.user, limits.dao)
    )
    return Terms(key=key, user=user, dao=dao, prices=read_prices(settings, providers))


def read_prices(settings: Settings, providers: Iterable[Configured]) -> PriceTable:
    """The prices in force, with the model each provider is configured with."""
    providers = tuple(providers)
    models = {one.name: model for one in providers if isinstance(model := getattr(one.settings, "model", None), str)}
    for one in providers:
        # Who asks others costs what the first of them does, where nobody knows yet which one it will be.
        others = getattr(one.settings, "models", ())
        if isinstance(others, tuple) and others and (model := models.get(str(cast("tuple[object, ...]", others)[0]))):
            models[one.name] = model
    return PriceTable(prices_in_force(settings.prices), models)


async def free_of_charge(settings: Settings, providers: Sequence[Configured], used: set[str], database: Database | None) -> tuple[str, ...]:
    """What is odd about limits on money: models that are asked and have no price.

    Args:
        used: the providers that a rule names.
        database: where DAOs and keys have limits of their own; None where there is none yet.
    """
    quotas = (settings.limits.key, settings.limits.user, settings.limits.dao)
    is_limited = any(one.money_per_month is not None for one in quotas)
    if not is_limited and (database is None or not await DaoLimits(database, SystemClock()).any_money()):
        return ()
    prices = read_prices(settings, providers)
    free = [one.name for one in providers if one.name in used and hasattr(one.settings, "model") and not prices.knows(one.name)]
    return (f"money is limited, but these have no price and count as free: {', '.join(sorted(free))} (prices.models)",) if free else ()


async def limit_findings(installation: Installation) -> tuple[Finding, ...]:
    """What `dagi doctor` says of limits: the server they are shared through, and models without a price where money is limited."""
    found: list[Finding] = []
    try:
        server = open_server(installation.loaded)
        if server is not None:
            async with server:
                await server.ping()
            found.append(Finding(severity="ok", what="the server of shared limits answers"))
    except ConfigError as error:
        found.append(Finding(severity="error", what=error.message, fix="correct it or install it, or leave limits.url out"))
    except CountersDown as error:
        fix = "start it, or correct limits.url; meanwhile rates are limited by each process alone, money-limited requests are refused"
        found.append(Finding(severity="warning", what=f"the server of shared limits does not answer: {error.message}", fix=fix))
    return (*found, *(Finding(severity="warning", what=line, fix="give them a price") for line in await _free(installation)))


async def _free(installation: Installation) -> tuple[str, ...]:
    loaded = installation.loaded
    try:
        configured = read_providers(loaded)
        rules = read_rules(loaded, configured).rules
        database = installation.database()
    except ConfigError:
        return ()  # told of elsewhere
    used = {name for rule in rules.rules for name in rule.providers}
    try:
        known = database.is_there and await revision(database) == HEAD
        return await free_of_charge(loaded.settings, configured, used, database if known else None)
    except (OSError, StoreError):
        return ()  # told of elsewhere
    finally:
        await database.close()


def open_server(loaded: Loaded) -> Valkey | None:
    """The server of shared limits, where one is configured.

    Raises:
        ConfigError: its client library is missing, or the address is none.
    """
    limits = loaded.settings.limits
    if limits.url is None:
        return None
    try:
        return Valkey(limits.url, limits.timeout_ms / 1000)
    except ConfigError as error:
        raise loaded.origins.error([("limits.url", error.message)]) from error
    except ValueError as error:
        raise loaded.origins.error([("limits.url", "is no address such as redis://127.0.0.1:6379/0")]) from error


async def local_limits(
    installation: Installation, configured: Iterable[Configured], database: Database, quotas: Quotas, clock: Clock
) -> LocalLimits:
    """Limits of this process, which know what was spent before.

    Raises:
        StoreError: the database cannot be read.
    """
    terms = read_terms(installation.loaded.settings, configured)
    return LocalLimits(quotas, clock, terms, await Spends(database).recent(f"{clock.now():%Y-%m-%d}"))


async def opened_limits(
    stack: AsyncExitStack, installation: Installation, local: LocalLimits, database: Database, observer: Observer
) -> LocalLimits | SharedLimits:
    """The limits in force: shared ones, where a server is configured.

    Raises:
        ConfigError: see `open_server`.
    """
    server = open_server(installation.loaded)
    if server is None:
        return local
    await stack.enter_async_context(server)
    return await stack.enter_async_context(SharedLimits(local, server, Spends(database), observer))
