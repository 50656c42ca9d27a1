"""What has to be true before the processes of an installation start."""

from collections.abc import Collection
from typing import Final

import msgspec

from dagi.assemble.demo import DemoMade, seed_demo
from dagi.assemble.files import attainable_files, few_files
from dagi.assemble.installation import Installation, refuse_unsafe
from dagi.assemble.limits import free_of_charge, open_server
from dagi.assemble.outside import read_outside
from dagi.assemble.platforms import read_platforms
from dagi.assemble.providers import read_providers, read_rules
from dagi.assemble.services import DEVTOOLS, SERVICES
from dagi.assemble.signing import grant_signer
from dagi.errors import ConfigError
from dagi.observe.clock import SystemClock
from dagi.stores.keys import Keys
from dagi.stores.upgrade import upgrade

_SIGNING: Final = frozenset({"router", "rbac"})


class Prepared(msgspec.Struct, frozen=True):
    """An installation that may start.

    Attributes:
        notes: what the operator should hear once.
        platforms: how the gateway comes to what people say, a bot a line; empty where it does not run.
    """

    demo: DemoMade | None
    notes: tuple[str, ...]
    platforms: tuple[str, ...] = ()


async def prepare(installation: Installation, services: Collection[str] = SERVICES) -> Prepared:
    """Check everything that can be checked before a port is opened, migrate the database, seed the demo.

    Args:
        services: those that are to start. Who runs the gateway elsewhere need not give its secrets to the others.

    Raises:
        ConfigError: the configuration is wrong or unsafe.
        StoreError: the database cannot be used.
    """
    settings = installation.loaded.settings
    refuse_unsafe(installation.loaded)
    providers = read_providers(installation.loaded)
    rules = read_rules(installation.loaded, providers)
    open_server(installation.loaded)
    outside = read_outside(installation.loaded)
    platforms = read_platforms(installation) if "gateway" in services else None
    if _SIGNING.intersection(services):
        # Before there are processes that need it: two that make it at once would make two.
        grant_signer(installation)
    database = installation.database()
    try:
        await upgrade(database)
        demo = await seed_demo(installation, database) if settings.dao.demo else None
        # Who serves the developer tools alone is called with signed grants as well.
        by_key = settings.environment != "development" and set(services) != {DEVTOOLS}
        if by_key and not await Keys(database, SystemClock()).usable():
            raise ConfigError(
                f"Not started, because {nobody_could_call(installation)}\nMake a DAO and a key first:\n"
                + "\n".join(f"  {command}" for command in first_key(installation))
            )
        used = {name for rule in rules.rules.rules for name in rule.providers}
        free = await free_of_charge(installation.loaded.settings, providers, used, database)
    finally:
        await database.close()
    notes = [*installation.loaded.warnings, *rules.warnings, *free, *outside.notes]
    if platforms is not None:
        notes += platforms.notes
    few = few_files(attainable_files())
    if few is not None:
        notes.append(few)
    notes += [f"{provider.name}: {provider.missing}" for provider in providers if provider.missing]
    return Prepared(demo, tuple(notes), () if platforms is None else platforms.ways)


def nobody_could_call(installation: Installation) -> str:
    """What is wrong with an installation beyond development that has no key."""
    return f"nobody could call: {installation.loaded.settings.environment} needs an API key on every request, and there is none."


def first_key(installation: Installation) -> tuple[str, str]:
    """The commands that make a DAO and a key to it, with the options the operator gave."""
    same = installation.choice.again()
    return (f"dagi dao create my-dao --name 'My DAO'{same}", f"dagi key create --dao my-dao --role admin{same}")
