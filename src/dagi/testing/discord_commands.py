"""The commands of the scripted Discord's application (https://docs.discord.com/developers/interactions/application-commands)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from dagi.testing.discord_rules import DiscordError, Json, form, listed, text_of, units

# https://docs.discord.com/developers/reference#locales
LOCALES: Final = frozenset(
    [
        "id",
        "da",
        "de",
        "en-GB",
        "en-US",
        "es-ES",
        "es-419",
        "fr",
        "hr",
        "it",
        "lt",
        "hu",
        "nl",
        "no",
        "pl",
        "pt-BR",
        "ro",
        "fi",
        "sv-SE",
        "vi",
        "tr",
        "cs",
        "el",
        "bg",
        "ru",
        "uk",
        "hi",
        "th",
        "zh-CN",
        "ja",
        "zh-TW",
        "ko",
    ]
)
_NAME: Final = re.compile(r"[-'\w]{1,32}\Z")
_MOST: Final = {1: 100, 2: 15, 3: 15}
_CREATES_A_DAY: Final = 200
_TOGETHER: Final = 8000
_NESTED: Final = frozenset({1, 2})
_COMPLETED: Final = frozenset({3, 4, 10})
_LOCALIZED: Final = ("name_localizations", "description_localizations")


class Commands:
    """What is registered, by guild; "" is everywhere.

    Attributes:
        closed: guilds the application is not in.
        created: new commands of today, of which there may be 200 for each guild.
    """

    def __init__(self, application_id: str, number: Callable[[], str]) -> None:
        self.closed: set[str] = set()
        self.created: dict[str, int] = {}
        self._application_id = application_id
        self._number = number
        self._known: dict[str, list[dict[str, Any]]] = {}

    def names(self, guild: str = "") -> list[str]:
        """The names of those that are registered there."""
        return [str(one["name"]) for one in self._known.get(guild, [])]

    def told(self, guild: str, *, localizations: bool) -> list[dict[str, Any]]:
        """See the two `GET …/commands`: how they are called in other languages is told to those who ask for it alone.

        Raises:
            DiscordError: 50001 for a guild it is not in.
        """
        self._enter(guild)
        return [one if localizations else _without(one) for one in self._known.get(guild, [])]

    def replace(self, guild: str, asked: object) -> list[dict[str, Any]]:
        """See the two `PUT …/commands`: all others are gone then.

        Raises:
            DiscordError: 50035 where one of them is none, 50001 for a guild it is not in.
        """
        self._enter(guild)
        if not isinstance(asked, list):
            raise form("", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        commands = listed({"": asked}, "", "", sum(_MOST.values()))
        seen: set[tuple[int, str]] = set()
        for at, one in enumerate(commands):
            check_command(one, str(at))
            key = int(one.get("type", 1)), str(one["name"])
            if key in seen:
                raise form(str(at), "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
            seen.add(key)
        for kind, most in _MOST.items():
            if sum(1 for one, _ in seen if one == kind) > most:
                raise DiscordError(400, 30032, f"Maximum number of application commands reached ({most})")
        before = {(one["type"], one["name"]): one["id"] for one in self._known.get(guild, [])}
        self.created[guild] = self.created.get(guild, 0) + len(seen - set(before))
        if self.created[guild] > _CREATES_A_DAY:
            raise DiscordError(429, 30034, "Max number of daily application command creates has been reached (200)")
        self._known[guild] = [self._registered(one, guild, before) for one in commands]
        return self._known[guild]

    def _enter(self, guild: str) -> None:
        if guild in self.closed:
            raise DiscordError(403, 50001, "Missing Access")

    def _registered(self, one: Json, guild: str, before: Mapping[tuple[int, str], str]) -> dict[str, Any]:
        kind = int(one.get("type", 1))
        defaults: dict[str, Any] = {
            "application_id": self._application_id,
            "version": self._number(),
            "default_member_permissions": None,
            "type": kind,
            "description": "",
            "dm_permission": True,
            "nsfw": False,
            "name_localizations": None,
            "description_localizations": None,
        }
        where: dict[str, Any] = {"guild_id": guild} if guild else {"contexts": None, "integration_types": [0]}
        given = {name: value for name, value in one.items() if guild == "" or name not in {"contexts", "integration_types"}}
        return {"id": before.get((kind, str(one["name"]))) or self._number(), **defaults, **where, **given}


def _without(one: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in one.items() if name not in _LOCALIZED}
    for name in ("options", "choices"):
        if name in found:
            found[name] = [_without(inside) for inside in found[name]]
    return found


def check_command(one: Json, path: str) -> None:
    """Refuse what is no command."""
    kind = one.get("type", 1)
    if kind not in _MOST:
        raise form(f"{path}.type", "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3}.")
    if kind == 1:
        _check_named(one, path)
        check_options(listed(one, "options", path, 25), path, nested=True)
    else:
        text_of(one, "name", path, 32)
        if one.get("description"):
            raise form(
                f"{path}.description", "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION", "Context menu commands cannot have description"
            )
    for at, context in enumerate(cast("Sequence[object]", one.get("contexts") or ())):
        if context not in {0, 1, 2}:
            raise form(f"{path}.contexts.{at}", "BASE_TYPE_CHOICES", "Value must be one of {0, 1, 2}.")
    if _length(one) > _TOGETHER:
        raise form(path, "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")


def _check_named(one: Json, path: str) -> None:
    _check_name(text_of(one, "name", path, 32), f"{path}.name")
    text_of(one, "description", path, 100)
    for field in _LOCALIZED:
        for locale, text in cast("Mapping[str, str]", one.get(field) or {}).items():
            where = f"{path}.{field}.{locale}"
            if locale not in LOCALES:
                raise form(f"{path}.{field}", "DICT_TYPE_INVALID_KEYS", f"The key {locale!r} is no locale.")
            text_of({"": text}, "", where, 32 if field == "name_localizations" else 100)
            if field == "name_localizations":
                _check_name(text, where)


def _check_name(name: str, path: str) -> None:
    if not _NAME.match(name) or name != name.lower():
        raise form(path, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")


def check_options(options: Sequence[Json], path: str, *, nested: bool = False) -> None:
    """Refuse what is no list of a command's options."""
    seen: set[str] = set()
    optional = False
    for at, one in enumerate(options):
        where = f"{path}.options.{at}"
        kind = one.get("type")
        if kind not in range(1, 12) or (kind in _NESTED and not nested):
            raise form(f"{where}.type", "BASE_TYPE_CHOICES", "Value must be one of the types of options.")
        _check_named(one, where)
        if one["name"] in seen:
            raise form(f"{path}.options", "APPLICATION_COMMAND_OPTIONS_NAME_INVALID", "Option names must be unique")
        seen.add(str(one["name"]))
        if one.get("required") and optional:
            raise form(where, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", "Required options must be placed before non-required options")
        optional = optional or not one.get("required")
        if kind in _NESTED:
            check_options(listed(one, "options", where, 25), where, nested=kind == 2)
        else:
            _check_value(one, where)


def _check_value(one: Json, path: str) -> None:
    kind = one["type"]
    choices = listed(one, "choices", path, 25)
    for at, choice in enumerate(choices):
        text_of(choice, "name", f"{path}.choices.{at}", 100)
    if one.get("autocomplete") and (kind not in _COMPLETED or choices):
        raise form(f"{path}.autocomplete", "APPLICATION_COMMAND_AUTOCOMPLETE_INVALID", "Strings and numbers without choices are completed.")
    for name, floor in (("min_length", 0), ("max_length", 1)):
        if name in one and (kind != 3 or not floor <= int(one[name]) <= 6000):
            raise form(f"{path}.{name}", "NUMBER_TYPE_RANGE", f"int value should be between {floor} and 6000, of a string.")


def _length(one: Json) -> int:
    """Characters that count against a command's size: of each text its longest translation."""
    total = 0
    for name in ("name", "description"):
        translated = cast("Mapping[str, str]", one.get(f"{name}_localizations") or {})
        total += max(units(str(text)) for text in (one.get(name, ""), *translated.values()))
    total += units(str(one.get("value", "")))
    return total + sum(_length(inside) for name in ("options", "choices") for inside in cast("Sequence[Json]", one.get(name) or ()))
