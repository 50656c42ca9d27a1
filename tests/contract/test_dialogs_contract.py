"""What every implementation of the port Dialogs holds to: the store on SQLite and on PostgreSQL, and the fake."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from dagi.errors import Overloaded
from dagi.message import Grant, Message, Sender, Turn
from dagi.observe.observer import SilentObserver
from dagi.ports.dialogs import Dialogs, Exchange
from dagi.ports.target import Delta, End
from dagi.stores.exchanges import ExchangeStore
from dagi.testing.dialogs import FakeDialogs

pytestmark = pytest.mark.anyio
PLACES = 4


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def dialogs(request: pytest.FixtureRequest, opened) -> AsyncGenerator[Dialogs]:
    if request.param == "memory":
        yield FakeDialogs(PLACES)
        return
    database = await opened(request.param)
    async with ExchangeStore(database, SilentObserver(), flush_s=0.001, places=PLACES) as store:
        yield store


def exchange(prompt: str, answer: str = "yes", *, session: str = "s", user: str = "tg:1", mode: str = "chat") -> Exchange:
    sender = Sender(dao_id="green", user_id=user, session_id=session)
    found = Exchange(Message(id="r", sender=sender, prompt=prompt, mode=mode), at=datetime.now(UTC), started=0)
    found.grant = Grant(dao_id="green", user_id=user, roles=("member",), entitlements=frozenset({"chat.use"}))
    found.hear(Delta(answer))
    found.hear(End(provider="p", model="m"))
    return found


async def say(dialogs: Dialogs, *exchanges: Exchange) -> None:
    for one in exchanges:
        with dialogs.recording(one):
            pass
        await dialogs.saved()


async def test_a_session_remembers_its_own_turns_in_order_right_after_they_were_said(dialogs: Dialogs) -> None:
    await say(dialogs, exchange("one", "1"), exchange("two", "2"))
    with dialogs.recording(exchange("three", "3")):
        pass
    assert (await dialogs.history(exchange("now").message, 1000)).turns == (
        Turn("user", "one"),
        Turn("assistant", "1"),
        Turn("user", "two"),
        Turn("assistant", "2"),
        Turn("user", "three"),
        Turn("assistant", "3"),
    )


async def test_other_sessions_people_and_modes_are_not_part_of_it(dialogs: Dialogs) -> None:
    await say(dialogs, exchange("a", session="t"), exchange("b", user="tg:2"), exchange("c", mode="crew"))
    assert (await dialogs.history(exchange("now").message, 1000)).turns == ()


async def test_only_whole_exchanges_that_fit_are_remembered_the_latest_first(dialogs: Dialogs) -> None:
    await say(dialogs, exchange("x" * 20, "y" * 20), exchange("p" * 20, "q" * 20))
    assert (await dialogs.history(exchange("now").message, 19)).turns == (Turn("user", "p" * 20), Turn("assistant", "q" * 20))
    assert (await dialogs.history(exchange("now").message, 9)).turns == ()


async def test_what_failed_or_was_cancelled_is_not_told_to_a_model_again(dialogs: Dialogs) -> None:
    unfinished = exchange("half")
    unfinished.outcome = "cancelled"
    await say(dialogs, unfinished)
    assert (await dialogs.history(exchange("now").message, 1000)).turns == ()


async def test_when_no_place_is_left_new_work_is_refused(dialogs: Dialogs) -> None:
    from contextlib import ExitStack

    with ExitStack() as running:
        for number in range(PLACES):
            running.enter_context(dialogs.recording(exchange(f"q{number}")))
        with pytest.raises(Overloaded), dialogs.recording(exchange("one too many")):
            pass
