"""`GET /sessions` and `GET /sessions/{session_id}`: the caller's own conversations."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from dagi.access.names import check_dao, check_identity, check_session
from dagi.errors import Invalid, Missing
from dagi.message import Grant, Message, Sender
from dagi.ports.sessions import Sessions
from dagi.services.callers import Callers
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request

PATH: Final = "/sessions"
MOST: Final = 200
_USUAL: Final = 50
_CLAIMS: Final = (("dao_id", check_dao), ("user_id", check_identity))
_KNOWN: Final = (*(name for name, _ in _CLAIMS), "limit")
_PARAMETERS: Final = (
    Parameter(name="dao_id", description="The DAO; the key's own where left out."),
    Parameter(name="user_id", description="Whose sessions: the caller's own, or those of whom it may speak for (`act_as`)."),
    Parameter(
        name="limit",
        description=f"How many, the latest: 1 to {MOST}, {_USUAL} where left out.",
        schema={"type": "integer", "minimum": 1, "maximum": MOST, "default": _USUAL},
    ),
)


class SessionBody(msgspec.Struct):
    """One conversation. `title` is how it began, empty where the text is no longer kept."""

    session_id: str
    title: str
    exchanges: int
    began: datetime
    latest: datetime


class SessionsReply(msgspec.Struct):
    """The conversations, the latest first."""

    request_id: str
    sessions: list[SessionBody]


class SaidBody(msgspec.Struct):
    """One question and its answer; `outcome` is `ok`, `cancelled` or an error's code."""

    request_id: str
    at: datetime
    mode: str
    outcome: str
    prompt: str
    answer: str
    provider: str
    model: str


class SessionReply(msgspec.Struct):
    """The latest exchanges of one conversation, oldest first."""

    request_id: str
    session_id: str
    exchanges: list[SaidBody]


class SessionsFace:
    """Reads what a person said before, for that person alone.

    Args:
        grant: decides what the sender of a message may do.
    """

    def __init__(self, sessions: Sessions, callers: Callers, grant: Callable[[Message], Grant]) -> None:
        self._sessions = sessions
        self._callers = callers
        self._grant = grant

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (
            Endpoint(
                method="GET",
                path=PATH,
                handler=self.list,
                summary="Your own conversations",
                gives=SessionsReply,
                errors=(400, 401, 403),
                parameters=_PARAMETERS,
            ),
            Endpoint(
                method="GET",
                path=PATH + "/{session_id}",
                handler=self.show,
                summary="One of your own conversations",
                gives=SessionReply,
                errors=(400, 401, 403, 404),
                parameters=(Parameter(name="session_id", description="The conversation.", place="path"), *_PARAMETERS),
            ),
        )

    async def list(self, request: Request) -> Answer:
        """GET /sessions."""
        sender, limit = self._asked(request)
        found = await self._sessions.sessions(sender.dao_id, sender.user_id, limit)
        return Answer(body=encode(SessionsReply(request.id, [msgspec.convert(one, SessionBody, from_attributes=True) for one in found])))

    async def show(self, request: Request) -> Answer:
        """GET /sessions/{session_id}."""
        sender, limit = self._asked(request)
        session_id = check_session(request.path.removeprefix(PATH + "/"))
        found = await self._sessions.session(sender.dao_id, sender.user_id, session_id, limit)
        if not found:
            raise Missing("You have no session of that id. GET /sessions lists those you have.", session_id=session_id)
        said = [msgspec.convert(one, SaidBody, from_attributes=True) for one in found]
        return Answer(body=encode(SessionReply(request.id, session_id, said)))

    def _asked(self, request: Request) -> tuple[Sender, int]:
        caller = self._callers.prove(request)
        values = _query(request.query)
        limit = _limit(values.pop("limit", None))
        claimed = {name: check(values[name], name) for name, check in _CLAIMS if name in values}
        sender = self._callers.sender(caller, claimed, request.id)
        self._grant(Message(id=request.id, sender=sender)).require("chat.use")
        return sender, limit


def _query(text: bytes) -> dict[str, str]:
    values: dict[str, str] = {}
    try:
        pairs: Sequence[tuple[str, str]] = parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except ValueError as error:
        raise Invalid("The query of the address cannot be read.", field="query") from error
    for name, value in pairs:
        if name not in _KNOWN or name in values:
            what = "is there twice" if name in values else "is unknown"
            raise Invalid(f"The parameter {name[:40]!r} {what}.", field=name[:40] or "query", allowed=list(_KNOWN))
        values[name] = value
    return values


def _limit(text: str | None) -> int:
    if text is None:
        return _USUAL
    if not text.isascii() or not text.isdigit() or len(text) > 6 or not 1 <= int(text) <= MOST:
        raise Invalid(f"limit is a number from 1 to {MOST}.", field="limit")
    return int(text)
