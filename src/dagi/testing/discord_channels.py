"""The channels of the scripted Discord: what people and the bot say there without an interaction (…/developers/resources/message)."""

from collections.abc import Callable
from typing import cast

from dagi.testing.discord_payloads import CHANNEL, GUILD
from dagi.testing.discord_rules import DiscordError, Json, check_message, form, text_of
from dagi.testing.discord_talk import Shown


class Channels:
    """See the module.

    Attributes:
        open: channels the bot may read and write.
        parents: of threads the channels they belong to.
        closed: channels it cannot see.
        theirs: what people wrote, by the messages' ids, with the channel each is in.
        shown: what the bot wrote, by the messages' ids.
        typing: channels in which it was seen typing, one for each time.
    """

    def __init__(self, number: Callable[[], str]) -> None:
        self.open = {CHANNEL}
        self.parents: dict[str, str] = {}
        self.closed: set[str] = set()
        self.theirs: dict[str, str] = {}
        self.shown: dict[str, Shown] = {}
        self.typing: list[str] = []
        self._number = number
        self._nonces: dict[tuple[str, str], Shown] = {}

    def heard(self, channel: str = CHANNEL) -> str:
        """A message of somebody; gives its id."""
        self.open.add(channel)
        number = self._number()
        self.theirs[number] = channel
        return number

    def told(self, channel: str) -> Json:
        """What there is to know about one.

        Raises:
            DiscordError: it is none of the bot's.
        """
        self.enter(channel)
        parent = self.parents.get(channel)
        return {"id": channel, "type": 0 if parent is None else 11, "name": "general", "guild_id": GUILD, "parent_id": parent, "flags": 0}

    def say(self, channel: str, body: Json) -> Shown:
        """A message of the bot.

        Raises:
            DiscordError: it is none, or has no place there.
        """
        self.enter(channel)
        check_message(body)
        nonce = str(body.get("nonce") or "")
        text_of({"nonce": nonce}, "nonce", "", 25, least=0)
        if nonce and body.get("enforce_nonce") and (channel, nonce) in self._nonces:
            # What was sent before is not sent again.
            return self._nonces[channel, nonce]
        shown = Shown(self._number(), channel, answers=self._answered(channel, body))
        shown.change(body)
        if shown.answers in self.theirs and _wakes_author(body):
            shown.pinged.append("author")
        self.shown[shown.id] = shown
        self._nonces[channel, nonce] = shown
        return shown

    def edit(self, channel: str, message: str, body: Json) -> Shown:
        """Another text for a message of the bot's.

        Raises:
            DiscordError: there is none, or it is somebody else's.
        """
        found = self.find(channel, message)
        found.change(body)
        return found

    def find(self, channel: str, message: str) -> Shown:
        """A message of the bot's.

        Raises:
            DiscordError: there is none, or it is somebody else's.
        """
        self.enter(channel)
        if self.theirs.get(message) == channel:
            raise DiscordError(403, 50005, "Cannot edit a message authored by another user")
        found = self.shown.get(message)
        if found is None or found.channel != channel:
            raise DiscordError(404, 10008, "Unknown Message")
        return found

    def enter(self, channel: str) -> None:
        """Refuse a channel that is none of the bot's.

        Raises:
            DiscordError: 403 or 404.
        """
        if channel in self.closed:
            raise DiscordError(403, 50001, "Missing Access")
        if channel not in self.open:
            raise DiscordError(404, 10003, "Unknown Channel")

    def _answered(self, channel: str, body: Json) -> str:
        reference = cast("Json", body.get("message_reference") or {})
        message = str(reference.get("message_id") or "")
        known = self.theirs.get(message) == channel or message in self.shown
        if message and not known:
            if reference.get("fail_if_not_exists", True):
                raise form("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
            return ""
        return message


def _wakes_author(body: Json) -> bool:
    rules = body.get("allowed_mentions")
    return not isinstance(rules, dict) or bool(cast("Json", rules).get("replied_user"))
