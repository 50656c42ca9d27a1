"""Which DAO is meant, and who reads along, where the bot is spoken to in plain words."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from tests.conftest import DAO, Stack, StackFactory
from tests.story.test_discord import channels, joined

from dagi.observe.clock import SystemClock
from dagi.ports.inbox import Lane
from dagi.stores.chat_bindings import BindingAdmin
from dagi.testing.discord_api import BOT_TOKEN, DiscordApi
from dagi.testing.discord_gateway import DiscordGateway
from dagi.testing.discord_payloads import APPLICATION_ID, CHANNEL
from dagi.testing.discord_rules import DiscordError
from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
THREAD = "1300000000000000077"
ME = f"<@{APPLICATION_ID}>"


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[DiscordGateway]:
    monkeypatch.setenv("DISCORD_BOT_TOKEN", BOT_TOKEN)
    async with DiscordApi() as api, DiscordGateway(api) as found:
        yield found


async def bound(stack: Stack, channel: str) -> None:
    database = stack.installation.database()
    await BindingAdmin(database, SystemClock()).bind(Lane("discord", "main", channel), DAO)
    await database.close()


async def said(gateway: DiscordGateway, content: str, channel: str) -> str:
    """What is answered to it."""
    shown = gateway.api.channels.shown
    before = len(shown)
    gateway.say(content, channel=channel)
    await gateway.api.until(lambda: len(shown) > before)
    return list(shown.values())[-1].content


async def test_a_thread_belongs_to_the_dao_of_its_channel_and_to_none_while_nobody_knows(
    start: StackFactory, gateway: DiscordGateway
) -> None:
    def failing(method: str, path: str) -> None:
        if (method, path) == ("GET", f"/channels/{THREAD}"):
            raise DiscordError(503, 0, "not now")

    gateway.api.channels.parents[THREAD] = CHANNEL
    async with start(channels=channels(gateway.api, mentions=True, dao_id="bees-dao")) as stack:
        await joined(stack)
        await bound(stack, CHANNEL)
        await gateway.until(lambda: gateway.connected)
        stack.upstream.script(Answer(text="Seeds."), Answer(text="Bees."))
        async with asyncio.timeout(15):
            # It is known within a second, whenever that begins.
            while await said(gateway, f"{ME} which projects?", CHANNEL) != "Seeds.":
                pass
        gateway.api.failing = failing
        unknown = await said(gateway, f"{ME} which projects?", THREAD)
        assert len(stack.upstream.heard) == 1
        gateway.api.failing = lambda _method, _path: None
        known = await said(gateway, f"{ME} which projects?", THREAD)
    assert "busy" in unknown
    assert known == "Bees."


async def test_what_is_for_one_persons_eyes_is_not_said_to_a_channel(start: StackFactory, gateway: DiscordGateway) -> None:
    async with start(channels=channels(gateway.api, mentions=True)) as stack:
        await joined(stack)
        await gateway.until(lambda: gateway.connected)
        told = [await said(gateway, f"{ME} {words}", CHANNEL) for words in ("/whoami", "/link", "/feedback Дякую!")]
    assert [f"/{name}" in text for name, text in zip(("whoami", "link", "feedback"), told, strict=True)] == [True, True, True]
    assert "member" not in told[0]
    assert "приватні" in told[2]
