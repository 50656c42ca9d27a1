"""What people say to the bot in plain words is heard over the gateway, by one process, and nothing else is."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from dagi.channels.discord.interactions import interaction_of
from dagi.channels.discord.listening import Listener
from dagi.channels.discord.messages import Plain, plain_of
from dagi.errors import StoreError
from dagi.observe.clock import SystemClock
from dagi.ports.inbox import Lane, Update
from dagi.testing.discord_api import BOT_TOKEN, DiscordApi
from dagi.testing.discord_gateway import DIRECT_MESSAGES, GUILD_MESSAGES, DiscordGateway
from dagi.testing.discord_payloads import ANN, APPLICATION_ID, CHANNEL, GUILD
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio
ME = f"<@{APPLICATION_ID}>"


@pytest.fixture
async def gateway() -> AsyncGenerator[DiscordGateway]:
    async with DiscordApi() as api, DiscordGateway(api) as found:
        yield found


class Turns:
    """Whose turn it is, without a database."""

    def __init__(self) -> None:
        self.mine = True
        self.given_back = 0

    async def take(self, seconds: float) -> bool:
        assert seconds > 0
        return self.mine

    async def give_back(self) -> None:
        self.given_back += 1


class Inbox:
    """Keeps what arrives, once the database is there."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.down = 0
        self.there = asyncio.Condition()

    async def put(self, update: Update) -> None:
        if self.down:
            self.down -= 1
            raise StoreError("The database is away.")
        self.updates.append(update)
        async with self.there:
            self.there.notify_all()

    @property
    def words(self) -> list[str]:
        return [plain.content for update in self.updates if (plain := plain_of(update.body)) is not None]

    async def until(self, number: int) -> None:
        async with asyncio.timeout(15), self.there:
            await self.there.wait_for(lambda: len(self.updates) >= number)


@asynccontextmanager
async def listening(gateway: DiscordGateway, inbox: Inbox, turns: Turns, token: str = BOT_TOKEN) -> AsyncGenerator[CollectingObserver]:
    observer = CollectingObserver()
    listener = Listener("main", (gateway.api.url, token), observer, SystemClock(), turns, inbox.put)
    task = asyncio.create_task(listener.follow())
    try:
        yield observer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_is_said_to_the_bot_is_kept_and_nothing_else(gateway: DiscordGateway) -> None:
    inbox, turns = Inbox(), Turns()
    async with listening(gateway, inbox, turns):
        await gateway.until(lambda: gateway.connected)
        gateway.say("not for you")
        gateway.say(f"from a program {ME}", author={"id": "5", "username": "x", "discriminator": "0", "avatar": None, "bot": True})
        gateway.say(f"from a webhook {ME}", webhook_id="77")
        gateway.say(f"{ME} joined", type=7)
        asked = gateway.say(f"{ME} which projects?", attachments=[])
        gateway.say("and when?", answers="1")
        gateway.say("in private", guild="", channel="1400000000000000007")
        await inbox.until(3)
    assert inbox.words == ["which projects?", "and when?", "in private"]
    first = inbox.updates[0]
    assert (first.lane, first.number) == (Lane("discord", "main", CHANNEL), int(asked["id"]))
    assert plain_of(first.body) == Plain(id=asked["id"], channel_id=CHANNEL, guild_id=GUILD, author=ANN, content="which projects?", files=0)
    assert plain_of(inbox.updates[2].body) != plain_of(first.body)
    # Nothing is asked for that Discord would have to allow.
    assert gateway.sessions[0].intents == GUILD_MESSAGES | DIRECT_MESSAGES
    assert turns.given_back == 1


async def test_what_is_said_while_the_connection_is_away_is_heard_once_it_is_back(gateway: DiscordGateway) -> None:
    inbox = Inbox()
    async with listening(gateway, inbox, Turns()):
        await gateway.until(lambda: gateway.connected)
        gateway.say(f"{ME} one")
        await inbox.until(1)
        gateway.drop(4000)
        gateway.say(f"{ME} two")
        await inbox.until(2)
        gateway.ask_back()
        await gateway.until(lambda: gateway.resumed == 2)
    assert (inbox.words, len(gateway.sessions)) == (["one", "two"], 1)


async def test_one_process_hears_at_a_time(gateway: DiscordGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagi.channels.discord.listening.LEASE_S", 0.3)
    inbox, ours, theirs = Inbox(), Turns(), Turns()
    theirs.mine = False
    async with listening(gateway, inbox, ours), listening(gateway, inbox, theirs):
        await gateway.until(lambda: gateway.connected)
        ours.mine = False
        await gateway.until(lambda: not gateway.connected)
        theirs.mine = True
        await gateway.until(lambda: gateway.connected)
    assert len(gateway.sessions) == 2


async def test_a_message_waits_for_the_database(gateway: DiscordGateway) -> None:
    inbox = Inbox()
    inbox.down = 1
    async with listening(gateway, inbox, Turns()):
        await gateway.until(lambda: gateway.connected)
        gateway.say(f"{ME} one")
        await inbox.until(1)


async def test_no_connection_is_begun_that_discord_would_take_the_token_for(gateway: DiscordGateway) -> None:
    def asked() -> int:
        return sum(call.path == "/gateway/bot" for call in gateway.api.calls)

    gateway.api.rest.starts = 0
    async with listening(gateway, Inbox(), Turns()) as observer:
        await gateway.api.until(lambda: asked() > 2)
        assert gateway.sessions == []
        gateway.api.rest.starts = 1
        await gateway.until(lambda: gateway.connected)
    assert "discord_not_connected" in observer.events


@pytest.mark.parametrize("close", [0, 4014])
async def test_what_keeps_it_from_hearing_is_told_without_words_or_token(
    gateway: DiscordGateway, close: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    inbox = Inbox()
    token = BOT_TOKEN if close else "a.b.wrong-token"
    async with listening(gateway, inbox, Turns(), token) as observer:
        if close:
            await gateway.until(lambda: gateway.connected)
            gateway.say(f"{ME} a secret")
            await inbox.until(1)
            gateway.drop(close)
        async with asyncio.timeout(15):
            while not [one for one in observer.notes if one[0] == "discord_not_connected"]:
                await asyncio.sleep(0.01)
        if close:
            # It tries again.
            await gateway.until(lambda: len(gateway.sessions) == 2)
    shown = caplog.text + repr(observer.notes)
    assert ("under Bot" if close else "token that counts") in shown
    assert ("discord_connected" in observer.events) == bool(close)
    assert "secret" not in shown
    assert token not in shown


def test_a_message_is_no_interaction_and_none_of_either_is_the_other() -> None:
    with pytest.raises(ValueError, match="no interaction"):
        interaction_of(b'{"type":"message","id":"7","channel_id":"8"}')
    assert plain_of(b'{"type":2,"id":"7","token":"x"}') is None
    assert plain_of(b"[" * 100_000) is None
