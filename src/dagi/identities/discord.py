"""Discord's OAuth2 (discord.com/developers/docs/topics/oauth2), as far as it says which account somebody has: scope `identify`, PKCE."""

import asyncio
import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from dagi.errors import Gone, Misconfigured, OutsideFailure, OutsideTimeout, SwitchedOff
from dagi.ports.http import HttpClient, HttpFailure, HttpRequest
from dagi.ports.secrets import shown

T = TypeVar("T")

_SERVICE: Final = "discord"
_REPLY_LIMIT: Final = 64 * 1024
_SCOPE: Final = "identify"
# Snowflakes: 64 bits, no leading zeros, so that an account has one spelling.
_ID: Final = re.compile(r"[1-9][0-9]{0,19}\Z")
# What says that the application is at fault, whoever comes.
_APPLICATION: Final = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"})
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,2000}\Z")


class DiscordSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The application. Where one of the first three is empty, linking by Discord's login is off."""

    client_id: str = ""
    client_secret: str = ""
    redirect_url: str = ""
    api_url: str = "https://discord.com/api/v10"
    authorize_url: str = "https://discord.com/oauth2/authorize"
    timeout_s: float = 5.0

    def __repr__(self) -> str:
        return shown(self, "client_secret")


class _Refusal(msgspec.Struct):
    error: str = ""
    error_description: str = ""


class _Token(msgspec.Struct):
    access_token: str
    scope: str = ""


class _User(msgspec.Struct):
    id: str
    bot: bool = False


class DiscordLogin:
    """Sends people to Discord, and asks Discord who came back."""

    def __init__(self, settings: DiscordSettings, http: HttpClient) -> None:
        self._settings = settings
        self._http = http

    def url(self, state: str, verifier: str) -> str:
        """Where the browser goes.

        Raises:
            SwitchedOff: the application is not configured.
        """
        settings = self._settings
        if not (settings.client_id and settings.client_secret and settings.redirect_url):
            what = "identities.discord.client_id, client_secret_env and redirect_url"
            raise SwitchedOff(f"Linking by Discord's login is not set up here. The operator can do that: {what}")
        query = {
            "response_type": "code",
            "client_id": settings.client_id,
            "scope": _SCOPE,
            "state": state,
            "redirect_uri": settings.redirect_url,
            "prompt": "consent",
            "code_challenge": urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return f"{settings.authorize_url}?{urlencode(query)}"

    async def identity(self, code: str, verifier: str) -> str:
        """The account of whoever came back with the code, `dc:<id>`.

        Raises:
            Gone: Discord does not take the code any more.
            Misconfigured: it does not take the application as it is configured here, whoever comes.
            OutsideFailure: it did not answer, or not usably.
        """
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                token = await self._token(code, verifier)
                return await self._user(token)
        except TimeoutError as late:
            raise OutsideTimeout("Discord did not answer in time. Try again.", service=_SERVICE) from late
        except HttpFailure as failure:
            raise OutsideFailure("Discord cannot be reached just now. Try again.", service=_SERVICE, detail=str(failure)) from failure

    async def _token(self, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.redirect_url,
            "code_verifier": verifier,
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret,
        }
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        request = HttpRequest(
            method="POST", url=f"{self._settings.api_url}/oauth2/token", headers=headers, body=urlencode(form).encode(), fresh=True
        )
        async with self._http.open(request) as response:
            body = await response.read(_REPLY_LIMIT)
            if response.status in {400, 401}:
                raise self._refused(body)
            token = self._read(response.status, body, _Token)
        if _SCOPE not in token.scope.split() or not _TOKEN.match(token.access_token):
            raise self._unusable("the token is not one for the scope identify")
        return token.access_token

    def _refused(self, body: bytes) -> Gone | Misconfigured | OutsideFailure:
        """Whose fault it is by RFC 6749, 5.2. Discord calls another redirect than the application's an invalid request."""
        refusal = self._decoded(body, _Refusal)
        if refusal.error in _APPLICATION:
            keys = "identities.discord.client_id and identities.discord.client_secret_env"
            detail = f"Discord refuses the application ({refusal.error}): check {keys}"
        elif "redirect_uri" in refusal.error_description:
            detail = "Discord refuses the redirect: identities.discord.redirect_url has to stand among the application's, letter by letter"
        elif refusal.error == "invalid_grant":
            return Gone("Discord does not take this login any more: it was used, or it is too old. Begin again.")
        else:
            return self._unusable(f"it refuses the request ({refusal.error[:40]!r})")
        return Misconfigured(
            "This stack's Discord login is set up wrongly, so it links nobody. Tell an operator.", service=_SERVICE, detail=detail
        )

    async def _user(self, token: str) -> str:
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        request = HttpRequest(method="GET", url=f"{self._settings.api_url}/users/@me", headers=headers, fresh=True)
        async with self._http.open(request) as response:
            user = self._read(response.status, await response.read(_REPLY_LIMIT), _User)
        if user.bot or not _ID.match(user.id):
            raise self._unusable("the account is no person's")
        return f"dc:{user.id}"

    def _read(self, status: int, body: bytes, kind: type[T]) -> T:
        if status != 200:
            raise self._unusable(f"HTTP status {status}")
        return self._decoded(body, kind)

    def _decoded(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as mistake:
            raise self._unusable("an answer is not what it should be") from mistake

    def _unusable(self, detail: str) -> OutsideFailure:
        return OutsideFailure("Discord's answer cannot be used. Try again, or tell the operator.", service=_SERVICE, detail=detail)
