"""A scripted Discord over real HTTP: it delivers interactions, and its REST API of version 10 is as strict as Discord's.

Strict about signatures, times (three seconds for the first answer, fifteen minutes for a token), forms, access and pace. The rules stand in
`discord_rules` and `discord_commands`, what a member sees in `discord_talk`, the interactions themselves in `discord_payloads`.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast
from urllib.parse import parse_qs, unquote

from dagi.testing.discord_channels import Channels
from dagi.testing.discord_commands import Commands
from dagi.testing.discord_delivery import Fault, post, signed
from dagi.testing.discord_pace import VIA, Pace
from dagi.testing.discord_payloads import APPLICATION_ID, Payloads
from dagi.testing.discord_rest import Asked, Rest
from dagi.testing.discord_rules import DiscordError, Json, form
from dagi.testing.discord_talk import ANSWER_S, Shown, Talk
from dagi.testing.upstream_http import Incoming, ScriptedServer

BOT_TOKEN: Final = "MTEwMDAwMDAwMDAwMDAwMDAwMQ.Gnobod.scripted-token-of-nobody-0123456789"  # noqa: S105 - nobody's
_PREFIX: Final = "/api/v10"
# How long it really waits for an answer that does not come, whatever its clock says.
_PATIENCE_S: Final = 30.0
_AGENT: Final = "DiscordBot ("
# A body in which something is of another kind than the rules think.
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, LookupError)
_UNVERIFIED: Final = "The specified interactions endpoint url could not be verified."


class NotTaken(Exception):
    """What Discord makes of an answer that it does not take: the member is told that the application did not respond.

    Attributes:
        status: of the answer; 0 without one.
        body: of the answer.
    """

    def __init__(self, status: int, why: str, body: bytes = b"") -> None:
        super().__init__(f"{status} {why}")
        self.status = status
        self.body = body


class Call:
    """One request, as the server heard it; `status` is what it answered."""

    def __init__(self, method: str, path: str, body: object, status: int) -> None:
        self.method = method
        self.path = path
        self.body = body
        self.status = status


class DiscordApi(ScriptedServer):
    """The server.

    Attributes:
        make: makes interactions.
        commands: those that are registered.
        channels: what is said without an interaction.
        pace: how often it lets itself be asked.
        talks: the interactions that were delivered, in order.
        calls: what the API heard, in order.
        rest: what the requests of bots do.
        hosts: where the servers of public names are on this machine, such as http://127.0.0.1:9300.
        barred: words that the moderation of a server takes in no message.
        failing: called with each request's method and path before it is done; may raise `DiscordError`.

    Args:
        now: a clock that never jumps, in seconds.
        wall: seconds since 1970, with which deliveries are dated.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        super().__init__(self._answer)
        self._now = now
        self._wall = wall
        self._numbers = 1_400_000_000_000_000_000
        self.make = Payloads(self._number)
        self.commands = Commands(APPLICATION_ID, self._number)
        self.channels = Channels(self._number)
        self.pace = Pace(now, wall)
        self.talks: list[Talk] = []
        self.calls: list[Call] = []
        self.hosts: dict[str, str] = {}
        self.barred = ""
        self.failing: Callable[[str, str], None] = lambda _method, _path: None
        self._heard = asyncio.Condition()
        self.rest = Rest(now, self.commands, self.channels, self.talks, self.save)

    @property
    def url(self) -> str:
        """For `channels.discord.api_base_url`."""
        return f"http://127.0.0.1:{self.port}{_PREFIX}"

    @property
    def endpoint(self) -> str:
        """Where interactions go, as far as Discord knows; empty while that is nowhere."""
        return self.rest.endpoint

    @property
    def gateway_url(self) -> str:
        """What it says of its gateway; see `discord_gateway`."""
        return self.rest.gateway_url

    @gateway_url.setter
    def gateway_url(self, url: str) -> None:
        self.rest.gateway_url = url

    async def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Wait until it holds; asked after each request and each delivery."""
        async with asyncio.timeout(seconds), self._heard:
            await self._heard.wait_for(lambda: bool(condition()))

    def open(self, interaction: Json) -> Talk:
        """Know an interaction that is delivered in another way."""
        on = self._shown(str(cast("Json", interaction.get("message") or {}).get("id", "")))
        talk = Talk(interaction, self._now(), self._number, on)
        if "user" in interaction:
            self.channels.open.add(str(interaction["channel_id"]))
        self.talks.append(talk)
        return talk

    async def deliver(self, url: str, interaction: Json, fault: Fault = "") -> Talk:
        """Deliver it to an endpoint, and show the member what it answers.

        Args:
            fault: what is wrong with the proof that it comes from Discord.

        Raises:
            NotTaken: the answer is not one that Discord takes.
        """
        talk = self.open(interaction)
        body = json.dumps(interaction, ensure_ascii=False).encode()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status, headers, content = await post(url, signed(body, self._wall(), fault), body)
        except (OSError, TimeoutError) as error:
            raise _failed(talk, 0, f"no answer: {error}") from None
        finally:
            await self._tell()
        if self._now() - talk.began > ANSWER_S:
            raise _failed(talk, status, "no answer within three seconds", content)
        if not (status in {202, 204} and talk.acknowledged):
            if status != 200 or headers.get("content-type", "").partition(";")[0] != "application/json":
                raise _failed(talk, status, f"no answer in JSON: {headers.get('content-type')}", content)
            try:
                talk.take(_object(content))
            except DiscordError as error:
                raise _failed(talk, status, str(error), content) from None
            except _UNREADABLE as error:
                raise _failed(talk, status, f"it cannot be read: {error}", content) from error
        await self._tell()
        return talk

    async def save(self, url: str) -> None:
        """What Discord does when somebody says where interactions shall go: it tries whether signatures are checked there.

        Raises:
            DiscordError: they are not, or nobody answers as Discord wants it.
        """
        refused = form("interactions_endpoint_url", "APPLICATION_INTERACTIONS_ENDPOINT_URL_INVALID", _UNVERIFIED)
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        if scheme != "https" or host not in self.hosts:
            raise refused
        here = f"{self.hosts[host]}{slash}{path}"
        try:
            await self.deliver(here, self.make.ping())
        except NotTaken as error:
            raise refused from error
        try:
            await self.deliver(here, self.make.ping(), "other_key")
        except NotTaken as error:
            if error.status != 401:
                raise refused from error
        else:
            raise refused
        self.rest.endpoint = url

    async def _answer(self, incoming: Incoming) -> None:
        path, _, query = incoming.path.removeprefix(_PREFIX).partition("?")
        body: object = None
        headers: dict[str, str] = {}
        try:
            self.failing(incoming.method, path)
            kind, does, parts = self.rest.find(incoming.method, unquote(path))
            if kind in {"bot", "channel"}:
                self._check_bot(incoming)
            headers = self.pace.count(kind, parts.get("token") or parts.get("channel", ""))
            body = _body(incoming)
            if self.barred and self.barred in json.dumps(body):
                raise DiscordError(400, 200000, "Message was blocked by automatic moderation")
            result = does(Asked(parts, {name: values[-1] for name, values in parse_qs(query).items()}, body))
            content = await cast("Awaitable[object]", result) if isinstance(result, Awaitable) else result
            status = 204 if content is None else 200
        except (DiscordError, *_UNREADABLE) as caught:
            error = caught if isinstance(caught, DiscordError) else form("", "UNREADABLE", f"{type(caught).__name__} {caught}")
            self.pace.refused(error)
            status, content, headers = error.status, error.body, {**headers, **error.headers}
        self.calls.append(Call(incoming.method, path, body, status))
        # Exactly so: discord.py takes nothing else for JSON.
        told = {} if content is None else {"Content-Type": "application/json"}
        incoming.send(status, {**told, **VIA, **headers}, b"" if content is None else json.dumps(content).encode())
        await self._tell()

    def _check_bot(self, incoming: Incoming) -> None:
        if incoming.headers.get("authorization") != f"Bot {BOT_TOKEN}":
            raise DiscordError(401, 0, "401: Unauthorized")
        if not incoming.headers.get("user-agent", "").startswith(_AGENT):
            # https://docs.discord.com/developers/reference#user-agent
            raise DiscordError(403, 40333, "internal network error: say who you are: DiscordBot ($url, $versionNumber)")
        self.pace.count_bot()

    def _shown(self, message: str) -> Shown | None:
        of_talks = (one for talk in self.talks for one in talk.shown if one.id == message)
        return next(of_talks, None) or self.channels.shown.get(message)

    def _number(self) -> str:
        self._numbers += 1
        return str(self._numbers)

    async def _tell(self) -> None:
        async with self._heard:
            self._heard.notify_all()


def _body(incoming: Incoming) -> object:
    if not incoming.body:
        return {}
    if incoming.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise form("", "CONTENT_TYPE_INVALID", "Expected \"Content-Type\" header to be one of {'application/json'}.")
    try:
        return cast("object", json.loads(incoming.body))
    except ValueError:
        raise DiscordError(400, 50109, "The request body contains invalid JSON.") from None


def _object(content: bytes) -> Json:
    found = cast("object", json.loads(content))
    if not isinstance(found, dict):
        raise form("", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    return cast("Json", found)


def _failed(talk: Talk, status: int, why: str, body: bytes = b"") -> NotTaken:
    talk.fail(why)
    return NotTaken(status, why, body)
