"""What must not be in force where strangers can reach the stack, and what an operator should at least know."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from dagi.config.environment import Environment
from dagi.config.marks import KeyPath
from dagi.config.origins import Origins
from dagi.config.schema import VERSION, Settings

_PLACEHOLDERS = frozenset(
    {"admin", "changeme", "change-me", "change_me", "dagi", "default", "demo", "example", "pass", "password", "placeholder", "postgres"}
    | {"replace-me", "replace_me", "root", "secret", "test", "todo", "xxx", "123456"}
)
_PLACEHOLDER_STARTS = ("your-", "your_", "sk-xxx", "sk-your", "sk-...", "<", "change", "example", "demo-", "test-")


def unsafe(settings: Settings, origins: Origins, environment: Environment) -> list[str]:
    """Why staging or production must not start like this; one line a reason, each saying what to set.

    Development may not listen beyond its machine.
    """
    if settings.environment == "development":
        return [origins.mistake(path, message) for path, message in _reachable_development(settings)]
    found = [*_open_doors(settings), *_default_secrets(settings, environment)]
    return [origins.mistake(path, f"{message} (environment is {settings.environment})") for path, message in found]


def _reachable_development(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    if not _is_loopback(settings.server.host):
        message = "development serves callers without a key, so it listens on this machine alone; set 127.0.0.1, or environment: staging"
        yield ("server", "host"), message


def warnings(settings: Settings, origins: Origins) -> list[str]:
    """What is allowed but probably not meant."""
    found: list[tuple[KeyPath, str]] = []
    if not settings.routing_rules:
        message = "there are no routing rules, so every request ends with NO_ROUTE; add one, or start with --profile"
        found.append((("routing_rules",), message))
    if settings.environment != "development" and settings.logging.level == "DEBUG":
        found.append((("logging", "level"), "DEBUG costs speed and disk and tells more than others should read; set INFO"))
    if _numbers(settings.version)[:2] > _numbers(VERSION)[:2]:
        found.append((("version",), f"was written for DAGI Stack {settings.version}, this is {VERSION}; newer keys will be refused"))
    return [origins.mistake(path, message) for path, message in found]


def _open_doors(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    if settings.debug:
        yield ("debug",), "is for development alone; set debug: false"
    if settings.dao.demo:
        yield ("dao", "demo"), "seeds a DAO whose members everybody knows; set dao.demo: false"


def _default_secrets(settings: Settings, environment: Environment) -> Iterator[tuple[KeyPath, str]]:
    for index, provider in enumerate(settings.llm_providers):
        secret = environment.secret(provider.config)
        if secret is not None and _is_placeholder(secret):
            key = "api_key_file" if provider.config.get("api_key_file") else "api_key_env"
            yield ("llm_providers", index, "config", key), "leads to a placeholder instead of a key; set your own key, or leave it unset"
    if _has_default_password(settings.database.url):
        yield ("database", "url"), "has a password everybody knows; give the database user a password of its own"
    if _has_default_password(settings.limits.url):
        yield ("limits", "url"), "has a password everybody knows; give the server of shared limits a password of its own"


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
