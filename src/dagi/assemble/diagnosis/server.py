"""What `dagi doctor` says of a PostgreSQL server: its version, whom row-level security binds, how full it is, its clock."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, text

from dagi.assemble.diagnosis.report import Report, bad, good, odd
from dagi.stores.database import Database
from dagi.stores.rowsecurity import is_bound, unprotected

OLDEST: Final = 13
FEW_LEFT: Final = 10
APART: Final = timedelta(seconds=30)

_FACTS: Final = text(
    """
    SELECT current_setting('server_version_num')::int / 10000 AS version, current_user AS role, clock_timestamp() AS now,
           current_setting('max_connections')::int - (SELECT count(*) FROM pg_stat_activity) AS left_over,
           pg_encoding_to_char(encoding) AS encoding
    FROM pg_database WHERE datname = current_database()
    """
)


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    role: str
    now: datetime
    left_over: int
    encoding: str
    bound: bool
    open_tables: list[str]


async def about_server(of: Database, now: datetime) -> list[Report]:
    """Ask the server about itself.

    Raises:
        StoreError: it cannot be asked.
    """
    async with of.read() as connection:
        found = await connection.run_sync(_found)
    return [*_told(of, found, now)]


def _found(connection: Connection) -> _Found:
    row = connection.execute(_FACTS).mappings().one()
    return _Found(**row, bound=is_bound(connection), open_tables=unprotected(connection))


def _told(of: Database, found: _Found, now: datetime) -> Iterator[Report]:
    if found.version < OLDEST:
        yield bad("database", f"the server is PostgreSQL {found.version}", f"the stack needs {OLDEST} or newer")
    else:
        yield good("database", f"{of.shown} {found.version} answers")
    if found.encoding != "UTF8":
        fix = f"make it anew: createdb --encoding UTF8 --template template0 --owner {found.role} NAME"
        yield bad("database", f"its encoding is {found.encoding}, which cannot hold every language", fix)
    if not found.bound:
        fix = "give the stack a role of its own: CREATE ROLE dagi LOGIN; ALTER DATABASE … OWNER TO dagi; and see docs/operating.md"
        what = f"{found.role} is a superuser or bypasses row-level security, so only our own queries keep DAOs' rows apart"
        yield odd("database", what, fix)
    if found.open_tables:
        yield odd("database", f"row-level security is off for {', '.join(found.open_tables)}", "dagi db upgrade switches it on again")
    if found.left_over < FEW_LEFT:
        fix = "raise max_connections there, or lower database.connections"
        yield odd("database", f"the server has room for {found.left_over} more connections", fix)
    if abs(found.now - now) > APART:
        what = f"the server's says {found.now:%Y-%m-%d %H:%M:%S} UTC, this machine's {now:%Y-%m-%d %H:%M:%S}"
        yield odd("clock", what, "set both (timedatectl set-ntp true)")
