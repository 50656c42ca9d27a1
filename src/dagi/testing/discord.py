"""A scripted Discord over real HTTP: the token and user endpoints of its OAuth2, strict about codes, PKCE and the application's secret."""

import asyncio
import json
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

from dagi.testing.upstream_http import Incoming, ScriptedServer

CLIENT_ID = "1122334455"
CLIENT_SECRET = "discord-secret-of-tests"  # noqa: S105 - nobody's


class Discord(ScriptedServer):
    """The server.

    Attributes:
        user: what `/users/@me` says.
        status: answered instead of everything else, where it is not 200.
        body: answered instead of the user, where it is not empty.
        silent: it takes requests and never answers.
        redirect_url: the one it knows, where it is not empty.
        heard: the paths asked for, in order.
    """

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.user: dict[str, object] = {"id": "987654321098765432", "username": "ann", "global_name": "Ann"}
        self.status = 200
        self.body = b""
        self.silent = False
        self.redirect_url = ""
        self.heard: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: set[str] = set()

    @property
    def api_url(self) -> str:
        """For `identities.discord.api_url`."""
        return f"http://127.0.0.1:{self.port}/api/v10"

    def allow(self, url: str) -> str:
        """What a person does at Discord's page: allow it. Gives the query the browser is sent back with."""
        asked = dict(parse_qsl(urlsplit(url).query))
        wanted = {"response_type": "code", "client_id": CLIENT_ID, "scope": "identify", "code_challenge_method": "S256"}
        if any(asked.get(name) != value for name, value in wanted.items()):
            raise ValueError(asked)
        code = secrets.token_hex(8)
        self._codes[code] = asked
        return f"code={code}&state={asked['state']}"

    async def _answer(self, incoming: Incoming) -> None:
        self.heard.append(incoming.path)
        if self.silent:
            await asyncio.Event().wait()
        if self.status != 200:
            self._send(incoming, self.status, {"message": "scripted"})
        elif incoming.path == "/api/v10/oauth2/token":
            self._token(incoming, dict(parse_qsl(incoming.body.decode())))
        elif incoming.path == "/api/v10/users/@me" and incoming.headers.get("authorization", "").removeprefix("Bearer ") in self._tokens:
            if self.body:
                incoming.send(200, {"Content-Type": "application/json"}, self.body)
            else:
                self._send(incoming, 200, self.user)
        else:
            self._send(incoming, 401, {"message": "401: Unauthorized", "code": 0})

    def _token(self, incoming: Incoming, form: dict[str, str]) -> None:
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            self._send(incoming, 401, {"error": "invalid_client"})
            return
        if self.redirect_url not in {"", form.get("redirect_uri")}:
            self._send(incoming, 400, {"error": "invalid_request", "error_description": 'Invalid "redirect_uri" in request.'})
            return
        asked = self._codes.pop(form.get("code", ""), {})
        challenge = urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        good = asked and asked["code_challenge"] == challenge and asked["redirect_uri"] == form.get("redirect_uri")
        if not good or form.get("grant_type") != "authorization_code":
            self._send(incoming, 400, {"error": "invalid_grant", "error_description": 'Invalid "code" in request.'})
            return
        token = secrets.token_hex(16)
        self._tokens.add(token)
        self._send(incoming, 200, {"access_token": token, "token_type": "Bearer", "expires_in": 604800, "scope": asked["scope"]})

    def _send(self, incoming: Incoming, status: int, body: dict[str, object]) -> None:
        incoming.send(status, {"Content-Type": "application/json"}, json.dumps(body).encode())
