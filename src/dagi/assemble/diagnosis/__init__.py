"""What `dagi doctor` looks at: everything that can be missing or wrong before or while the stack runs, each with what to do about it."""

from collections.abc import AsyncGenerator, Iterator

from dagi.assemble.diagnosis.bots import about_bots
from dagi.assemble.diagnosis.database import about_database
from dagi.assemble.diagnosis.directory import about_directory
from dagi.assemble.diagnosis.machine import about_machine
from dagi.assemble.diagnosis.providers import about_providers
from dagi.assemble.diagnosis.report import Report, bad, good, odd
from dagi.assemble.diagnosis.running import about_processes
from dagi.assemble.diagnosis.sandbox import about_devtools
from dagi.assemble.installation import Installation
from dagi.assemble.limits import limit_findings
from dagi.errors import ConfigError
from dagi.observe.clock import SystemClock
from dagi.ports.clock import Clock

__all__ = ["Report", "diagnose", "misconfigured"]


async def diagnose(installation: Installation, clock: Clock | None = None) -> AsyncGenerator[Report]:
    """Look at everything, cheap things first; yields as it finds."""
    time = SystemClock() if clock is None else clock
    for report in (*about_machine(time.now()), *_configuration(installation), *about_directory(installation)):
        yield report
    async for report in about_processes(installation):
        yield report
    async for report in about_database(installation, time):
        yield report
    for finding in await limit_findings(installation):
        yield Report("limits", finding)
    async for report in about_providers(installation, time):
        yield report
    async for report in about_bots(installation):
        yield report
    async for report in about_devtools(installation, time):
        yield report


def misconfigured(error: ConfigError) -> Iterator[Report]:
    """What can be said where the configuration cannot be read: each mistake in it, and the machine."""
    yield from about_machine(SystemClock().now())
    for line in error.message.splitlines():
        yield bad("configuration", line, "change it; nothing else can be looked at before")


def _configuration(installation: Installation) -> Iterator[Report]:
    """What is unsafe, with the reason; what is odd; what an operator of a staging or production should think of."""
    loaded = installation.loaded
    hazards, advice = loaded.hazards(), loaded.advice()
    for hazard in hazards:
        place = loaded.origins.mistake(hazard.path, hazard.what)
        yield bad("safety", f"{place}: {hazard.why}", f"{hazard.write}; the stack does not start like this")
    for hazard in advice:
        yield odd("safety", f"{loaded.origins.mistake(hazard.path, hazard.what)}: {hazard.why}", hazard.write)
    for line in loaded.warnings:
        yield odd("configuration", line, "change it, or leave it if it is meant")
    if not hazards and not loaded.warnings:
        nothing = "nothing unsafe in it" if not advice else "nothing in it that stops the start"
        yield good("configuration", f"{loaded.settings.environment}, {nothing}")
