"""Run with `python -m pytest` where this package is installed."""

import asyncio

from dagi_provider_echo import EchoTarget, Settings

from dagi.message import Grant, Message, Sender
from dagi.ports.target import Delta, End, Event


async def answer(times: int) -> list[Event]:
    message = Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="one two")
    return [event async for event in EchoTarget("parrot", Settings(times=times)).open(message, Grant(dao_id="dao", user_id="tg:1"))]


def test_the_prompt_comes_back_as_often_as_was_said() -> None:
    events = asyncio.run(answer(times=2))
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "one two one two"
    assert isinstance(events[-1], End)
