"""Members say what they think of answers: thumbs below them, and words; kept with the exchange."""

from typing import Any

import pytest
from tests.conftest import StackFactory, until
from tests.story.test_telegram import GROUP, STRANGER, channels, deliver, heard, telegram

from dagi.testing.telegram import BotApi

__all__ = ["telegram"]
pytestmark = pytest.mark.anyio
KEPT = "SELECT request_id, user_id, value, comment FROM feedback ORDER BY request_id, user_id"


def keyboard(telegram: BotApi, chat: int, message: int) -> dict[str, str]:
    """What stands below a message of ours: what each button carries, by its label."""
    markup: dict[str, Any] = telegram.chats.messages[chat, message].get("reply_markup", {})
    return {button["text"]: button["callback_data"] for row in markup.get("inline_keyboard", []) for button in row}


async def noticed(telegram: BotApi, number: int) -> str:
    """What the last of so many presses was answered with, once what it edits is edited."""
    await telegram.until(lambda: len([call for call in telegram.calls if call.method == "answerCallbackQuery"]) >= number)
    return [call.text for call in telegram.calls if call.method == "answerCallbackQuery"][number - 1]


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_a_thumb_is_kept_with_the_exchange_shows_and_can_be_changed(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        question = telegram.message("Which projects are there?")
        await deliver(stack, question)
        await heard(telegram, 1)
        message = telegram.chats.last
        thumbs = keyboard(telegram, 12345, message)
        assert list(thumbs) == ["👍", "👎"]
        await deliver(stack, telegram.press(thumbs["👎"], message=message))
        assert "/feedback" in await noticed(telegram, 1)
        await telegram.until(lambda: list(keyboard(telegram, 12345, message)) == ["👍", "👎 ✓"])
        await deliver(stack, telegram.press(thumbs["👍"], message=message))
        assert await noticed(telegram, 2) == "Thank you! Noted as good."
        await telegram.until(lambda: list(keyboard(telegram, 12345, message)) == ["👍 ✓", "👎"])
        await deliver(stack, telegram.message("/feedback short and right"))
        await heard(telegram, 2)
        request_id = f"tg-main-{question['update_id']}"
        assert stack.rows(KEPT) == [(request_id, "tg:12345", 1, "short and right")]
        assert stack.rows("SELECT request_id FROM exchange") == [(request_id,)]
        assert len(telegram.sent) == 2


async def test_in_a_group_everybody_who_may_speak_rates_for_themselves_and_nobody_else_does(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram, mention_only=False)) as stack:
        question = telegram.message("Which projects are there?", chat=GROUP)
        await deliver(stack, question)
        await heard(telegram, 1)
        number, message = question["update_id"], telegram.chats.last
        await deliver(stack, telegram.press(f"good:{number}", message=message, chat=GROUP))
        await noticed(telegram, 1)
        press = telegram.press(f"bad:{number}", message=message, chat=GROUP)
        press["callback_query"]["from"]["id"] = STRANGER
        await deliver(stack, press)
        assert (await noticed(telegram, 2)).startswith("I do not know you yet")
        assert stack.rows(KEPT) == [(f"tg-main-{number}", "tg:12345", 1, "")]
        # Whoever may not leaves the buttons to the others, and the group is told nothing.
        await until(lambda: stack.rows("SELECT count(*) FROM outbox WHERE settled_at IS NULL") == [(0,)])
        # What one of them thinks is no mark for all to see.
        assert list(keyboard(telegram, GROUP, message)) == ["👍", "👎"]
        assert len(telegram.sent) == 1


@pytest.mark.parametrize("data", ["good:4", "bad:", "good:tg-main-5002", "good:" + "9" * 50, "bad:²", "nonsense", ""])
async def test_what_no_button_of_ours_carries_rates_nothing_and_says_so(start: StackFactory, telegram: BotApi, data: str) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("Which projects are there?"))
        await heard(telegram, 1)
        await deliver(stack, telegram.press(data, message=telegram.chats.last))
        assert await noticed(telegram, 1)
        assert stack.rows(KEPT) == []


async def test_words_without_an_answer_before_them_are_said_so(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        for text in ("/feedback", "/feedback well done"):
            await deliver(stack, telegram.message(text))
        assert [text.split(".")[0] for text in await heard(telegram, 2)] == [
            "Tell me in words what you think of my last answer: /feedback and what you want to say",
            "I have not answered you here yet, so there is nothing your words could belong to",
        ]
