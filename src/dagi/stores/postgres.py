"""PostgreSQL: pools of connections to one database, which serialise writers as a file of SQLite does.

Whoever writes takes one lock (an advisory one, for the transaction), so that what is read before it is written cannot change in between,
whatever a repository does. Those that only add rows share the lock among themselves: the exchanges of several processes go side by side.

Row-level security is the second belt: every transaction says in `dagi.dao` for which DAO it works, or `*` for all (see `rowsecurity`).
"""

import asyncio
import os
from contextlib import suppress
from secrets import token_hex
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from sqlalchemy import TextClause, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection

from dagi.errors import ConfigError, DagiError, Invalid, StoreError
from dagi.stores.backend import Kind

# What writers wait for; any number that no other program on the database uses for the same purpose.
WRITERS: Final = 0x64616769  # "dagi"
ALL: Final = "*"
# No DAO has this id.
NONE: Final = "?"
# By which a process knows its own connections from those of others.
APPLICATION: Final = f"dagi-{token_hex(4)}"
CONNECT_S: Final = 5
LOCK_MS: Final = 5_000
STATEMENT_MS: Final = 30_000
IDLE_MS: Final = 30_000
# A network that swallows everything: the server has given up before.
_SILENT_S: Final = STATEMENT_MS / 1000 + 5
_POOL_S: Final = 10
_RECYCLE_S: Final = 1_800
_SHOWN: Final = 200
# How long it is looked for what became of a commit whose answer was lost, and how often.
DOUBT_S: Final = 10.0
_AGAIN_S: Final = 0.1

# Other processes of ours on the same database.
OTHERS: Final = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dagi-%' "
    "AND application_name <> current_setting('application_name')"
)
_SCOPE: Final = text("SELECT set_config('dagi.dao', :dao, true)")
_MARK: Final = "CAST(pg_current_xact_id() AS text) AS mark"
_LOCKS: Final[dict[Kind, TextClause]] = {
    "alone": text(f"SELECT set_config('dagi.dao', :dao, true), pg_advisory_xact_lock(:lock), {_MARK}"),
    "adding": text(f"SELECT set_config('dagi.dao', :dao, true), pg_advisory_xact_lock_shared(:lock), {_MARK}"),
}
_STATUS: Final = text("SELECT pg_xact_status(CAST(CAST(:mark AS text) AS xid8))")

# SQLSTATE, or the beginning of it, and what to do. See appendix A of PostgreSQL's manual.
_ADVICE: Final = {
    "28": "Check the user and the password (database.url, database.password_env or password_file) and the server's pg_hba.conf.",
    "3D000": "Make it: createdb --owner USER NAME, or correct database.url.",
    "42501": "Make the user of database.url the owner of the database: ALTER DATABASE name OWNER TO user.",
    "42P01": "Its tables are not those this version needs: dagi db upgrade.",
    "42703": "Its tables are not those this version needs: dagi db upgrade.",
    "53100": "Free some space on the disk of the server.",
    "53": "The server has no more connections or memory: raise max_connections there, or lower database.connections.",
    "55P03": "Another process of the stack, or a program such as a backup, holds it: try again when it has ended (`dagi doctor`).",
    "57P03": "The server is starting or stopping: try again.",
    "57P": "The server was stopped or has ended the connection: try again.",
    "57014": "It took too long: look at what the server is busy with (pg_stat_activity).",
    "25006": "The server is a standby that cannot be written: name the primary in database.url.",
    "25P03": "The server has ended a transaction that stood still: try again.",
    "08": "Try again; where that does not help, see whether the server runs.",
    "40": "Somebody else changed the same: try again.",
    "58": "Look at the server's log: it cannot use its files.",
    "XX": "Look at the server's log: its files may be damaged.",
    "0A": "This server lacks what the stack needs: PostgreSQL 13 or newer.",
}
_UNREACHABLE: Final = "Check that the server runs and that database.url names its host and port (or the directory of its socket)."
# A character that PostgreSQL's text cannot hold (NUL).
_UNSTORABLE: Final = "22021"


_NO_RIGHT: Final = "42501"
_POLICY: Final = "row-level security"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a PostgreSQL database is, and how it is used.

    Attributes:
        url: as libpq knows it: `postgresql://user@host:port/name?sslmode=…`, a socket's directory as `?host=/run/postgresql`.
        password: where it does not stand in the URL; None leaves it to that, and to `~/.pgpass`.
        connections: how many a process may hold, at least two.
    """

    url: str
    password: str | None = None
    connections: int = 10

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    @property
    def name(self) -> str:
        """The database's name; that of its user, as libpq has it, where none is given."""
        parts = urlsplit(self.url)
        return unquote(parts.path.removeprefix("/")) or parts.username or "postgres"

    @property
    def shown(self) -> str:
        """The address without its password and its parameters."""
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        return f"postgresql://{user.partition(':')[0]}{at}{host}{parts.path}"

    @property
    def dsn(self) -> str:
        """The URL as the driver wants it."""
        return f"postgresql://{self.url.partition('://')[2]}"


class Postgres:
    """Implements Backend."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.shown = f"{address.name} on PostgreSQL"
        # Whoever writes waits in line anyway; most of what goes on is reading.
        writers = max(1, address.connections * 2 // 5)
        limits = {"lock_timeout": LOCK_MS, "statement_timeout": STATEMENT_MS, "idle_in_transaction_session_timeout": IDLE_MS}
        settings = {name: str(value) for name, value in limits.items()}
        self.writer = _engine(address, settings, size=writers, isolation_level="READ COMMITTED")
        snapshot = {"isolation_level": "REPEATABLE READ", "execution_options": {"postgresql_readonly": True}}
        self.reader = _engine(address, settings, size=max(1, address.connections - writers), **snapshot)

        # These open nothing before they are used, and keep nothing.
        self.patient_writer = _engine(address, {}, size=None, isolation_level="READ COMMITTED")
        self.patient_reader = _engine(address, {}, size=None, **snapshot)

    async def read(self, connection: AsyncConnection, dao: str | None) -> None:
        """See Backend. The session works for all DAOs unless it says otherwise."""
        if dao is not None:
            await connection.execute(_SCOPE, {"dao": _scope(dao)})

    async def write(self, connection: AsyncConnection, dao: str | None, kind: Kind) -> str:
        """See Backend: its number is the mark."""
        begun = await connection.execute(_LOCKS[kind], {"dao": ALL if dao is None else _scope(dao), "lock": WRITERS})
        return str(begun.one().mark)

    async def is_committed(self, mark: str) -> bool | None:
        """See Backend. The server may take a moment to notice that the connection is gone, or to come back itself."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DOUBT_S):
                while True:
                    with suppress(DBAPIError, OSError):
                        async with self.patient_reader.connect() as connection:
                            status = await connection.scalar(_STATUS, {"mark": mark})
                        if status != "in progress":
                            return None if status is None else status == "committed"
                    await asyncio.sleep(_AGAIN_S)
        return None

    async def tidy(self) -> None:
        """See Backend. What the server's log of changes and its backups hold is its operator's business."""
        vacuum = self.patient_writer.execution_options(isolation_level="AUTOCOMMIT")
        async with vacuum.connect() as connection:
            await connection.exec_driver_sql("VACUUM exchange, session_summary, spend, audit")

    def explained(self, error: BaseException, *, connecting: bool) -> DagiError | None:
        """See Backend. The server's own first line is told; it names no password."""
        if isinstance(error, PoolTimeout):
            return self._trouble("all connections are busy", "Raise database.connections, or find out what holds them (pg_stat_activity).")
        _silence(error)
        state = _state(error)
        if state == _UNSTORABLE:
            return Invalid("A text holds a character (NUL) that cannot be stored or looked for.", field="text")
        if state == _NO_RIGHT and _POLICY in _first_line(error):
            return self._trouble(
                _first_line(error), "This is a defect of the stack, which wrote for another DAO than it said: please report it."
            )
        advice = next((_ADVICE[part] for part in (state, state[:3], state[:2]) if part in _ADVICE), None)
        if advice is not None:
            return self._trouble(_first_line(error), advice)
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return self._trouble("the connection was lost", _ADVICE["08"])
        if connecting and isinstance(error, OSError | TimeoutError):
            return self._trouble(_unreached(error), _UNREACHABLE)
        if connecting and isinstance(error, ValueError):
            # The driver's sentence may hold the URL.
            return self._trouble("the driver cannot read database.url", "Write it as postgresql://user@host:5432/name.")
        if connecting and state:
            return self._trouble(_first_line(error), _UNREACHABLE)
        return None

    def _trouble(self, why: str, advice: str) -> StoreError:
        return StoreError(f"The database {self.shown} cannot be used: {why}. {advice}")

    async def close(self) -> None:
        """See Backend."""
        for engine in (self.writer, self.reader, self.patient_writer, self.patient_reader):
            await engine.dispose()


def _engine(address: Address, settings: dict[str, str], *, size: int | None, **options: Any) -> AsyncEngine:  # noqa: ANN401 - SQLAlchemy's
    """A pool of so many connections; none at all is kept where `size` is None."""
    try:
        import asyncpg  # noqa: PLC0415 - an extra, and only for whoever has a server
    except ImportError as error:
        raise ConfigError("PostgreSQL needs its driver, which is not installed: pip install 'dagi-stack[postgres]'") from error

    async def connect() -> object:
        return await asyncpg.connect(
            address.dsn,
            password=address.password,
            timeout=CONNECT_S,
            command_timeout=_SILENT_S if size is not None else None,
            server_settings={"application_name": APPLICATION, "timezone": "UTC", "dagi.dao": ALL, **settings},
        )

    pool = {"poolclass": NullPool} if size is None else {"pool_size": size, "max_overflow": 0, "pool_timeout": _POOL_S}
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, pool_recycle=_RECYCLE_S, hide_parameters=True, **pool, **options
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def on_checkout(connection: object, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        # The driver hears at once when a server goes. The pool opens another one instead, so that its restart costs nobody a request.
        if connection.driver_connection.is_closed():  # pyright: ignore[reportAttributeAccessIssue]
            raise DisconnectionError

    return engine


def _scope(dao: str) -> str:
    """What a transaction within one DAO says. An id comes from outside: none of them may mean all."""
    return NONE if dao == ALL else dao


def _state(error: BaseException) -> str:
    """The SQLSTATE of the driver's error, or of SQLAlchemy's around it; empty where it has none."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    found = getattr(origin, "sqlstate", None)
    return found if isinstance(found, str) else ""


def _silence(error: BaseException) -> None:
    """Errors reach the log, and the server's details quote the row, which may hold what somebody said."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    told = getattr(origin, "__cause__", None) or origin
    if getattr(told, "detail", None) is not None:
        told.detail = None  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


def _first_line(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    # SQLAlchemy's adapter writes the driver's class before what the server says.
    said = str(origin.__cause__ or origin).strip().partition("\n")[0]
    return said[:_SHOWN].rstrip(".")


def _unreached(error: OSError | TimeoutError) -> str:
    if isinstance(error, TimeoutError):
        return f"the server does not answer within {CONNECT_S:g} s"
    why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
    return f"the server cannot be reached ({why or type(error).__name__})"
