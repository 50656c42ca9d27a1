"""`GET /sessions` and `GET /sessions/{session_id}`: the caller's own conversations."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from dagi.access.names import check_dao, check_identity, check_session
from dagi.errors import Missing
from dagi.message import Grant, Message, Sender
from dagi.ports.sessions import Sessions
from dagi.services.callers import Callers
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request
from dagi.services.reading import checked, number, query

PATH: Final = "/sessions"
MOST: Final = 200
_USUAL: Final = 50
_CLAIMS: Final = {"dao_id": check_dao, "user_id": check_identity}
_KNOWN: Final = (*_CLAIMS, "limit")
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
                greedy=True,
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
        values = query(request, _KNOWN)
        limit = number(values, "limit", usual=_USUAL, most=MOST)
        claimed = checked(values, _CLAIMS)
        sender = self._callers.sender(caller, claimed, request.id)
        self._grant(Message(id=request.id, sender=sender)).require("chat.use")
        return sender, limit
