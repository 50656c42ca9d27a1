"""Feedback in memory, written as plainly as can be: what the one over the databases is compared with."""

import msgspec

from dagi.ports.feedback import MOST_WORDS, Value


class Opinion(msgspec.Struct):
    """What somebody thinks of an answer."""

    value: int = 0
    comment: str = ""


class FakeFeedback:
    """Implements the port Feedback.

    Attributes:
        answers: what was answered, in order: the DAO, the request, the account and the session.
        opinions: by DAO, request and account.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[str, str, str, str]] = []
        self.opinions: dict[tuple[str, str, str], Opinion] = {}

    async def rate(self, dao_id: str, request_id: str, user_id: str, value: Value, *, session_id: str) -> bool:
        """See the port."""
        asked = [answer[2:] for answer in self.answers if answer[:2] == (dao_id, request_id)]
        if not any(user == user_id or session == session_id for user, session in asked):
            return False
        self._opinion(dao_id, request_id, user_id).value = value
        return True

    async def comment(self, dao_id: str, user_id: str, session_id: str, words: str) -> bool:
        """See the port."""
        own = [request for dao, request, user, session in self.answers if (dao, user, session) == (dao_id, user_id, session_id)]
        if not own:
            return False
        self._opinion(dao_id, own[-1], user_id).comment = words[:MOST_WORDS]
        return True

    def _opinion(self, dao_id: str, request_id: str, user_id: str) -> Opinion:
        return self.opinions.setdefault((dao_id, request_id, user_id), Opinion())
