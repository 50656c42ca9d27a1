"""What `dagi doctor` says of the database: whether it can be used, its schema, the DAOs and keys in it, the clock it was written by."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from dagi.assemble.diagnosis.report import Report, bad, good, odd
from dagi.assemble.diagnosis.server import about_server
from dagi.assemble.installation import Installation
from dagi.assemble.start import first_key, nobody_could_call
from dagi.errors import ConfigError, StoreError
from dagi.ports.administration import KeyInfo
from dagi.ports.clock import Clock
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.examination import Examined, examine
from dagi.stores.keys import Keys
from dagi.stores.tables import exchange, spend
from dagi.stores.upgrade import HEAD, revision

CHECK_S = 5.0
LOCK_S = 1.0
LARGE_WAL = 256 * 1024 * 1024
AHEAD = timedelta(minutes=5)
SOON = timedelta(days=7)


async def about_database(installation: Installation, clock: Clock) -> AsyncGenerator[Report]:
    """Look at the file or the server first, and into the database where that can be used."""
    try:
        of = installation.database()
    except ConfigError as error:
        yield bad("database", error.message, "see docs/configuration.md")
        return
    try:
        if not of.is_there:
            yield good("database", "not there yet; the first start makes it")
            for report in _keys(installation, [], clock):
                yield report
            return
        examined = None if of.path is None else await asyncio.to_thread(examine, of.path, check_s=CHECK_S, lock_s=LOCK_S)
        for report in await about_server(of, clock.now()) if examined is None else _file(of, examined):
            yield report
        if examined is None or not examined.damage:
            async for report in _content(installation, of, clock):
                yield report
    except (StoreError, OSError) as error:
        what = error.message if isinstance(error, StoreError) else f"The database {of.shown} cannot be used: {error}."
        yield bad("database", what, "correct database.url, or start the server" if of.path is None else _remedy(of.path, what))
    finally:
        await of.close()


def _remedy(path: Path, what: str) -> str:
    """What to do about a file that cannot be used. A whole one must never be given up for being held or closed to us."""
    if "full" in what:
        return "free some space and look again"
    if "locked" in what:
        return f"end whatever holds it (fuser -v {path}) and look again; nothing in it is lost"
    if "unable to open" in what or "readonly" in what:
        return f"let this user read and write it and its directory: chown {os.getuid()} {path.parent} {path}*"
    return "restore a backup, or move the file away to begin anew"


def _file(of: Database, examined: Examined) -> Iterator[Report]:
    path = of.path or Path(of.shown)
    if examined.damage:
        fix = f"stop the stack, keep a copy of {path}, restore a backup (or try: sqlite3 {path.name} .recover)"
        yield bad("database", f"{path.name} is damaged: {'; '.join(examined.damage)}", fix)
    elif not examined.whole:
        fix = f"look the rest through when the stack rests: sqlite3 {path.name} 'PRAGMA quick_check'"
        yield odd("database", f"no damage was found, but {CHECK_S:g} s were not enough for all of it", fix)
    if examined.locked:
        fix = f"end whatever holds it (fuser -v {path}): meanwhile exchanges wait in memory, and commands that write fail"
        yield odd("database", f"another program has kept {path.name} locked for over {LOCK_S:g} s", fix)
    if examined.wal_bytes > LARGE_WAL:
        fix = f"end what reads it for so long, a backup perhaps (fuser -v {path}); the file shrinks by itself afterwards"
        yield odd("database", f"{examined.wal_bytes // 2**20} MB wait in {path.name}-wal: something keeps reading an old state", fix)


async def _content(installation: Installation, of: Database, clock: Clock) -> AsyncGenerator[Report]:
    at = await revision(of)
    if at != HEAD:
        if at is None:
            yield good("database", "empty; the next start makes its tables")
        elif at > HEAD:
            fix = "start the version that wrote it, or restore a backup made before the upgrade"
            yield bad("database", f"its schema is {at}, which a newer version has made; this one knows {HEAD}", fix)
        else:
            yield odd("database", f"its schema is {at}, this version needs {HEAD}", "the next start upgrades it")
        return
    daos = await Daos(of, clock).all()
    yield good("database", f"schema {at}, {len(daos)} DAOs")
    default, same = installation.loaded.settings.dao.default, installation.choice.again()
    if daos and default is not None and default not in {dao.id for dao in daos}:
        yield odd("database", f"dao.default names {default}, which does not exist", f"dagi dao create {default} --name …{same}")
    newest, now = await _newest(of), clock.now()
    if newest is not None and newest > now + AHEAD:
        what = (
            f"it says {now:%Y-%m-%d %H:%M} UTC, but something was recorded at {newest:%Y-%m-%d %H:%M}: it was set back, or was wrong then"
        )
        yield odd("clock", what, "set it (timedatectl set-ntp true); keys, limits and retention go by it")
    for report in _keys(installation, await Keys(of, clock).all(), clock):
        yield report


async def _newest(of: Database) -> datetime | None:
    """When the newest record was written, by the clock of then."""
    async with of.read() as connection:
        found = [
            await connection.scalar(select(func.max(exchange.c.at, type_=exchange.c.at.type))),
            await connection.scalar(select(func.max(spend.c.last_at, type_=spend.c.last_at.type))),
        ]
    return max((at for at in found if at is not None), default=None)


def _keys(installation: Installation, keys: tuple[KeyInfo, ...] | list[KeyInfo], clock: Clock) -> Iterator[Report]:
    now, same = clock.now(), installation.choice.again()
    usable = [key for key in keys if key.revoked_at is None and (key.expires_at is None or key.expires_at > now)]
    for key in usable:
        if key.expires_at is not None and key.expires_at < now + SOON:
            yield odd("keys", f"{key.id} of {key.dao_id} ends {key.expires_at:%Y-%m-%d %H:%M} UTC", f"dagi key rotate {key.id}{same}")
    if installation.loaded.settings.environment == "development":
        return
    if usable:
        yield good("keys", f"{len(usable)} can be used")
    else:
        yield bad("keys", nobody_could_call(installation), "; then ".join(first_key(installation)))
