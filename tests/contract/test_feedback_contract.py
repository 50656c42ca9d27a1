"""What every implementation of the port Feedback holds to: the one over the databases, and the fake."""

from collections.abc import Sequence

import pytest
from sqlalchemy import insert, select
from tests.conftest import Opener

from dagi.ports.feedback import MOST_WORDS, Feedback
from dagi.stores.database import Database
from dagi.stores.feedback import SqlFeedback
from dagi.stores.tables import exchange, feedback
from dagi.testing.clock import FakeClock
from dagi.testing.feedback import FakeFeedback

pytestmark = pytest.mark.anyio
# The DAO, the request, the account, the session.
ANSWERS = (("green", "tg-main-1", "tg:1", "s"), ("green", "tg-main-2", "tg:1", "s"), ("green", "tg-main-3", "tg:2", "s"))
OTHER_DAO = ("bees", "tg-main-9", "tg:1", "s")


class Subject:
    """The port, and a look at what it keeps."""

    port: Feedback

    async def opinions(self) -> Sequence[tuple[str, str, int, str]]:
        raise AssertionError


class InMemory(Subject):
    def __init__(self) -> None:
        self.port = fake = FakeFeedback()
        fake.answers = [*ANSWERS, OTHER_DAO]
        self._fake = fake

    async def opinions(self) -> Sequence[tuple[str, str, int, str]]:
        return [(request, user, one.value, one.comment) for (_, request, user), one in sorted(self._fake.opinions.items())]


class InDatabase(Subject):
    def __init__(self, database: Database) -> None:
        self.port = SqlFeedback(database, FakeClock())
        self._database = database

    async def opinions(self) -> Sequence[tuple[str, str, int, str]]:
        columns = (feedback.c.request_id, feedback.c.user_id, feedback.c.value, feedback.c.comment)
        async with self._database.read() as connection:
            rows = await connection.execute(select(*columns).order_by(feedback.c.request_id, feedback.c.user_id))
            return [tuple(row) for row in rows]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def subject(request: pytest.FixtureRequest, opened: Opener) -> Subject:
    if request.param == "memory":
        return InMemory()
    database = await opened(request.param)
    async with database.write() as connection:
        for dao_id, request_id, user_id, session_id in (*ANSWERS, OTHER_DAO):
            row = {"source": "telegram", "mode": "chat", "outcome": "ok", "prompt": "?", "answer": "!", "duration_ms": 1.0}
            row |= {"dao_id": dao_id, "request_id": request_id, "user_id": user_id, "session_id": session_id, "at": FakeClock().now()}
            await connection.execute(insert(exchange).values(**row))
    return InDatabase(database)


async def test_each_person_has_one_opinion_of_an_answer_and_may_change_it(subject: Subject) -> None:
    for user_id, value in (("tg:1", 1), ("tg:2", 1), ("tg:1", -1)):
        assert await subject.port.rate("green", "tg-main-1", user_id, value, session_id="s")
    assert await subject.opinions() == [("tg-main-1", "tg:1", -1, ""), ("tg-main-1", "tg:2", 1, "")]


@pytest.mark.parametrize("request_id", ["tg-main-4", "tg-main-9", ""])
async def test_what_is_not_there_or_another_daos_cannot_be_rated(subject: Subject, request_id: str) -> None:
    assert not await subject.port.rate("green", request_id, "tg:1", 1, session_id="s")
    assert await subject.opinions() == []


async def test_whoever_is_not_in_the_conversation_rates_nothing_of_it_but_what_they_asked_themselves(subject: Subject) -> None:
    assert not await subject.port.rate("green", "tg-main-1", "tg:2", 1, session_id="another")
    assert not await subject.port.rate("green", "tg-main-1", "tg:2", 1, session_id="")
    assert await subject.port.rate("green", "tg-main-1", "tg:1", 1, session_id="another")
    assert await subject.opinions() == [("tg-main-1", "tg:1", 1, "")]


async def test_words_go_to_the_persons_own_latest_answer_in_the_session_and_stay_beside_a_rating(subject: Subject) -> None:
    assert await subject.port.rate("green", "tg-main-2", "tg:1", -1, session_id="s")
    assert await subject.port.comment("green", "tg:1", "s", "too\0 long" if isinstance(subject, InDatabase) else "too long")
    assert await subject.opinions() == [("tg-main-2", "tg:1", -1, "too long")]
    assert await subject.port.comment("green", "tg:1", "s", "x" * (MOST_WORDS + 1))
    assert await subject.port.rate("green", "tg-main-2", "tg:1", 1, session_id="s")
    assert await subject.opinions() == [("tg-main-2", "tg:1", 1, "x" * MOST_WORDS)]


@pytest.mark.parametrize(("user_id", "session_id"), [("tg:3", "s"), ("tg:1", "another")])
async def test_words_without_an_answer_before_them_are_nobodys(subject: Subject, user_id: str, session_id: str) -> None:
    assert not await subject.port.comment("green", user_id, session_id, "words")
    assert await subject.opinions() == []
