"""What an operator sees of bots at work: `/ready` and `/metrics` of the gateway."""

import asyncio
from collections.abc import Mapping

import pytest
from tests.conftest import Stack, StackFactory
from tests.story.test_telegram import channels, deliver, heard, telegram

from dagi.testing.telegram import TOKEN, BotApi, BotApiError

__all__ = ["telegram"]
pytestmark = pytest.mark.anyio


async def ready(stack: Stack) -> tuple[str, dict[str, dict[str, object]]]:
    """The gateway's state, and that of each thing it needs."""
    body = (await stack.http.get(stack.gateway_url + "/ready")).json()
    return body["status"], {one["name"]: one for one in body["dependencies"]}


async def metrics(stack: Stack) -> str:
    return (await stack.http.get(stack.gateway_url + "/metrics")).text


async def test_the_state_of_a_bot_names_it_and_tells_what_waits(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        await telegram.until(lambda: any(call.method == "setMyCommands" for call in telegram.calls))
        status, found = await ready(stack)
        assert (status, found["telegram:main"]["state"], found["telegram:main"]["needed"]) == ("ready", "ok", False)
        assert str(found["telegram:main"]["detail"]).startswith("known as @dagi_test_bot; 0 updates wait")


async def test_a_telegram_that_cannot_be_reached_is_a_trouble_told_without_the_token_and_updates_are_taken_meanwhile(
    start: StackFactory, telegram: BotApi
) -> None:
    def unknown(_method: str, _parameters: Mapping[str, object]) -> None:
        raise BotApiError(401, "Unauthorized")

    telegram.failing = unknown
    async with start(channels=channels(telegram)) as stack:
        assert (await deliver(stack, telegram.message("/help"))).status_code == 200
        await telegram.until(lambda: any(call.method == "getMe" for call in telegram.calls))
        for _ in range(100):
            status, found = await ready(stack)
            if found["telegram:main"]["state"] == "down":
                break
        assert (status, found["telegram:main"]["state"]) == ("degraded", "down")
        assert "401 Unauthorized" in str(found["telegram:main"]["detail"])
        assert TOKEN not in str(found)


async def test_updates_and_answers_are_counted_by_bot_and_by_what_became_of_them(start: StackFactory, telegram: BotApi) -> None:
    left = [1]

    def busy(method: str, _parameters: Mapping[str, object]) -> None:
        if method == "sendMessage" and left[0]:
            left[0] -= 1
            raise BotApiError(429, "Too Many Requests: retry after 1", retry_after=1)

    telegram.failing = busy
    async with start(channels=channels(telegram)) as stack:
        update = telegram.message("/help")
        for _ in range(2):
            await deliver(stack, update)
        await deliver(stack, update, secret="wrong")
        await deliver(stack, update, secret="wrong", path="/telegram/webhook/nobody-knows-it")
        await heard(telegram, 1)
        while "dagi_channel_delivered_seconds_count" not in (told := await metrics(stack)):
            # It is counted once it is written down.
            await asyncio.sleep(0)
    for line in (
        'dagi_channel_updates_total{bot="main",channel="telegram",outcome="received"} 1.0',
        'dagi_channel_updates_total{bot="main",channel="telegram",outcome="duplicate"} 1.0',
        'dagi_channel_updates_total{bot="main",channel="telegram",outcome="refused"} 1.0',
        'dagi_channel_updates_total{bot="",channel="telegram",outcome="refused"} 1.0',
        'dagi_channel_parcels_total{bot="main",channel="telegram",outcome="delivered"} 1.0',
        'dagi_channel_put_off_total{bot="main",channel="telegram",reason="429"} 1.0',
        'dagi_channel_acknowledged_seconds_count{channel="telegram"} 2.0',
        'dagi_channel_owed_seconds_count{channel="telegram"} 1.0',
        'dagi_channel_delivered_seconds_count{channel="telegram"} 1.0',
        'dagi_channel_waiting{bot="main",channel="telegram",where="inbox"} ',
    ):
        assert line in told
    assert "nobody-knows-it" not in told
