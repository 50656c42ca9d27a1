"""What a bot does right after it was started, and when one of its tasks ends."""

from collections.abc import Mapping

import pytest
from tests.conftest import StackFactory, until
from tests.story.test_telegram import GROUP, channels, deliver, heard, telegram

from dagi.testing.telegram import BotApi, BotApiError

__all__ = ["telegram"]
pytestmark = pytest.mark.anyio


async def test_a_mention_that_comes_before_telegram_has_told_our_name_waits_for_it(start: StackFactory, telegram: BotApi) -> None:
    def nobody_knows(method: str, _parameters: Mapping[str, object]) -> None:
        if method == "getMe":
            raise BotApiError(502, "Bad Gateway")

    telegram.failing = nobody_knows
    async with start(channels=channels(telegram)) as stack:
        mention = {"entities": [{"type": "mention", "offset": 0, "length": 14}]}
        await deliver(stack, telegram.message("@DAGI_test_bot, what is it?", chat=GROUP, **mention))
        await until(lambda: stack.rows("SELECT attempts FROM inbox") == [(1,)])
        # Nobody in a private chat waits with it.
        await deliver(stack, telegram.message("/help"))
        await heard(telegram, 1)
        assert stack.rows("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == [(1,)]


async def test_who_is_stopped_lets_the_next_one_fetch_at_once(start: StackFactory, telegram: BotApi) -> None:
    settings = channels(telegram, mode="polling", secret_env=None)
    async with start(channels=settings) as stack:
        telegram.queue(telegram.message("/help"))
        await heard(telegram, 1)
    async with start(channels=settings) as stack:
        telegram.queue(telegram.message("/whoami"))
        await heard(telegram, 2)
        assert stack.rows("SELECT count(*) FROM inbox") == [(2,)]
