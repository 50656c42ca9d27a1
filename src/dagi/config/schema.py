"""Settings: every key a configuration may have, its type, its bounds and its default.

The defaults are those of production: what a file does not say must not open a door. `profiles/dev.yml` relaxes them.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from dagi.config.channel_schema import Channels
from dagi.config.devtools_schema import Devtools
from dagi.config.identity_schema import Chain, Identities
from dagi.config.section import Name, Text
from dagi.config.section import Section as _Section

VERSION = "0.3.0"

_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}(\.[0-9]{1,4})?\Z")
_COUNTERS = re.compile(r"(rediss?|valkeys?|unix)://.")
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_DATABASE = re.compile(r"(sqlite(\+aiosqlite)?|postgres(ql)?(\+asyncpg)?)://")


def _version(text: str) -> str:
    if not _VERSION.match(text):
        raise ValueError(f'must be a version such as "{VERSION}"')
    return text


def _database_url(text: str) -> str:
    if not _DATABASE.match(text):
        raise ValueError("must begin with postgresql:// or sqlite://, or be null for SQLite in data_dir")
    if text.startswith("postgres") and not _is_readable(text):
        raise ValueError("cannot be read; write postgresql://user@host:5432/name, and # / ? @ [ of a password as %23 %2F %3F %40 %5B")
    return text


def _is_readable(url: str) -> bool:
    try:
        # What stands behind # would be cut off in silence: a password, most likely.
        return not urlsplit(url).fragment
    except ValueError:
        return False


def _counters_url(text: str) -> str:
    if not _COUNTERS.match(text):
        raise ValueError("must begin with redis://, rediss://, valkey://, valkeys:// or unix://, or be null for limits of one process")
    return text


def _currency(text: str) -> str:
    if not _CURRENCY.match(text):
        raise ValueError("must be three capital letters such as USD")
    return text


class Provider(_Section):
    """One thing that can answer. `config` belongs to the provider's type and is checked by its own settings class.

    Attributes:
        selectable: callers may choose it by its name, as a model of the OpenAI face.
    """

    name: Name
    type: Name
    selectable: bool = False
    config: Mapping[str, object] = Field(default_factory=dict, repr=False)


class Rotation(_Section):
    """When a log file is closed and how many are kept."""

    max_size_mb: int = Field(default=100, ge=1, le=10_000)
    max_files: int = Field(default=10, ge=1, le=1_000)


class Logging(_Section):
    """What the log tells and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "console"] = "json"
    rotation: Rotation = Rotation()


class Dao(_Section):
    """Which DAO is there without being asked for.

    Attributes:
        default: the DAO a keyless call of development means when it names none.
        demo: seed the demo DAO when the database is empty.
    """

    default: Name | None = None
    demo: bool = False


class ServicePorts(_Section):
    """The ports of the services beside the router."""

    rbac: int = Field(default=9200, ge=0, le=65_535)
    gateway: int = Field(default=9300, ge=0, le=65_535)
    devtools: int = Field(default=8008, ge=0, le=65_535)


class Server(_Section):
    """Where the stack listens and how long it waits for a caller. Port 0 takes a free one.

    Attributes:
        port: the router's.
        ports: those of the other services; where the router takes a free one they do so, too.
        reload_on_change: put the configuration in force anew whenever one of its files has changed, as SIGHUP does.
    """

    host: Text = "127.0.0.1"
    port: int = Field(default=9102, ge=0, le=65_535)
    ports: ServicePorts = ServicePorts()
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=1_073_741_824)
    body_timeout_ms: int = Field(default=10_000, ge=100, le=600_000)
    shutdown_timeout_ms: int = Field(default=10_000, ge=0, le=600_000)
    reload_on_change: bool = False


class Database(_Section):
    """Where data is kept. No url means SQLite in `data_dir`; all else is for PostgreSQL.

    Attributes:
        password_env, password_file: the password, where it does not stand in the url; the file wins.
        connections: how many each process may hold to the server.
    """

    url: Annotated[str, AfterValidator(_database_url)] | None = Field(default=None, repr=False)
    password_env: Text | None = None
    password_file: Text | None = None
    connections: int = Field(default=10, ge=2, le=500)


class Dialogs(_Section):
    """How exchanges are written and how much of them a model is shown."""

    flush_ms: int = Field(default=50, ge=1, le=1_000)
    buffer: int = Field(default=10_000, ge=1, le=10_000_000)
    durability: Literal["batched", "before_reply"] = "batched"
    history_tokens: int = Field(default=1_500, ge=0, le=1_000_000)


class Retention(_Section):
    """How long message text is kept."""

    dialogs_days: int = Field(default=90, ge=1, le=36_500)


class Knowledge(_Section):
    """Search in a DAO's own facts.

    Attributes:
        embedder: search by meaning as well as by words.
        search_timeout_ms: after this long a search goes on with words alone.
        context_facts: facts a model is shown.
    """

    embedder: bool = True
    search_timeout_ms: int = Field(default=50, ge=1, le=60_000)
    context_facts: int = Field(default=5, ge=0, le=50)


class Cache(_Section):
    """How many answers are kept for equal questions, where a rule allows it; the one longest unused goes first."""

    max_entries: int = Field(default=1_000, ge=1, le=1_000_000)
    max_mb: int = Field(default=64, ge=1, le=65_536)


class Quota(_Section):
    """How much one may use; null is without a limit.

    Attributes:
        rpm: requests in any 60 seconds.
        tokens_per_day: prompt and completion together, a day in UTC.
        money_per_month: in the currency of `prices`, a calendar month in UTC.
    """

    rpm: int | None = Field(default=None, ge=1, le=1_000_000)
    tokens_per_day: int | None = Field(default=None, ge=1, le=10**15)
    money_per_month: float | None = Field(default=None, ge=0, le=1e9, allow_inf_nan=False)


class Limits(_Section):
    """The limits of keys, users and DAOs that have none of their own.

    Attributes:
        url: a Valkey or Redis server that several processes share; null counts in this process.
        timeout_ms: how long a request waits for that server.
    """

    key: Quota = Quota()
    user: Quota = Quota()
    dao: Quota = Quota()
    url: Annotated[str, AfterValidator(_counters_url)] | None = Field(default=None, repr=False)
    timeout_ms: int = Field(default=50, ge=1, le=10_000)


class ModelPrice(_Section):
    """What a million tokens of some models cost.

    Attributes:
        model: a pattern such as `gpt-5-mini*`.
        provider: for this provider alone.
        cached_input: prompt tokens the provider had in its cache; null costs as much as others.
    """

    model: Text
    provider: Name | None = None
    input: float = Field(ge=0, le=1e6, allow_inf_nan=False)
    output: float = Field(ge=0, le=1e6, allow_inf_nan=False)
    cached_input: float | None = Field(default=None, ge=0, le=1e6, allow_inf_nan=False)


class Prices(_Section):
    """Prices before those of the packaged table, which counts only in its own currency (USD)."""

    currency: Annotated[str, AfterValidator(_currency)] = "USD"
    models: Annotated[tuple[ModelPrice, ...], Field(strict=False)] = ()


class Membership(_Section):
    """Memberships that tokens give.

    Attributes:
        check_every_s: how often the chain is asked who still has enough.
    """

    check_every_s: int = Field(default=300, ge=5, le=604_800)


class Settings(_Section):
    """The whole configuration, frozen.

    Attributes:
        version: the version of this schema the files were written for.
        debug: kept for configurations that have it; nothing reads it but the check that refuses it outside development.
        routing_rules: kept as they were written; `rules` compiles them.
    """

    version: Annotated[str, AfterValidator(_version)] = VERSION
    environment: Literal["development", "staging", "production"] = "production"
    debug: bool = False
    llm_providers: Annotated[tuple[Provider, ...], Field(strict=False)] = ()
    routing_rules: Annotated[tuple[Mapping[str, object], ...], Field(strict=False, repr=False)] = ()
    logging: Logging = Logging()
    dao: Dao = Dao()
    server: Server = Server()
    data_dir: Text = ".dagi"
    database: Database = Database()
    dialogs: Dialogs = Dialogs()
    retention: Retention = Retention()
    knowledge: Knowledge = Knowledge()
    cache: Cache = Cache()
    limits: Limits = Limits()
    prices: Prices = Prices()
    membership: Membership = Membership()
    chains: Annotated[tuple[Chain, ...], Field(strict=False)] = ()
    identities: Identities = Identities()
    channels: Channels = Channels()
    devtools: Devtools = Devtools()
