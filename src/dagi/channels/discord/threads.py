"""Which channel a thread belongs to: an interaction tells that, a message does not."""

from collections import OrderedDict
from typing import Final

import msgspec

from dagi.channels.discord.api import UNREADABLE, Api, Refusal
from dagi.channels.discord.interactions import snowflake
from dagi.errors import AccessUnavailable

# Threads stay where they are, so that many are asked for once.
_MOST: Final = 10_000
_HIDDEN: Final = frozenset({403, 404})


class _Channel(msgspec.Struct):
    """See https://docs.discord.com/developers/resources/channel#channel-object."""

    parent_id: str | None = None


class Threads:
    """Asks Discord, once for each channel."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: OrderedDict[str, str] = OrderedDict()

    async def parent(self, channel: str) -> str:
        """The channel it belongs to, or the category; empty where there is none.

        Raises:
            AccessUnavailable: Discord does not tell just now, so whose words these are is not known.
        """
        if channel in self._known:
            self._known.move_to_end(channel)
            return self._known[channel]
        try:
            found = msgspec.json.decode(await self._api.call("GET", f"/channels/{channel}"), type=_Channel)
        except (Refusal, *UNREADABLE) as error:
            if isinstance(error, Refusal) and error.status in _HIDDEN:
                # What the bot cannot see it cannot answer in either.
                return ""
            raise AccessUnavailable("Discord does not tell which channel this thread belongs to.") from error
        self._known[channel] = parent = snowflake(found.parent_id or "")
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return parent
