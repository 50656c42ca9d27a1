"""Interactions as Discord delivers them (https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-object)."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from dagi.testing.discord_rules import Json, listed
from dagi.testing.discord_talk import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, PING, Shown, Talk, message_object

APPLICATION_ID: Final = "1100000000000000001"
GUILD: Final = "1200000000000000001"
CHANNEL: Final = "1300000000000000001"
# The channel of a member's private messages with the bot is this number and the end of the member's own.
_PRIVATE: Final = "14"
ANN: Final = "987654321098765432"
ME: Final = {
    "id": APPLICATION_ID,
    "username": "dagi",
    "discriminator": "0000",
    "global_name": None,
    "avatar": None,
    "bot": True,
    "public_flags": 0,
}


class Payloads:
    """Makes them. Where `guild` is empty, it is a private message.

    Args:
        number: a new id.
    """

    def __init__(self, number: Callable[[], str]) -> None:
        self._number = number

    def ping(self) -> dict[str, Any]:
        """What Discord asks an endpoint that is being saved, and at times later."""
        return self._interaction(PING, {})

    def command(self, name: str, *, user: str = ANN, guild: str = GUILD, locale: str = "en-GB", **options: object) -> dict[str, Any]:
        """Somebody used a slash command."""
        found = [{"name": option, **_typed(value)} for option, value in options.items()]
        return self._interaction(COMMAND, self._said(user, guild, locale), data=self._command(name, guild, found))

    def autocomplete(
        self, name: str, option: str, typed: str, *, user: str = ANN, guild: str = GUILD, locale: str = "en-GB"
    ) -> dict[str, Any]:
        """Somebody is typing an option's value."""
        found = [{"name": option, "type": 3, "value": typed, "focused": True}]
        return self._interaction(AUTOCOMPLETE, self._said(user, guild, locale), data=self._command(name, guild, found))

    def press(
        self, shown: Shown, custom_id: str, values: Sequence[str] = (), *, user: str = ANN, guild: str = GUILD, locale: str = "en-GB"
    ) -> dict[str, Any]:
        """Somebody pressed a button of a message, or chose in a select of it.

        Raises:
            LookupError: nobody could.
        """
        one = shown.find(custom_id)
        kind = int(one["type"])
        if kind == 3:
            offered = {option["value"] for option in listed(one, "options", "", 25)}
            if not int(one.get("min_values", 1)) <= len(values) <= int(one.get("max_values", 1)) or not set(values) <= offered:
                raise LookupError(f"{custom_id} does not let {list(values)} be chosen")
        data = {"custom_id": custom_id, "component_type": kind, "id": 2, **({} if kind == 2 else {"values": list(values)})}
        said = self._said(user, guild, locale)
        message = {**message_object(shown, ME, "2026-01-01T00:00:00.000000+00:00"), "channel_id": said["channel_id"]}
        return self._interaction(COMPONENT, said, data=data, message=message)

    def submit(
        self, talk: Talk, values: Mapping[str, str], *, user: str = ANN, guild: str = GUILD, locale: str = "en-GB"
    ) -> dict[str, Any]:
        """Somebody filled in the form that they were shown.

        Raises:
            LookupError: there is no form, or it takes no such texts.
        """
        if talk.modal is None:
            raise LookupError("no form was shown")
        rows = [_filled(row, values) for row in listed(talk.modal, "components", "", 5)]
        data = {"custom_id": talk.modal["custom_id"], "components": rows}
        more = {"message": talk.interaction["message"]} if "message" in talk.interaction else {}
        return self._interaction(MODAL, self._said(user, guild, locale), data=data, **more)

    def future(self, kind: int = 99, **more: object) -> dict[str, Any]:
        """An interaction of a kind that nobody knows yet."""
        return self._interaction(kind, self._said(ANN, GUILD, "en-GB"), **more)

    def _interaction(self, kind: int, said: Json, **more: object) -> dict[str, Any]:
        return {
            "id": self._number(),
            "application_id": APPLICATION_ID,
            "type": kind,
            # Not to be told apart by anybody from outside.
            "token": secrets.token_urlsafe(96),
            "version": 1,
            "entitlements": [],
            **said,
            **more,
        }

    def _said(self, user: str, guild: str, locale: str) -> dict[str, Any]:
        who = {
            "id": user,
            "username": "ann",
            "global_name": "Ann",
            "discriminator": "0",
            "avatar": None,
            "public_flags": 0,
        }
        common: dict[str, Any] = {"locale": locale, "app_permissions": "2147862592", "attachment_size_limit": 10485760}
        if not guild:
            channel = _PRIVATE + user[2:]
            return {
                **common,
                "user": who,
                "context": 1,
                "channel_id": channel,
                "channel": {"id": channel, "type": 1, "last_message_id": None, "flags": 0},
                "authorizing_integration_owners": {"0": "0"},
            }
        member = {
            "user": who,
            "nick": None,
            "avatar": None,
            "roles": [],
            "joined_at": "2025-01-01T00:00:00.000000+00:00",
            "premium_since": None,
            "deaf": False,
            "mute": False,
            "flags": 0,
            "pending": False,
            "permissions": "2147862592",
        }
        return {
            **common,
            "member": member,
            "context": 0,
            "guild_id": guild,
            "guild_locale": "en-US",
            "guild": {"id": guild, "locale": "en-US", "features": []},
            "channel_id": CHANNEL,
            "channel": {
                "id": CHANNEL,
                "type": 0,
                "name": "general",
                "guild_id": guild,
                "permissions": "2147862592",
                "position": 0,
                "flags": 0,
            },
            "authorizing_integration_owners": {"0": guild},
        }

    def _command(self, name: str, guild: str, options: Sequence[Json]) -> dict[str, Any]:
        where = {"guild_id": guild} if guild else {}
        return {"id": self._number(), "name": name, "type": 1, **({"options": list(options)} if options else {}), **where}


def _typed(value: object) -> dict[str, object]:
    kind = next((number for form, number in ((bool, 5), (int, 4), (float, 10)) if isinstance(value, form)), 3)
    return {"type": kind, "value": value}


def _filled(row: Json, values: Mapping[str, str]) -> dict[str, Any]:
    labelled = row["type"] == 18
    one = cast("Json", row["component"]) if labelled else listed(row, "components", "", 1)[0]
    name = str(one["custom_id"])
    value = values.get(name, "")
    least = int(one.get("min_length", 1 if one.get("required", True) else 0)) if value or one.get("required", True) else 0
    if not least <= len(value) <= int(one.get("max_length", 4000)):
        raise LookupError(f"{name} does not take a text of {len(value)} characters")
    filled = {"type": one["type"], "id": 2, "custom_id": name, "value": value}
    return {"type": 18, "id": 1, "component": filled} if labelled else {"type": 1, "id": 1, "components": [filled]}
