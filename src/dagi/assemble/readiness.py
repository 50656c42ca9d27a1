"""What `/ready` asks: everything the answering process cannot, or would rather not, work without."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dagi.ports.embedder import EmbedderUnavailable
from dagi.remote.devtools import RemoteTools
from dagi.remote.embedder import RemoteEmbedder
from dagi.services.operations import Check, Dependency
from dagi.stores.calls import CallStore
from dagi.stores.database import Database
from dagi.stores.denials import DenialStore
from dagi.stores.directory import Directory
from dagi.stores.exchanges import ExchangeStore
from dagi.stores.limits import LocalLimits
from dagi.stores.shared_limits import SharedLimits
from dagi.targets.devtools.sandbox.job import Sandbox

# What no update can be kept or handled without.
_TAKING: Final = frozenset({"database", "access"})


def dependencies(
    database: Database,
    directory: Directory,
    dialogs: ExchangeStore,
    embedder: RemoteEmbedder | None,
    limits: LocalLimits | SharedLimits,
    devtools: RemoteTools | None = None,
) -> Sequence[Dependency]:
    """What is asked, the indispensable first."""
    found = [
        Dependency("database", _pinged(database)),
        Dependency("access", _known(directory)),
        Dependency("record_room", _room(dialogs)),
        Dependency("records", _written(dialogs), needed=False),
    ]
    if embedder is not None:
        found.append(Dependency("embedder", _embedding(embedder), needed=False))
    if isinstance(limits, SharedLimits):
        found.append(Dependency("limits", _shared(limits), needed=False))
    if devtools is not None:
        found.append(Dependency("devtools", _reached(devtools), needed=False))
    return found


def gateway_dependencies(needed_by_router: Sequence[Dependency], denials: DenialStore) -> Sequence[Dependency]:
    """What the gateway is asked about, whose questions the router of the same process answers: updates are taken without most of that."""
    # Not only where the router is served, too: a question from a chat is recorded, searched for and limited like any other.
    found = [msgspec.structs.replace(one, needed=one.needed and one.name in _TAKING) for one in needed_by_router]
    return [*found, Dependency("audit", _audited(denials), needed=False)]


def devtools_dependencies(database: Database, directory: Directory, calls: CallStore, sandbox: Sandbox) -> Sequence[Dependency]:
    """What the service of the developer tools is asked about. Without a sandbox files can be worked on all the same."""
    return [
        Dependency("database", _pinged(database)),
        Dependency("access", _known(directory)),
        Dependency("audit", _recorded(calls), needed=False),
        Dependency("sandbox", _holding(sandbox), needed=False),
    ]


def access_dependencies(database: Database, directory: Directory, denials: DenialStore) -> Sequence[Dependency]:
    """What the service of rights is asked about."""
    return [
        Dependency("database", _pinged(database)),
        Dependency("access", _known(directory)),
        Dependency("audit", _audited(denials), needed=False),
    ]


def _audited(denials: DenialStore) -> Check:
    async def check() -> str | None:
        why = denials.trouble.why
        return f"denials wait in memory, because they cannot be written. {why}" if why else None

    return check


def _recorded(calls: CallStore) -> Check:
    async def check() -> str | None:
        why = calls.trouble.why
        return f"calls wait in memory, because they cannot be written. {why}" if why else None

    return check


def _holding(sandbox: Sandbox) -> Check:
    async def check() -> str | None:
        await sandbox.check()
        return None

    return check


def _reached(devtools: RemoteTools) -> Check:
    async def check() -> str | None:
        await devtools.refresh()
        return None

    return check


def _pinged(database: Database) -> Check:
    async def check() -> str | None:
        await database.ping()
        return None

    return check


def _known(directory: Directory) -> Check:
    async def check() -> str | None:
        return None if directory.fresh else "memberships could not be read for over five seconds"

    return check


def _room(dialogs: ExchangeStore) -> Check:
    async def check() -> str | None:
        return None if dialogs.has_room else "no place is left to record another exchange, so requests are refused (dialogs.buffer)"

    return check


def _written(dialogs: ExchangeStore) -> Check:
    async def check() -> str | None:
        why = dialogs.trouble.why
        return f"{dialogs.waiting} exchanges wait in memory, because they cannot be written. {why}" if why else None

    return check


def _embedding(embedder: RemoteEmbedder) -> Check:
    async def check() -> str | None:
        try:
            await embedder.nearest("-", "ready?", 1)
        except EmbedderUnavailable as error:
            return f"{error}; facts are searched by words alone"
        return None

    return check


def _shared(limits: SharedLimits) -> Check:
    async def check() -> str | None:
        if limits.up:
            return None
        return "the server of limits.url does not answer; rates are limited by each process alone, money-limited requests are refused"

    return check
