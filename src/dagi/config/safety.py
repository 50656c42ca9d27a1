"""What must not be in force where strangers can reach the stack, and what an operator should at least know."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

import msgspec

from dagi.config.environment import Environment
from dagi.config.marks import KeyPath
from dagi.config.origins import Origins
from dagi.config.schema import VERSION, Settings
from dagi.errors import ConfigError

_PLACEHOLDERS = frozenset(
    {"admin", "changeme", "change-me", "change_me", "dagi", "default", "demo", "example", "pass", "password", "placeholder", "postgres"}
    | {"replace-me", "replace_me", "root", "secret", "test", "todo", "xxx", "123456"}
)
# The modes of libpq that know whom they speak to, or at least let nobody listen.
_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
# Emptied at the start of the machine, or by a sweep.
_EMPTIED = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/")  # noqa: S108 - named to be warned of
_PLACEHOLDER_STARTS = ("your-", "your_", "sk-xxx", "sk-your", "sk-...", "<", "change", "example", "demo-", "test-")


class Hazard(msgspec.Struct, frozen=True):
    """A setting that is not safe where strangers can reach the stack.

    Attributes:
        what: what is set, as the rest of a sentence that begins with the key.
        why: what could come of it.
        write: what to set instead.
    """

    path: KeyPath
    what: str
    why: str
    write: str


def hazards(settings: Settings, environment: Environment) -> list[Hazard]:
    """What staging or production must not start with; in development, what reaches beyond its machine."""
    if settings.environment == "development":
        return [*_reachable_development(settings)]
    return [*_open_doors(settings), *_default_secrets(settings, environment)]


def unsafe(settings: Settings, origins: Origins, environment: Environment) -> list[str]:
    """Why staging or production must not start like this; one line a reason, each saying what to set.

    Development may not listen beyond its machine.
    """
    of = "" if settings.environment == "development" else f" (environment is {settings.environment})"
    return [origins.mistake(one.path, f"{one.what}; {one.write}{of}") for one in hazards(settings, environment)]


def advice(settings: Settings, environment: Environment) -> list[Hazard]:
    """What staging and production may start with, and their operator should have thought of."""
    if settings.environment == "development":
        return []
    return [
        *_readable_on_the_way(settings, environment),
        *_unprotected_on_the_way(settings),
        *_without_bounds(settings),
        *_short_lived(settings),
    ]


def _reachable_development(settings: Settings) -> Iterator[Hazard]:
    if not _is_loopback(settings.server.host):
        yield Hazard(
            ("server", "host"),
            "development serves callers without a key, so it listens on this machine alone",
            "whoever can reach this address could ask, as an admin of every DAO, without a key",
            "set 127.0.0.1, or environment: staging",
        )


def warnings(settings: Settings, origins: Origins, environment: Environment) -> list[str]:
    """What is allowed but probably not meant."""
    found: list[tuple[KeyPath, str]] = []
    if not settings.routing_rules:
        message = "there are no routing rules, so every request ends with NO_ROUTE; add one, or start with --profile"
        found.append((("routing_rules",), message))
    if settings.environment != "development" and settings.logging.level == "DEBUG":
        found.append((("logging", "level"), "DEBUG costs speed and disk and tells more than others should read; set INFO"))
    if settings.environment != "development":
        found += [*_nodes_in_the_clear(settings, environment)]
    if _numbers(settings.version)[:2] > _numbers(VERSION)[:2]:
        found.append((("version",), f"was written for DAGI Stack {settings.version}, this is {VERSION}; newer keys will be refused"))
    return [origins.mistake(path, message) for path, message in found]


def _open_doors(settings: Settings) -> Iterator[Hazard]:
    if settings.debug:
        why = "whatever shows more for debugging shows it to strangers as well"
        yield Hazard(("debug",), "is for development alone", why, "set debug: false")
    if settings.dao.demo:
        why = "whoever has read the documentation knows the identity of its admin"
        yield Hazard(("dao", "demo"), "seeds a DAO whose members everybody knows", why, "set dao.demo: false")


def _default_secrets(settings: Settings, environment: Environment) -> Iterator[Hazard]:
    for index, provider in enumerate(settings.llm_providers):
        secret = environment.secret(provider.config)
        if secret is not None and _is_placeholder(secret):
            key = "api_key_file" if provider.config.get("api_key_file") else "api_key_env"
            why = "the provider refuses it, or takes everybody who knows it for you"
            path = ("llm_providers", index, "config", key)
            yield Hazard(path, "leads to a placeholder instead of a key", why, "set your own key, or leave it unset")
    known = "whoever reaches that server reads and changes what is in it"
    if _has_default_password(settings.database.url):
        yield Hazard(("database", "url"), "has a password everybody knows", known, "give the database user a password of its own")
    secret = environment.secret(settings.database.model_dump(), "password")
    if secret is not None and _is_placeholder(secret):
        key = "password_file" if settings.database.password_file else "password_env"
        yield Hazard(("database", key), "leads to a password everybody knows", known, "give the database user a password of its own")
    if _has_default_password(settings.limits.url):
        write = "give the server of shared limits a password of its own"
        yield Hazard(("limits", "url"), "has a password everybody knows", known, write)


def _readable_on_the_way(settings: Settings, environment: Environment) -> Iterator[Hazard]:
    if not _is_loopback(settings.server.host):
        why = "the stack speaks plain HTTP, so keys and messages can be read between a caller and it"
        write = "listen on 127.0.0.1 behind a reverse proxy with TLS, or let nobody but the proxy reach the port"
        yield Hazard(("server", "host"), "is an address that other machines reach", why, write)
    for index, provider in enumerate(settings.llm_providers):
        base_url = provider.config.get("base_url")
        if _is_plain_and_far(base_url) and environment.secret(provider.config) is not None:
            why = "its key and everything that is said can be read on the way"
            yield Hazard(("llm_providers", index, "config", "base_url"), "sends a key over plain HTTP", why, "write https://")


def _nodes_in_the_clear(settings: Settings, environment: Environment) -> Iterator[tuple[KeyPath, str]]:
    message = "is plain HTTP to another machine, so who holds a token, and has a role by it, can be changed on the way; write https://"
    for index, chain in enumerate(settings.chains):
        written = chain.model_dump(exclude={"rpc_url"})
        try:
            secret = environment.secret(written, "rpc_url")
        except ConfigError:
            # Whoever reads it to use it tells what is wrong with it.
            continue
        key = next((name for name in ("rpc_url_file", "rpc_url_env") if secret is not None and written[name] is not None), "rpc_url")
        if _is_plain_and_far(secret or chain.rpc_url):
            yield ("chains", index, key), message


def _unprotected_on_the_way(settings: Settings) -> Iterator[Hazard]:
    url = settings.database.url or ""
    parts = urlsplit(url)
    host = parts.hostname
    mode = parse_qs(parts.query).get("sslmode", [""])[-1]
    if url.startswith("postgres") and host and not _is_loopback(host) and mode not in _ENCRYPTED:
        why = "everything members say, and the password's proof, can be read and changed on the way to the database"
        yield Hazard(("database", "url"), "does not insist on TLS", why, "write ?sslmode=verify-full&sslrootcert=/path/to/ca.pem behind it")


def _without_bounds(settings: Settings) -> Iterator[Hazard]:
    limits = settings.limits
    if not any(value is not None for quota in (limits.key, limits.user, limits.dao) for value in quota.model_dump().values()):
        why = "one member, or one key that leaks, can use up everything the providers allow"
        write = "set limits.user.rpm and limits.dao.money_per_month, or give keys and DAOs limits of their own"
        yield Hazard(("limits",), "limit nobody", why, write)


def _short_lived(settings: Settings) -> Iterator[Hazard]:
    if any(settings.data_dir.startswith(place) for place in _EMPTIED):
        why = "it is emptied when the machine starts, with every key, member and record"
        yield Hazard(("data_dir",), "is a directory for temporary files", why, "set one that stays, such as /var/lib/dagi")


def _is_plain_and_far(url: object) -> bool:
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "http" and not _is_loopback(host)


def _is_placeholder(secret: str) -> bool:
    folded = secret.casefold()
    return folded in _PLACEHOLDERS or folded.startswith(_PLACEHOLDER_STARTS)


def _has_default_password(url: str | None) -> bool:
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return False
    password = parts.password
    return password is not None and (_is_placeholder(password) or password == parts.username)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
