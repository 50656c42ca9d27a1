"""Discord's REST API (https://docs.discord.com/developers/reference): one request, its answer or its error told."""

import asyncio
from datetime import timedelta
from typing import Annotated, Final

import msgspec

from dagi.ports.http import HttpClient, HttpFailure, HttpRequest

REPLY_LIMIT: Final = 1024 * 1024
# A server that wants to be left alone for longer is asked again then.
LONGEST_PAUSE_S: Final = timedelta(hours=1).total_seconds()
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SHOWN: Final = 200
_GOOD: Final = range(200, 300)
_PASSING: Final = frozenset({401, 429})
_SERVER_ERRORS: Final = 500
_DIGITS: Final = 9
# Discord bars programs that do not say who they are.
_AGENT: Final = "DiscordBot (dagi-stack, 0.3)"


class Refusal(Exception):
    """Discord did not do it.

    Attributes:
        status: of HTTP; 0 where there was no answer, or none of Discord's.
        code: Discord's own number for what is wrong, 0 without one
            (https://docs.discord.com/developers/topics/opcodes-and-status-codes#json).
        description: its words, which never hold a token.
        retry_after_s: how long it wants to be left alone; 0 to `LONGEST_PAUSE_S`.
        everywhere: by the whole bot.
    """

    def __init__(self, status: int, code: int, description: str, retry_after_s: float = 0.0, *, everywhere: bool = False) -> None:
        super().__init__(" ".join(str(part) for part in (status or "", code or "", description) if part))
        self.status = status
        self.code = code
        self.description = description
        self.everywhere = everywhere
        self.retry_after_s = min(max(retry_after_s, 0.0), LONGEST_PAUSE_S)


class _Trouble(msgspec.Struct):
    message: str = ""
    code: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] = 0
    retry_after: float = 0.0
    everywhere: bool = msgspec.field(name="global", default=False)


class Api:
    """One application's access.

    Args:
        base_url: such as https://discord.com/api/v10, without a slash at its end.
        token: the bot's; empty where there is none. What is done with an interaction's own token needs none.
    """

    def __init__(self, http: HttpClient, base_url: str, token: str, *, timeout_s: float = 10.0) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s

    @property
    def has_token(self) -> bool:
        """Whether it can do what only the bot may."""
        return bool(self._token)

    async def call(self, method: str, path: str, body: bytes = b"", *, as_bot: bool = True) -> bytes:
        """One request; gives the answer's body.

        Args:
            path: from the version on, such as /users/@me. It may hold an interaction's token, so it is never shown.
            as_bot: prove that it is the bot that asks.

        Raises:
            Refusal: Discord did not do it, or gave no usable answer.
        """
        headers = {"User-Agent": _AGENT}
        if body:
            headers["Content-Type"] = "application/json"
        if as_bot:
            if not self._token:
                raise Refusal(401, 0, "the application has no bot token here (bot_token_env)")
            headers["Authorization"] = f"Bot {self._token}"
        request = HttpRequest(method=method, url=self._base_url + path, headers=headers, body=body)
        try:
            async with asyncio.timeout(self._timeout_s), self._http.open(request) as response:
                status, content = response.status, await response.read(REPLY_LIMIT)
                pause = response.header("Retry-After") or ""
        except TimeoutError:
            raise Refusal(0, 0, "no answer in time") from None
        except HttpFailure as failure:
            raise Refusal(0, 0, self._safe(str(failure), path)) from None
        if status in _GOOD:
            return content
        try:
            trouble = msgspec.json.decode(content, type=_Trouble)
        except UNREADABLE:
            # That of a proxy, or of the guard before Discord's servers.
            wait = float(pause) if pause.isascii() and pause.isdigit() and len(pause) <= _DIGITS else 0.0
            # What such a one forbids Discord may allow.
            seen = status if status in _PASSING or status >= _SERVER_ERRORS else 0
            raise Refusal(seen, 0, f"no answer of Discord's API (HTTP {status})", wait) from None
        what = self._safe(trouble.message, path)
        raise Refusal(status, trouble.code, what, trouble.retry_after, everywhere=trouble.everywhere)

    def _safe(self, text: str, path: str) -> str:
        # /webhooks/{application}/{token}/… and /interactions/{id}/{token}/…
        own = path.split("/")[3:4] if path.startswith(("/webhooks/", "/interactions/")) else ()
        for secret in (self._token, *own):
            if secret:
                text = text.replace(secret, "…")
        return text[:_SHOWN]
