"""Feedback wherever exchanges are shown or removed: it is told with them and goes with them."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from tests.rooms.test_stores_dialogs import row, write

from dagi.stores.database import Database
from dagi.stores.dialogs import DialogArchive
from dagi.stores.erasure import Erasure
from dagi.stores.feedback import SqlFeedback
from dagi.stores.retention import Retention
from dagi.stores.tables import feedback
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio


async def opinions(database: Database) -> list[tuple[str, str]]:
    async with database.read() as connection:
        found = await connection.execute(
            select(feedback.c.request_id, feedback.c.user_id).order_by(feedback.c.request_id, feedback.c.user_id)
        )
        return [tuple(one) for one in found]


async def rated(database: Database, clock: FakeClock) -> None:
    """Two exchanges of two people, each rated by both."""
    await write(database, row("one", clock.now()), row("two", clock.now(), user_id="tg:2"))
    for request_id in ("r-one", "r-two"):
        for user_id in ("tg:1", "tg:2"):
            assert await SqlFeedback(database, clock).rate("green", request_id, user_id, -1, session_id="s")


async def test_whoever_is_given_their_dialogs_gets_their_own_opinions_and_nobody_elses(database: Database) -> None:
    clock = FakeClock()
    await rated(database, clock)
    await SqlFeedback(database, clock).comment("green", "tg:1", "s", "wrong")
    dialog, elsewhere = [one async for one in DialogArchive(database).export("tg:1")]
    (exchange,) = dialog.insights["exchanges"]
    assert [(one["user_id"], one["value"], one["comment"]) for one in exchange["feedback"]] == [("tg:1", -1, "wrong")]
    assert (elsewhere.dialog_id, elsewhere.dao_id, elsewhere.prompts) == ("feedback/green/tg:1", "green", ())
    assert [(one["request_id"], one["value"]) for one in elsewhere.insights["feedback"]] == [("r-two", -1)]
    shown = await DialogArchive(database).show(dialog.dialog_id)
    (exchange,) = shown.insights["exchanges"]
    assert [one["user_id"] for one in exchange["feedback"]] == ["tg:1", "tg:2"]


async def test_whoever_is_erased_takes_their_opinions_along_and_those_about_their_answers(database: Database) -> None:
    clock = FakeClock()
    await rated(database, clock)
    assert (await Erasure(database, clock).count("tg:1")).opinions == 2
    assert (await Erasure(database, clock).erase("tg:1", "green")).opinions == 2
    assert await opinions(database) == [("r-two", "tg:2")]


async def test_feedback_goes_with_the_text_it_is_about_and_nothing_more_is_taken(database: Database) -> None:
    clock = FakeClock()
    await rated(database, clock)
    clock.advance(timedelta(days=91).total_seconds())
    await write(database, row("new", clock.now()))
    assert await SqlFeedback(database, clock).rate("green", "r-new", "tg:1", 1, session_id="s")
    await Retention(database, CollectingObserver(), clock, days=90).run()
    assert await opinions(database) == [("r-new", "tg:1")]
    assert not await SqlFeedback(database, clock).rate("green", "r-one", "tg:1", 1, session_id="s")
    assert not await SqlFeedback(database, clock).comment("green", "tg:2", "s", "late")
