"""In a group an answer that takes its time is begun as a message, which becomes the answer, whoever ends it."""

from typing import Any, cast

import pytest
from tests.conftest import StackFactory, until
from tests.story.test_telegram import GROUP, channels, deliver, telegram

from dagi.testing.telegram import BotApi
from dagi.testing.upstream import Answer

__all__ = ["telegram"]
pytestmark = pytest.mark.anyio
SLOW = Answer(text="It is a cooperative of many farms and people.", hang_after=8)


def patient(settings: dict[str, object]) -> None:
    """Let the model take longer than a group waits, on a busy machine, too."""
    cast("list[dict[str, Any]]", settings["llm_providers"])[0]["config"]["timeout_ms"] = 25_000
    cast("list[dict[str, Any]]", settings["routing_rules"])[-1]["deadline_ms"] = 30_000


async def test_a_slow_answer_is_begun_and_ended_in_one_message_with_its_thumbs(start: StackFactory, telegram: BotApi) -> None:
    async with start(patient, channels=channels(telegram, mention_only=False)) as stack:
        stack.upstream.script(SLOW)
        question = telegram.message("What is this DAO?", chat=GROUP)
        await deliver(stack, question)
        await telegram.until(lambda: telegram.sent)
        assert telegram.sent[0].text.startswith("It is a cooperative")
        assert telegram.sent[0].text.endswith(" …")
        assert telegram.sent[0].parameters["reply_parameters"]["message_id"] == question["message"]["message_id"]
        await until(lambda: stack.rows("SELECT progress FROM inbox") == [(str(telegram.chats.last),)])
        stack.upstream.release()
        (message,) = telegram.chats.messages.values()
        await telegram.until(lambda: "reply_markup" in message)
        assert message["text"] == "It is a cooperative of many farms and people."
        await until(lambda: stack.rows("SELECT count(*) FROM outbox WHERE settled_at IS NULL") == [(0,)])
        assert len(telegram.sent) == 1


async def test_whoever_takes_it_again_ends_what_another_has_begun(start: StackFactory, telegram: BotApi) -> None:
    settings = channels(telegram, mention_only=False)
    async with start(patient, channels=settings) as stack:
        stack.upstream.script(SLOW)
        await deliver(stack, telegram.message("What is this DAO?", chat=GROUP))
        await telegram.until(lambda: telegram.sent)
        await until(lambda: stack.rows("SELECT progress FROM inbox") != [("",)])
    async with start(channels=settings) as stack:
        stack.upstream.script(Answer(text="A cooperative."))
        (message,) = telegram.chats.messages.values()
        await telegram.until(lambda: message["text"] == "A cooperative.", seconds=30)
        assert len(telegram.sent) == 1
