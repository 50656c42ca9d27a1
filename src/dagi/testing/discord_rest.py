"""The REST API of the scripted Discord: what each request does (https://docs.discord.com/developers/reference)."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from dagi.testing.discord_channels import Channels
from dagi.testing.discord_commands import Commands
from dagi.testing.discord_delivery import PUBLIC_KEY
from dagi.testing.discord_payloads import APPLICATION_ID, ME
from dagi.testing.discord_rules import DiscordError, Json, form
from dagi.testing.discord_talk import ANSWER_S, TOKEN_S, Shown, Talk, message_object

_SEGMENT: Final = re.compile(r"\{\w+\}")
_STAMP: Final = "2026-01-01T00:00:00.000000+00:00"
_TRUE: Final = frozenset({"1", "true", "True"})


class Asked:
    """A request, taken apart."""

    def __init__(self, parts: Mapping[str, str], query: Mapping[str, str], body: object) -> None:
        self.parts = parts
        self.query = query
        self.body = body

    @property
    def fields(self) -> Json:
        """The body as an object."""
        if not isinstance(self.body, dict):
            raise form("", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return cast("Json", self.body)


class Rest:
    """See the module.

    Attributes:
        endpoint: where interactions go; empty while that is nowhere.
        gateway_url: where events come from; empty where there is no gateway.
        starts: how many more connections may be begun there.

    Args:
        save: tries an endpoint.
    """

    def __init__(
        self,
        now: Callable[[], float],
        commands: Commands,
        channels: Channels,
        talks: list[Talk],
        save: Callable[[str], Awaitable[None]],
    ) -> None:
        self.endpoint = ""
        self.gateway_url = ""
        self.starts = 999
        self._now = now
        self._commands = commands
        self._channels = channels
        self._talks = talks
        self._save = save
        self._routes = [(method, _pattern(path), kind, does) for method, path, kind, does in self._table()]

    def find(self, method: str, path: str) -> tuple[str, Callable[[Asked], object], dict[str, str]]:
        """What a request does, with the kind of limit it counts against and the parts of its path.

        Raises:
            DiscordError: there is nothing like it.
        """
        known = [(one, kind, does, found) for one, pattern, kind, does in self._routes if (found := pattern.fullmatch(path))]
        if not known:
            raise DiscordError(404, 0, "404: Not Found")
        for one, kind, does, found in known:
            if one == method:
                return kind, does, found.groupdict()
        raise DiscordError(405, 0, "405: Method Not Allowed")

    def _table(self) -> list[tuple[str, str, str, Callable[[Asked], object]]]:
        original, message = "/webhooks/{application}/{token}/messages/{message}", "/channels/{channel}/messages/{message}"
        everywhere, guild = "/applications/{application}/commands", "/applications/{application}/guilds/{guild}/commands"
        return [
            ("GET", "/users/@me", "bot", lambda _: ME),
            ("GET", "/applications/@me", "bot", lambda _: self._application()),
            # The older name of it.
            ("GET", "/oauth2/applications/@me", "bot", lambda _: self._application()),
            ("GET", "/gateway/bot", "bot", lambda _: self._gateway()),
            ("PATCH", "/applications/@me", "bot", self._changed),
            ("GET", everywhere, "bot", self._commands_told),
            ("PUT", everywhere, "bot", self._commands_set),
            ("GET", guild, "bot", self._commands_told),
            ("PUT", guild, "bot", self._commands_set),
            (
                "POST",
                "/channels/{channel}/messages",
                "channel",
                lambda asked: self._object(self._channels.say(asked.parts["channel"], asked.fields)),
            ),
            ("PATCH", message, "channel", lambda asked: self._object(self._channels.edit(**asked.parts, body=asked.fields))),
            ("GET", message, "channel", lambda asked: self._object(self._channels.find(**asked.parts))),
            ("GET", "/channels/{channel}", "bot", lambda asked: self._channels.told(asked.parts["channel"])),
            ("POST", "/channels/{channel}/typing", "bot", self._typing),
            ("POST", "/interactions/{interaction}/{token}/callback", "", self._called_back),
            ("POST", "/webhooks/{application}/{token}", "webhook", lambda asked: self._object(self._talk(asked).follow(asked.fields))),
            ("PATCH", original, "webhook", self._edited),
            ("GET", original, "webhook", lambda asked: self._object(self._talk(asked).find(asked.parts["message"]))),
            ("DELETE", original, "webhook", self._deleted),
        ]

    def _talk(self, asked: Asked) -> Talk:
        found = self._by_token(asked)
        if asked.parts["application"] != APPLICATION_ID:
            raise DiscordError(404, 10015, "Unknown Webhook")
        if found is None or self._now() - found.began > TOKEN_S:
            raise DiscordError(401, 50027, "Invalid Webhook Token")
        return found

    def _by_token(self, asked: Asked) -> Talk | None:
        return next((one for one in self._talks if one.interaction.get("token") == asked.parts["token"]), None)

    def _edited(self, asked: Asked) -> object:
        found = self._talk(asked).find(asked.parts["message"])
        found.change(asked.fields)
        return self._object(found)

    def _deleted(self, asked: Asked) -> object:
        self._talk(asked).find(asked.parts["message"]).gone = True
        return None

    def _called_back(self, asked: Asked) -> object:
        talk = self._by_token(asked)
        if talk is None or talk.interaction["id"] != asked.parts["interaction"] or talk.failed:
            raise DiscordError(404, 10062, "Unknown interaction")
        if not talk.acknowledged and self._now() - talk.began > ANSWER_S:
            raise DiscordError(404, 10062, "Unknown interaction")
        talk.take(asked.fields)
        if asked.query.get("with_response") not in _TRUE:
            return None
        about: dict[str, Any] = {"id": talk.interaction["id"], "type": talk.kind}
        if asked.fields["type"] not in {4, 5, 7}:
            return {"interaction": about}
        shown = talk.original
        about |= {"response_message_id": shown.id, "response_message_loading": shown.loading, "response_message_ephemeral": shown.ephemeral}
        return {"interaction": about, "resource": {"type": asked.fields["type"], "message": self._object(shown)}}

    def _typing(self, asked: Asked) -> object:
        self._channels.enter(asked.parts["channel"])
        self._channels.typing.append(asked.parts["channel"])
        return None

    def _commands_told(self, asked: Asked) -> object:
        _own(asked)
        return self._commands.told(asked.parts.get("guild", ""), localizations=asked.query.get("with_localizations") in _TRUE)

    def _commands_set(self, asked: Asked) -> object:
        _own(asked)
        return self._commands.replace(asked.parts.get("guild", ""), asked.body)

    async def _changed(self, asked: Asked) -> object:
        if "interactions_endpoint_url" in asked.fields:
            url = str(asked.fields["interactions_endpoint_url"] or "")
            await self._save(url) if url else None
            self.endpoint = url
        return self._application()

    def _gateway(self) -> dict[str, object]:
        if not self.gateway_url:
            raise DiscordError(404, 0, "404: Not Found")
        limit = {"total": 1000, "remaining": self.starts, "reset_after": 0 if self.starts else 20, "max_concurrency": 1}
        return {"url": self.gateway_url, "shards": 1, "session_start_limit": limit}

    def _application(self) -> dict[str, object]:
        return {
            "id": APPLICATION_ID,
            "name": "DAGI of tests",
            "description": "",
            "icon": None,
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": PUBLIC_KEY,
            "owner": {**ME, "id": "987654321098765000", "username": "owner", "bot": False},
            "team": None,
            "bot": ME,
            "flags": 0,
            "interactions_endpoint_url": self.endpoint or None,
        }

    def _object(self, shown: Shown) -> dict[str, Any]:
        return {**message_object(shown, ME, _STAMP), "application_id": APPLICATION_ID}


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(_SEGMENT.sub(lambda found: f"(?P<{found[0][1:-1]}>[^/]+)", path))


def _own(asked: Asked) -> None:
    if asked.parts["application"] != APPLICATION_ID:
        raise DiscordError(403, 20012, "You are not authorized to perform this action on this application")
