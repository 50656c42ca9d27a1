"""The Bot API (https://core.telegram.org/bots/api#making-requests): one method called, its result or its error told."""

import asyncio
from datetime import timedelta
from typing import Annotated, Final

import msgspec

from dagi.ports.http import HttpClient, HttpFailure, HttpRequest

REPLY_LIMIT: Final = 1024 * 1024
_SHOWN: Final = 200
# A server that wants to be left alone for longer is asked again then.
LONGEST_PAUSE_S: Final = timedelta(hours=1).total_seconds()
# Whatever is wrong with a reply; nested deeper than Python's stack is one of it.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Parameters(msgspec.Struct, frozen=True):
    """See https://core.telegram.org/bots/api#responseparameters."""

    retry_after: float = 0.0
    migrate_to_chat_id: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] = 0


_NONE: Final = Parameters()


class Refusal(Exception):
    """The server did not do it.

    Attributes:
        code: its number, an HTTP status; 0 where there was no answer of the Bot API, whatever a proxy on the way may have said.
        description: its words, which never hold the token.
        retry_after_s: how long it wants to be left alone; 0 to `LONGEST_PAUSE_S`.
        migrate_to: the chat's new id.
    """

    def __init__(self, code: int, description: str, parameters: Parameters = _NONE) -> None:
        super().__init__(f"{code} {description}" if code else description)
        self.code = code
        self.description = description
        self.retry_after_s = min(max(parameters.retry_after, 0.0), LONGEST_PAUSE_S)
        self.migrate_to = parameters.migrate_to_chat_id


class _Reply(msgspec.Struct):
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error_code: int = 0
    description: str = ""
    parameters: Parameters = Parameters()


class Api:
    """One bot's access to the Bot API.

    Args:
        base_url: such as https://api.telegram.org, without a slash at its end.
        token: stands in every address, so no address is ever shown.
    """

    def __init__(self, http: HttpClient, base_url: str, token: str, *, timeout_s: float = 10.0) -> None:
        self._http = http
        self._prefix = f"{base_url.rstrip('/')}/bot{token}/"
        self._token = token
        self._timeout_s = timeout_s

    async def call(self, method: str, body: bytes = b"{}", *, timeout_s: float | None = None, most: int = REPLY_LIMIT) -> msgspec.Raw:
        """Call a method; gives its `result`, unread.

        Args:
            body: its parameters as a JSON object.
            most: bytes that are read of the reply.

        Raises:
            Refusal: the server did not do it, or gave no usable answer.
        """
        request = HttpRequest(method="POST", url=self._prefix + method, headers={"Content-Type": "application/json"}, body=body)
        try:
            async with asyncio.timeout(timeout_s or self._timeout_s), self._http.open(request) as response:
                status, content = response.status, await response.read(most)
        except TimeoutError:
            raise Refusal(0, "no answer in time") from None
        except HttpFailure as failure:
            # Whatever it says, it must not hold the address.
            raise Refusal(0, self._safe(str(failure))) from None
        try:
            reply = msgspec.json.decode(content, type=_Reply)
        except UNREADABLE:
            # It may be that of a proxy, which does not know what the Bot API would say.
            raise Refusal(0, f"no answer of the Bot API (HTTP {status})") from None
        if not reply.ok:
            raise Refusal(reply.error_code or status, self._safe(reply.description), reply.parameters)
        return reply.result

    def _safe(self, text: str) -> str:
        return text.replace(self._token, "…")[:_SHOWN]
