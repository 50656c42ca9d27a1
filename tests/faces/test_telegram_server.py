"""The scripted Bot API server is strict where Telegram is, and python-telegram-bot, which knows the real one, takes it for it."""

import json
from collections.abc import AsyncGenerator
from datetime import timedelta

import httpx
import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Message, MessageEntity, ReplyParameters, Update
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, RetryAfter
from telegram.ext import Application, ContextTypes, MessageHandler, filters
from telegram.request import HTTPXRequest

from dagi.testing.clock import FakeClock
from dagi.testing.telegram import TOKEN, BotApi

pytestmark = pytest.mark.anyio
ANN, GROUP = 12345, -1001


@pytest.fixture
def clock() -> FakeClock:
    """The server's."""
    return FakeClock()


@pytest.fixture
async def api(clock: FakeClock) -> AsyncGenerator[BotApi]:
    """The server."""
    async with BotApi(clock.monotonic) as server:
        yield server


@pytest.fixture
async def bot(api: BotApi) -> AsyncGenerator[Bot]:
    """A bot of python-telegram-bot, which has asked who it is."""
    async with Bot(TOKEN, base_url=f"{api.url}/bot") as found:
        yield found


async def said(api: BotApi, method: str = "sendMessage", **parameters: object) -> str:
    """What the server says to a call; empty where it takes it."""
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{api.url}/bot{TOKEN}/{method}", json={"chat_id": ANN, **parameters})
    told = answer.json()
    assert (answer.status_code == 200) == told["ok"]
    assert answer.status_code == (200 if told["ok"] else told["error_code"])
    return str(told.get("description", ""))


# --- python-telegram-bot


async def test_a_bot_sends_and_edits(api: BotApi, bot: Bot) -> None:
    assert (bot.id, bot.username) == (4242424242, "dagi_test_bot")
    bold = MessageEntity("bold", 0, 2)
    sent = await bot.send_message(ANN, "🐝 bees", entities=[bold], reply_parameters=ReplyParameters(99, allow_sending_without_reply=True))
    assert (sent.text, sent.entities, sent.chat_id) == ("🐝 bees", (bold,), ANN)
    assert (await sent.edit_text("wasps")).text == "wasps"
    with pytest.raises(BadRequest, match="Message is not modified"):
        await sent.edit_text("wasps")
    marked = await bot.send_message(GROUP, "<b>a &lt; <i>b</i></b>", parse_mode="HTML")
    assert (marked.text, [(one.type, one.offset, one.length) for one in marked.entities]) == ("a < b", [("bold", 0, 5), ("italic", 4, 1)])
    assert await bot.send_chat_action(ANN, "typing")
    assert await bot.send_message_draft(ANN, 7, "be")
    assert (await bot.send_photo(ANN, "file-id", caption="A bee")).caption == "A bee"
    assert len(api.sent) == 2


async def test_a_bot_sets_its_webhook_and_takes_it_away(bot: Bot) -> None:
    assert await bot.set_webhook("https://dao.example/telegram/webhook", secret_token="secret_1-A")
    assert (await bot.get_webhook_info()).url == "https://dao.example/telegram/webhook"
    with pytest.raises(Conflict, match="webhook is active"):
        await bot.get_updates()
    for url, secret in (("http://dao.example/", None), ("https://dao.example:9300/", None), ("https://dao.example/", "no spaces")):
        with pytest.raises(BadRequest):
            await bot.set_webhook(url, secret_token=secret)
    assert await bot.delete_webhook()
    assert (await bot.get_webhook_info()).url == ""


async def test_a_bot_polls_and_hears_everything_once(api: BotApi) -> None:
    heard: list[str] = []

    async def answer(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        heard.append(update.message.text or "")
        await update.message.reply_text(f"re {update.message.text}")

    application = Application.builder().token(TOKEN).base_url(f"{api.url}/bot").build()
    application.add_handler(MessageHandler(filters.ALL, answer))
    api.queue(api.message("one"))
    async with application:
        assert application.updater is not None
        await application.start()
        await application.updater.start_polling(timeout=1)
        await api.until(lambda: len(api.sent) == 1)
        api.queue(api.message("two"))
        await api.until(lambda: len(api.sent) == 2)
        await application.updater.stop()
        await application.stop()
    assert heard == ["one", "two"]


async def test_what_the_server_refuses_is_what_a_bot_knows_it_by(
    api: BotApi, bot: Bot, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Times in the form of their next version; the older one warns.
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    api.blocked |= {5}
    api.migrated[-77] = GROUP
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        await bot.send_message(5, "?")
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(-77, "?")
    assert moved.value.new_chat_id == GROUP
    with pytest.raises(BadRequest, match="Message is too long"):
        await bot.send_message(ANN, "x" * 4097)
    async with HTTPXRequest() as request:
        with pytest.raises(InvalidToken):
            await Bot("1:wrong", base_url=f"{api.url}/bot", request=request).get_me()
    api.limits.on = True
    for _ in range(8):
        await bot.send_message(ANN, "?")
    with pytest.raises(RetryAfter) as waiting:
        await bot.send_message(ANN, "?")
    assert isinstance(waiting.value.retry_after, timedelta)
    clock.advance(waiting.value.retry_after.total_seconds())
    await bot.send_message(ANN, "?")


async def test_a_pressed_button_is_acknowledged_once_and_in_time(api: BotApi, bot: Bot, clock: FakeClock) -> None:
    buttons = InlineKeyboardMarkup([[InlineKeyboardButton("👍", callback_data="up")]])
    sent = await bot.send_message(ANN, "Good?", reply_markup=buttons)
    assert sent.reply_markup == buttons
    for _ in range(2):
        api.queue(api.press("up", message=sent.message_id))
    first, second = [one.callback_query for one in await bot.get_updates()]
    assert first is not None
    assert second is not None
    assert (first.data, await first.answer()) == ("up", True)
    clock.advance(15 * 60 + 1)
    for late in (first, second):
        with pytest.raises(BadRequest, match="Query is too old"):
            await late.answer()
    gone = await sent.edit_reply_markup(None)
    assert (isinstance(gone, Message), gone.reply_markup if isinstance(gone, Message) else buttons) == (True, None)
    with pytest.raises(BadRequest, match="Message is not modified"):
        await sent.edit_reply_markup(None)


# --- what it takes


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        (("bold", 0, 4), ("italic", 0, 4), ""),
        (("bold", 0, 4), ("italic", 2, 4), "overlap"),
        (("bold", 0, 4), ("italic", 4, 4), ""),
        (("bold", 0, 4), ("code", 1, 2), "code contains nothing"),
        (("pre", 0, 4), ("bold", 1, 2), "code contains nothing"),
        (("blockquote", 0, 6), ("code", 1, 2), ""),
        (("blockquote", 0, 6), ("blockquote", 1, 2), "quotation within"),
        (("text_link", 0, 6), ("bold", 1, 2), ""),
        (("bold", 0, 6), ("text_link", 1, 2), ""),
        (("text_link", 0, 6), ("mention", 1, 2), "contain no others"),
    ],
)
async def test_entities_nest_or_are_refused(api: BotApi, one: tuple[str, int, int], other: tuple[str, int, int], refused: str) -> None:
    for pair in ((one, other), (other, one)):
        entities = [{"type": kind, "offset": start, "length": length, "url": "https://x.example"} for kind, start, length in pair]
        told = await said(api, text="abcdefghij", entities=entities)
        assert (refused in told) if refused else told == ""


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (0, 0), (0, -1), (3, 9), (1, 1), (0, 1), (2**40, 1)])
async def test_entities_outside_of_the_text_or_within_a_character_are_refused(api: BotApi, offset: int, length: int) -> None:
    assert "ENTITY_BOUNDS" in await said(api, text="😀ab", entities=[{"type": "bold", "offset": offset, "length": length}])


@pytest.mark.parametrize("source", ["<b>a", "a</b>", "<b><i>a</b></i>", "<h1>a</h1>", "a < b", "<b", "<script>x</script>"])
async def test_html_that_does_not_nest_is_refused(api: BotApi, source: str) -> None:
    assert "can't parse entities" in await said(api, text=source, parse_mode="HTML")


async def test_lengths_count_after_markup_in_utf16(api: BotApi) -> None:
    assert await said(api, text="😀" * 2048) == ""
    assert "too long" in await said(api, text="😀" * 2048 + "x")
    assert await said(api, text=f"<b>{'x' * 4096}</b>", parse_mode="HTML") == ""
    assert await said(api, "sendPhoto", photo="f", caption="x" * 1024) == ""
    assert "caption is too long" in await said(api, "sendPhoto", photo="f", caption="x" * 1025)
    assert "text is empty" in await said(api, text=" \n")


async def test_topics_and_answered_messages_have_to_be_there(api: BotApi) -> None:
    assert "thread not found" in await said(api, chat_id=GROUP, text="x", message_thread_id=17)
    seen = api.message("hi", chat=GROUP, message_thread_id=17, is_topic_message=True)["message"]["message_id"]
    assert await said(api, chat_id=GROUP, text="x", message_thread_id=17, reply_parameters={"message_id": seen}) == ""
    assert "thread not found" in await said(api, "sendChatAction", chat_id=GROUP, action="typing", message_thread_id=18)
    assert "can't be edited" in await said(api, "editMessageText", chat_id=GROUP, message_id=seen, text="x")
    api.chats.forget(GROUP, seen)
    assert "replied not found" in await said(api, chat_id=GROUP, text="x", reply_parameters={"message_id": seen})
    assert await said(api, chat_id=GROUP, text="x", reply_parameters={"message_id": seen, "allow_sending_without_reply": True}) == ""
    assert "edit not found" in await said(api, "editMessageText", chat_id=GROUP, message_id=seen, text="x")


async def test_drafts_are_for_private_chats_and_have_a_number(api: BotApi) -> None:
    assert await said(api, "sendMessageDraft", draft_id=3, text="x") == ""
    assert await said(api, "sendMessageDraft", draft_id=0, text="x") != ""
    assert await said(api, "sendMessageDraft", chat_id=GROUP, draft_id=3, text="x") != ""
    assert "too long" in await said(api, "sendMessageDraft", draft_id=3, text="x" * 4097)


async def test_it_can_keep_the_pace_and_counts_edits(api: BotApi, clock: FakeClock) -> None:
    api.limits.on = True
    for number in range(20):
        assert await said(api, chat_id=GROUP, text=str(number)) == ""
        clock.advance(1)
    async with httpx.AsyncClient() as http:
        edit = {"chat_id": GROUP, "message_id": api.chats.last, "text": "y"}
        answer = await http.post(
            f"{api.url}/bot{TOKEN}/editMessageText", content=json.dumps(edit), headers={"Content-Type": "application/json"}
        )
    assert answer.json() == {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests: retry after 40",
        "parameters": {"retry_after": 40},
    }
    # Others are not slowed down, until the bot as a whole is.
    found = [await said(api, chat_id=chat, text="x") for chat in range(1, 33)]
    assert [bool(one) for one in found] == [False] * 30 + [True] * 2
    assert await said(api, "sendChatAction", chat_id=GROUP, action="typing") == ""
    clock.advance(40)
    assert await said(api, "editMessageText", chat_id=GROUP, message_id=api.chats.last - 30, text="y") == ""
