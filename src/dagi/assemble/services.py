"""What the services of the answering process have in common."""

from typing import Final

from dagi.assemble.installation import Installation
from dagi.assemble.world import World
from dagi.config import Settings
from dagi.ports.clock import Clock
from dagi.services.callers import Callers
from dagi.services.face import Table
from dagi.services.http1.service import Bounds, Service
from dagi.stores.directory import Directory

# The one that has a process of its own: it waits for other programs, and is not trusted with what the others hold.
DEVTOOLS: Final = "devtools"
# All there are, in the order in which they are shown.
SERVICES: Final = ("router", "rbac", "gateway", DEVTOOLS)


def usual_services(settings: Settings) -> tuple[str, ...]:
    """What runs where nobody says what: the gateway only where it has a bot or an application, the developer tools unless they are off or
    run elsewhere.
    """
    channels = settings.channels
    left_out = set[str]()
    if not channels.telegram.bots and not channels.discord.applications:
        left_out.add("gateway")
    if not settings.devtools.enabled or settings.devtools.url is not None:
        left_out.add(DEVTOOLS)
    return tuple(name for name in SERVICES if name not in left_out)


def built_callers(installation: Installation, directory: Directory, clock: Clock) -> Callers:
    """Proves callers; without a key in development alone."""
    settings = installation.loaded.settings
    keyless = settings.environment == "development"
    return Callers(directory, directory, clock, keyless=keyless, default_dao=lambda: settings.dao.default)


def built_service(installation: Installation, world: World, table: Table) -> Service:
    """A table of endpoints, served within the configured bounds."""
    settings = installation.loaded.settings
    bounds = Bounds(body_bytes=settings.server.max_body_bytes, body_s=settings.server.body_timeout_ms / 1000)
    return Service(table, bounds, world.observer, world.denials)
