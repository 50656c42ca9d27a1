"""How often the scripted Discord lets itself be asked (https://docs.discord.com/developers/topics/rate-limits)."""

import math
from collections.abc import Callable
from typing import Final

from dagi.testing.discord_rules import DiscordError

# As many within so many seconds. Discord tells no figures and may change them; these are what has been seen.
_WINDOWS: Final = {"webhook": (5, 2.0), "channel": (5, 5.0)}
_GLOBAL: Final = 50
# Its answers come by way of this; clients know one of a guard before the servers by its absence.
VIA: Final = {"Via": "1.1 google"}
_INVALID: Final = frozenset({401, 403, 429})


def too_many(retry_after: float, *, scope: str = "user", everywhere: bool = False, bucket: str = "") -> DiscordError:
    """A 429; `everywhere` is the limit of the whole bot."""
    headers = {"Retry-After": str(math.ceil(retry_after)), "X-RateLimit-Scope": "global" if everywhere else scope}
    if everywhere:
        headers["X-RateLimit-Global"] = "true"
    elif bucket:
        headers["X-RateLimit-Bucket"] = bucket
    error = DiscordError(429, 0, "You are being rate limited.", headers, retry_after=round(retry_after, 3), **{"global": everywhere})
    # It has no number of its own.
    del error.body["code"]
    return error


class Pace:
    """Counts requests.

    Attributes:
        on: whether the limits are kept to.
        invalid: how many requests were refused with 401, 403 or 429: after 10,000 within ten minutes Discord bars the address.
    """

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self.on = True
        self.invalid = 0
        self._now = now
        self._wall = wall
        self._windows: dict[str, tuple[float, int]] = {}

    def count(self, kind: str, whose: str) -> dict[str, str]:
        """Count one request; gives the headers of its answer.

        Args:
            kind: `webhook` or `channel`; others have no limit that is known.

        Raises:
            DiscordError: 429; it is not counted then.
        """
        if kind not in _WINDOWS:
            return {}
        most, seconds = _WINDOWS[kind]
        bucket = f"{kind}-bucket"
        used, left = self._use(f"{kind}/{whose}", most, seconds)
        if self.on and used > most:
            error = too_many(left, bucket=bucket)
            error.headers = {**error.headers, **self._told(most, 0, left, bucket)}
            raise error
        return self._told(most, max(most - used, 0), left, bucket) if self.on else {}

    def count_bot(self) -> None:
        """Count one request of the bot's, whatever it is about.

        Raises:
            DiscordError: 429 for all of them.
        """
        used, left = self._use("bot", _GLOBAL, 1.0)
        if self.on and used > _GLOBAL:
            raise too_many(left, everywhere=True)

    def refused(self, error: DiscordError) -> None:
        """Count one that was refused."""
        if error.status in _INVALID and error.headers.get("X-RateLimit-Scope") != "shared":
            self.invalid += 1

    def _use(self, key: str, most: int, seconds: float) -> tuple[int, float]:
        now = self._now()
        begun, used = self._windows.get(key, (now, 0))
        if now >= begun + seconds:
            begun, used = now, 0
        self._windows[key] = begun, min(used + 1, most + (not self.on))
        return used + 1, begun + seconds - now

    def _told(self, most: int, remaining: int, left: float, bucket: str) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(most),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": f"{self._wall() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": bucket,
        }
