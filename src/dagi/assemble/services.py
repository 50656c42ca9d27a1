"""What the services of the answering process have in common."""

from typing import Final

from dagi.assemble.installation import Installation
from dagi.assemble.world import World
from dagi.config import Settings
from dagi.services.callers import Callers
from dagi.services.face import Table
from dagi.services.http1.service import Bounds, Service

# All there are, in the order in which they are shown.
SERVICES: Final = ("router", "rbac", "gateway")


def usual_services(settings: Settings) -> tuple[str, ...]:
    """What runs where nobody says what: the gateway only where it has a bot or an application."""
    channels = settings.channels
    return SERVICES if channels.telegram.bots or channels.discord.applications else SERVICES[:2]


def built_callers(installation: Installation, world: World) -> Callers:
    """Proves callers; without a key in development alone."""
    settings = installation.loaded.settings
    keyless = settings.environment == "development"
    return Callers(world.directory, world.directory, world.clock, keyless=keyless, default_dao=lambda: settings.dao.default)


def built_service(installation: Installation, world: World, table: Table) -> Service:
    """A table of endpoints, served within the configured bounds."""
    settings = installation.loaded.settings
    bounds = Bounds(body_bytes=settings.server.max_body_bytes, body_s=settings.server.body_timeout_ms / 1000)
    return Service(table, bounds, world.observer, world.denials)
