"""What has to be true before the processes of an installation start."""

import msgspec

from dagi.assemble.demo import DemoMade, seed_demo
from dagi.assemble.installation import Installation, refuse_unsafe
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
    database = installation.database()
    try:
        await upgrade(database)
        demo = await seed_demo(installation, database) if settings.dao.demo else None
        if settings.environment != "development" and not await Keys(database, SystemClock()).usable():
            raise ConfigError(
                f"Not started, because nobody could call: {settings.environment} needs an API key on every request, and there is none.\n"
                "Make a DAO and a key first:\n"
                f"  dagi dao create my-dao --name 'My DAO'{_same(installation)}\n"
                f"  dagi key create --dao my-dao --role admin{_same(installation)}"
            )
    finally:
        await database.close()
    notes = [*installation.loaded.warnings, *rules.warnings]
    notes += [f"{provider.name}: {provider.missing}" for provider in providers if provider.missing]
    return Prepared(demo, tuple(notes))


def _same(installation: Installation) -> str:
    return f" --profile {'prod' if installation.loaded.settings.environment == 'production' else 'staging'}"
