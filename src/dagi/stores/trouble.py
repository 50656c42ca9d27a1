"""Trouble that lasts is told when it begins, now and then while it goes on, and when it is over: never with every try."""

import asyncio
from typing import Final

from dagi.ports.observer import Observer

TELL_S: Final = 60.0


class Trouble:
    """One kind of trouble, told as `<event>` and `<over>`.

    Attributes:
        why: what is wrong now; empty while nothing is.
    """

    def __init__(self, observer: Observer, event: str, over: str) -> None:
        self.why = ""
        self._observer = observer
        self._event = event
        self._over = over
        self._tell_at = 0.0
        self._tries = 0

    def again(self, why: str, **facts: object) -> None:
        """It went wrong, for the first time or once more."""
        now = asyncio.get_running_loop().time()
        self._tries += 1
        if not self.why or now >= self._tell_at:
            self._tell_at = now + TELL_S
            self._observer.note(self._event, level="error", why=why, tries=self._tries, **facts)
        self.why = why

    def over(self) -> None:
        """It went well."""
        if self.why:
            self._observer.note(self._over, level="warning", tries=self._tries)
            self.why, self._tries = "", 0
