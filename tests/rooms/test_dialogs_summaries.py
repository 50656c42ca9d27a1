"""Writing summaries: one session after the other, and whose trouble keeps whom waiting."""

import asyncio
from datetime import datetime

import pytest

from dagi.dialogs.summaries import REST_S, Summarist
from dagi.errors import BudgetExceeded, DagiError, Denied, ProviderError, RateLimited
from dagi.message import Message, Sender, Turn
from dagi.ports.dialogs import Exchange
from dagi.ports.summaries import Due
from dagi.ports.target import Delta
from dagi.testing.clock import FakeClock
from dagi.testing.observer import CollectingObserver
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio


class Minutes:
    """Every session has something to be summed up, once."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self.kept: list[str] = []

    async def due(self, sender: Sender, tokens: int) -> Due | None:
        return Due(summary="", turns=(Turn("user", f"of {sender.user_id}, beyond {tokens}"),), covers=(1,), since=self._at)

    async def keep(self, sender: Sender, due: Due, text: str) -> bool:
        del due, text
        self.kept.append(sender.user_id)
        return True


@pytest.mark.parametrize(
    ("error", "slept"),
    [
        (RateLimited("Too many requests."), []),
        (BudgetExceeded("The money is spent."), []),
        (Denied("Not a member any more."), []),
        (ProviderError("down", provider="llm"), [REST_S]),
    ],
)
async def test_the_limits_of_one_person_keep_nobody_else_waiting_and_a_model_that_is_down_is_left_alone(
    error: DagiError, slept: list[float]
) -> None:
    clock, observer = FakeClock(), CollectingObserver()
    minutes = Minutes(clock.now())

    async def ask(exchange: Exchange) -> None:
        if exchange.message.sender.user_id == "tg:1":
            raise error
        exchange.hear(Delta("They spoke of bees."))

    summarist = Summarist(
        minutes,
        observer,
        clock,
        can=lambda _: True,
        exchange=lambda message: Exchange(message, at=clock.now(), started=clock.monotonic()),
        ask=ask,
        history_tokens=100,
        new_id=lambda: "r",
    )
    overflowing: asyncio.Queue[Message] = asyncio.Queue()
    for user_id in ("tg:1", "tg:2"):
        overflowing.put_nowait(Message(id="q", sender=Sender(dao_id="green", user_id=user_id, session_id="s"), prompt="?"))
    following = asyncio.create_task(summarist.follow(overflowing))
    await eventually(lambda: minutes.kept == ["tg:2"])
    following.cancel()
    await asyncio.wait([following])
    assert clock.slept == slept
    assert observer.events == ["summary_failed"]
