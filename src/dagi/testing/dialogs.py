"""Dialogs in memory."""

from collections.abc import Generator
from contextlib import contextmanager

from dagi.errors import Overloaded
from dagi.message import Message, Turn
from dagi.ports.dialogs import Exchange, History


class FakeDialogs:
    """Implements the port Dialogs; `places` is how many exchanges may run or be kept."""

    def __init__(self, places: int = 1000) -> None:
        self.recorded: list[Exchange] = []
        self._places = places
        self._taken = 0

    @contextmanager
    def recording(self, exchange: Exchange) -> Generator[None]:
        """See the port Dialogs."""
        if self._taken >= self._places:
            raise Overloaded("No place is left.", retry_after_s=1)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
            if exchange.grant is not None and exchange.grant.entitlements:
                self.recorded.append(exchange)

    async def saved(self) -> None:
        """Memory is saved at once."""

    async def history(self, message: Message, tokens: int) -> History:
        """See the port Dialogs."""
        turns: list[Turn] = []
        for exchange in reversed(self.recorded):
            told = exchange.message
            if told.sender.session_id != message.sender.session_id or exchange.outcome != "ok" or told.mode != "chat":
                continue
            if (told.sender.dao_id, told.sender.user_id) != (message.sender.dao_id, message.sender.user_id):
                continue
            tokens -= (len(told.prompt.encode()) + len(exchange.text.encode())) // 4
            if tokens < 0:
                break
            turns += (Turn("assistant", exchange.text), Turn("user", told.prompt))
        return History(tuple(reversed(turns)))
