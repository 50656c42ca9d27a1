"""What has to be true before the processes of an installation start."""

import msgspec

from dagi.assemble.applications import read_applications
from dagi.assemble.bots import read_bots
from dagi.assemble.demo import DemoMade, seed_demo
from dagi.assemble.files import attainable_files, few_files
from dagi.assemble.installation import Installation, refuse_unsafe
from dagi.assemble.limits import free_of_charge, open_server
from dagi.assemble.outside import read_outside
from dagi.assemble.providers import read_providers, read_rules
from dagi.errors import ConfigError
from dagi.observe.clock import SystemClock
from dagi.stores.keys import Keys
from dagi.stores.upgrade import upgrade


class Prepared(msgspec.Struct, frozen=True):
    """An installation that may start.

    Attributes:
        notes: what the operator should hear once.
    """

    demo: DemoMade | None
    notes: tuple[str, ...]


async def prepare(installation: Installation) -> Prepared:
    """Check everything that can be checked before a port is opened, migrate the database, seed the demo.

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
    bots, applications = read_bots(installation.loaded), read_applications(installation.loaded)
    database = installation.database()
    try:
        await upgrade(database)
        demo = await seed_demo(installation, database) if settings.dao.demo else None
        if settings.environment != "development" and not await Keys(database, SystemClock()).usable():
            raise ConfigError(
                f"Not started, because {nobody_could_call(installation)}\nMake a DAO and a key first:\n"
                + "\n".join(f"  {command}" for command in first_key(installation))
            )
        used = {name for rule in rules.rules.rules for name in rule.providers}
        free = await free_of_charge(installation.loaded.settings, providers, used, database)
    finally:
        await database.close()
    notes = [*installation.loaded.warnings, *rules.warnings, *free, *outside.notes, *bots.notes, *applications.notes]
    few = few_files(attainable_files())
    if few is not None:
        notes.append(few)
    notes += [f"{provider.name}: {provider.missing}" for provider in providers if provider.missing]
    return Prepared(demo, tuple(notes))


def nobody_could_call(installation: Installation) -> str:
    """What is wrong with an installation beyond development that has no key."""
    return f"nobody could call: {installation.loaded.settings.environment} needs an API key on every request, and there is none."


def first_key(installation: Installation) -> tuple[str, str]:
    """The commands that make a DAO and a key to it, with the options the operator gave."""
    same = installation.choice.again()
    return (f"dagi dao create my-dao --name 'My DAO'{same}", f"dagi key create --dao my-dao --role admin{same}")
