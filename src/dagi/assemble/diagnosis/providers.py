"""What `dagi doctor` says of the providers: all are asked at once, each for a bounded time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from dagi.assemble.diagnosis.report import Report, bad, odd
from dagi.assemble.installation import Installation
from dagi.assemble.providers import Built, build, read_providers, read_rules
from dagi.errors import ConfigError, DagiError
from dagi.knowledge.search import Search
from dagi.observe.observer import SilentObserver
from dagi.outbound import Client
from dagi.ports.clock import Clock
from dagi.ports.embedder import EmbedderUnavailable
from dagi.ports.provider import Finding, ProviderTools
from dagi.remote.embedder import RemoteEmbedder
from dagi.stores.passages import SqlPassages

CHECK_S = 5.0
CONNECT_S = 0.5
# How many are asked at a time.
AT_ONCE = 16


async def about_providers(installation: Installation, clock: Clock) -> AsyncGenerator[Report]:
    """Whether each provider could answer now, and what is odd about the rules that name them."""
    try:
        configured = read_providers(installation.loaded)
        rules = read_rules(installation.loaded, configured)
    except ConfigError as error:
        for line in error.message.splitlines():
            yield bad("configuration", line, "change it; the stack does not start like this")
        return
    for warning in rules.warnings:
        yield odd("rules", warning, "change it, or leave it if it is meant")
    used = {name for rule in rules.rules.rules for name in rule.providers}
    observer = SilentObserver()
    try:
        database = installation.database()
    except ConfigError:
        return  # told of already; providers cannot be built without it
    embedder = RemoteEmbedder(installation.embedder_socket)
    facts = Search(SqlPassages(database), embedder, timeout_ms=CHECK_S * 1000)
    try:
        await _connected(embedder)
        async with Client() as http:
            built = [
                build(one, ProviderTools(http=http, facts=facts, clock=clock, api_key=one.api_key), clock, observer)
                for one in configured
                if database.is_there or one.type != "facts"
            ]
            places = asyncio.Semaphore(AT_ONCE)
            found = await asyncio.gather(*(_asked(one, places) for one in built))
    finally:
        await embedder.close()
        await database.close()
    answering = any(findings and all(finding.severity != "error" for finding in findings) for findings in found)
    for one, findings in zip(built, found, strict=True):
        name = one.configured.name
        for finding in findings:
            # One provider that answers is enough to start with; the others are worth a word, not an alarm.
            mild = finding.severity == "error" and (answering or name not in used)
            yield Report(f"provider {name}", msgspec.structs.replace(finding, severity="warning") if mild else finding)


async def _connected(embedder: RemoteEmbedder) -> None:
    """Give a running embedder a moment to be found; one that does not run is told of by the provider that misses it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_S):
            while True:
                try:
                    await embedder.nearest("-", "ready?", 1)
                except EmbedderUnavailable:
                    await asyncio.sleep(CONNECT_S / 20)
                else:
                    return


async def _asked(one: Built, places: asyncio.Semaphore) -> tuple[Finding, ...]:
    if one.configured.missing:
        return (Finding(severity="warning", what=one.configured.missing, fix="set it, or leave the provider unused"),)
    try:
        async with places:
            async with asyncio.timeout(CHECK_S):
                return await one.check()
    except TimeoutError:
        return (Finding(severity="error", what=f"did not answer within {CHECK_S:g} s", fix="check its base_url and whether it runs"),)
    except DagiError as error:
        return (Finding(severity="error", what=error.message, fix="check its configuration"),)
