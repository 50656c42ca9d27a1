"""What is owed to Discord, whatever Discord says to it: seen by whom it is for, and no longer in the way than it helps somebody."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from dagi.channels.discord.api import Api, Refusal
from dagi.channels.discord.interactions import interaction_of
from dagi.channels.discord.letters import letters
from dagi.channels.discord.sending import PER_TOKEN, TOKEN_BURST, Sender
from dagi.channels.pacing import Pace
from dagi.channels.told import Button, Told
from dagi.outbound import Client
from dagi.ports.inbox import Lane, Update
from dagi.testing.clock import FakeClock
from dagi.testing.discord_api import BOT_TOKEN, DiscordApi
from dagi.testing.discord_pace import too_many
from dagi.testing.discord_payloads import ANN, APPLICATION_ID, CHANNEL
from dagi.testing.discord_talk import Talk
from dagi.testing.inbox import FakeOutbox, FakePost, KeptParcel
from dagi.testing.observer import CollectingObserver
from dagi.testing.raw_server import raw_server, saying

pytestmark = pytest.mark.anyio
LANE = Lane("discord", "main", f"{CHANNEL}/{ANN}")


class Desk:
    """A sender, Discord, and what is owed to it."""

    def __init__(self, discord: DiscordApi, api: Api) -> None:
        self.discord = discord
        self.clock = FakeClock()
        self.observer = CollectingObserver()
        self._post = FakePost()
        self._outbox = FakeOutbox(self._post, self.clock)
        pace = Pace(PER_TOKEN, TOKEN_BURST)
        self._sender = Sender({"main": (api, APPLICATION_ID)}, self._outbox, self.observer, self.clock, pace)

    def asked(self, command: str = "ask", **where: str) -> Talk:
        """Somebody used a command."""
        return self.discord.open(self.discord.make.command(command, **cast("dict[str, Any]", where)))

    async def owe(self, talk: Talk, told: Told, lane: Lane = LANE) -> None:
        """Answer it."""
        body = msgspec.json.encode(talk.interaction)
        update = Update(lane=lane, number=int(talk.interaction["id"]), body=body, received_at=self.clock.now())
        await self._outbox.owe(letters(update, interaction_of(body), told))

    async def deliver(self, within: timedelta = timedelta()) -> Sequence[KeptParcel]:
        """Deliver what is due, again and again until that time is over; gives all that was owed."""
        until = self.clock.now() + within
        while True:
            for owed in await self._outbox.take(10):
                await self._sender.deliver(owed)
            if self.clock.now() >= until or all(one.settled for one in self._post.parcels):
                return self._post.parcels
            self.clock.advance(0.5)


@asynccontextmanager
async def desk() -> AsyncGenerator[Desk]:
    async with DiscordApi() as discord, Client() as client:
        yield Desk(discord, Api(client, discord.url, BOT_TOKEN))


@pytest.mark.parametrize(("command", "ephemeral"), [("link", True), ("ask", False)])
async def test_what_follows_a_private_answer_that_was_removed_is_private_too(command: str, ephemeral: bool) -> None:
    async with desk() as it:
        talk = it.asked(command)
        talk.take({"type": 5, "data": {"flags": 64 if ephemeral else 0}})
        talk.original.change({"content": "It begins"})
        talk.original.gone = True
        await it.owe(talk, Told(markdown="A code:\n\n" + "words " * 600))
        first, further = await it.deliver(timedelta(seconds=5))
    assert first.settled
    assert further.settled
    assert [one.ephemeral for one in talk.shown[1:]] == [ephemeral, ephemeral]


@pytest.mark.parametrize(("command", "said"), [("ask", True), ("whoami", False)])
async def test_an_answer_whose_promise_discord_never_heard_holds_up_nothing_that_comes_after_it(command: str, said: bool) -> None:
    async with desk() as it:
        lost, after = it.asked(command), it.asked()
        lost.fail("no answer within three seconds")
        after.take({"type": 5, "data": {}})
        await it.owe(lost, Told(markdown="For the first."))
        await it.owe(after, Told(markdown="For the second."))
        first, second = await it.deliver(timedelta(seconds=10))
        assert after.text == "For the second."
        assert second.settled
        assert [one.content for one in it.discord.channels.shown.values()] == ([f"<@{ANN}>\nFor the first."] if said else [])
        assert bool(first.why) is not said


@pytest.mark.parametrize("bars", ["components", "content"])
async def test_what_discord_will_not_take_comes_without_buttons_or_a_sentence_comes_in_its_place(bars: str) -> None:
    told = Told(
        markdown="What a server's moderation bars.", buttons=(Button(" ", "good:1"), Button("👎", "good:1")), request_id="dc-main-1"
    )
    async with desk() as it:
        talk = it.asked()
        talk.take({"type": 5, "data": {}})
        it.discord.barred = "moderation" if bars == "content" else ""
        await it.owe(talk, told)
        (kept,) = await it.deliver()
    assert kept.settled
    assert not kept.why
    assert ("dc-main-1" in talk.text) is (bars == "content")
    assert ("moderation" in talk.text) is (bars == "components")
    assert talk.original.components == []


async def test_a_notice_has_no_buttons_of_its_own() -> None:
    async with desk() as it:
        talk = it.asked()
        talk.take({"type": 5, "data": {}})
        await it.owe(talk, Told(markdown="Thank you!", notice=True, buttons=(Button("👍 ✓", "good:1"),)))
        await it.deliver()
    assert talk.text == "Thank you!"
    assert talk.original.components == []


async def test_while_the_whole_bot_has_to_wait_nobody_asks_for_more() -> None:
    def failing(_method: str, path: str) -> None:
        if path.startswith("/channels/"):
            raise too_many(30.0, everywhere=True)

    async with desk() as it:
        it.discord.failing = failing
        for _ in range(5):
            late = it.asked()
            late.fail("no answer within three seconds")
            await it.owe(late, Told(markdown="Late."), lane=Lane("discord", "main", str(late.interaction["id"])))
        await it.deliver(timedelta(seconds=20))
        assert sum(call.path.startswith("/channels/") for call in it.discord.calls) == 1
        it.discord.failing = lambda _method, _path: None
        kept = await it.deliver(timedelta(seconds=60))
    assert all(one.settled and not one.why for one in kept)


@pytest.mark.parametrize(("status", "head", "wait"), [(403, "", 0.0), (404, "", 0.0), (429, "Retry-After: 77\r\n", 77.0), (502, "", 0.0)])
async def test_what_somebody_on_the_way_says_is_not_discords_word(status: int, head: str, wait: float) -> None:
    page = f"HTTP/1.1 {status} Odd\r\n{head}Content-Length: 6\r\nConnection: close\r\n\r\n<html>".encode()
    async with raw_server(saying(page)) as url, Client() as client:
        with pytest.raises(Refusal) as refused:
            await Api(client, url, BOT_TOKEN).call("GET", "/users/@me")
    assert refused.value.status in {0, 429, 502}
    assert str(status) in refused.value.description
    assert refused.value.retry_after_s == wait
