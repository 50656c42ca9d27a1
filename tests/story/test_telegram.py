"""Members talk to their DAO in Telegram: the whole stack, and a scripted Bot API server in Telegram's place."""

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.conftest import DAO, Stack, StackFactory, until

from dagi.testing.telegram import SECRET, TOKEN, BotApi, BotApiError
from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio

HEADER = "X-Telegram-Bot-Api-Secret-Token"
ADMIN, GUEST, STRANGER = "tg:admin001", "tg:guest123", 777


@pytest.fixture
async def telegram(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[BotApi]:
    """Telegram's servers; the stack's bot is theirs."""
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", SECRET)
    async with BotApi() as api:
        yield api


def channels(telegram: BotApi, **bot: object) -> dict[str, object]:
    """The configuration of one bot."""
    settings = {"name": "main", "dao_id": DAO, "token_env": "TELEGRAM_BOT_TOKEN", "secret_env": "TELEGRAM_WEBHOOK_SECRET", **bot}
    return {"telegram": {"api_base_url": telegram.url, "bots": [settings]}}


async def deliver(stack: Stack, update: dict[str, Any], *, secret: str | None = SECRET, path: str = "/telegram/webhook") -> httpx.Response:
    """What Telegram does with an update."""
    headers = {} if secret is None else {HEADER: secret}
    return await stack.http.post(stack.gateway_url + path, json=update, headers=headers)


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_a_member_who_asks_gets_the_models_answer_as_telegram_renders_it(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        stack.upstream.script(Answer(text="**Two** projects:\n\n1. `seeds`\n2. bees 🐝"))
        answer = await deliver(stack, telegram.message("Which projects are there?"))
        assert (answer.status_code, answer.content) == (200, b"{}")
        await telegram.until(lambda: telegram.sent)
    (sent,) = telegram.sent
    assert sent.parameters["chat_id"] == 12345
    assert sent.text == "Two projects:\n\n1. seeds\n2. bees 🐝"
    assert [(one["type"], one["offset"], one["length"]) for one in sent.parameters["entities"]] == [("bold", 0, 3), ("code", 18, 5)]


async def heard(telegram: BotApi, number: int) -> list[str]:
    """The first so many messages people were sent, once they are there."""
    await telegram.until(lambda: len(telegram.sent) >= number)
    return [one.text for one in telegram.sent]


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET + "x", "sécret"])
async def test_whoever_does_not_know_the_secret_is_refused_and_nothing_happens(
    start: StackFactory, telegram: BotApi, secret: str | None
) -> None:
    async with start(channels=channels(telegram)) as stack:
        headers = {} if secret is None else {HEADER: secret.encode("latin-1")}
        answer = await stack.http.post(stack.gateway_url + "/telegram/webhook", json=telegram.message("Hello?"), headers=headers)
        assert answer.status_code == 401
        assert stack.rows("SELECT count(*) FROM inbox") == [(0,)]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"update_id":"x"}', b"\xff\xfe", b'{"update_id":' + b"9" * 40 + b"}"])
async def test_what_is_no_update_is_refused_and_the_field_is_named(start: StackFactory, telegram: BotApi, body: bytes) -> None:
    async with start(channels=channels(telegram)) as stack:
        answer = await stack.http.post(stack.gateway_url + "/telegram/webhook", content=body, headers={HEADER: SECRET})
        assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")


async def test_an_update_that_is_delivered_three_times_is_answered_once(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        update = telegram.message("Which projects are there?")
        for _ in range(3):
            assert (await deliver(stack, update)).status_code == 200
        later = telegram.message("/whoami")
        await deliver(stack, later)
        await heard(telegram, 2)
        assert (await deliver(stack, update)).status_code == 200
        await until(lambda: stack.rows("SELECT count(*) FROM exchange") == [(1,)])
        assert len(telegram.sent) == 2


async def test_questions_of_one_chat_are_answered_in_their_order_and_follow_the_conversation(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        stack.upstream.script(Answer(text="first", latency_s=0.2), Answer(text="second"), Answer(text="third"))
        for question in ("One?", "Two?", "Three?"):
            await deliver(stack, telegram.message(question))
        assert await heard(telegram, 3) == ["first", "second", "third"]
        asked = stack.upstream.heard[-1].body["messages"]
        assert [turn["content"] for turn in asked if turn["role"] != "system"][:4] == ["One?", "first", "Two?", "second"]


@pytest.mark.parametrize(
    ("language", "words"), [("en", "I do not know you yet"), ("uk", "У цій спільноті я вас ще не знаю"), ("de", "I do not know you yet")]
)
async def test_a_stranger_is_told_what_to_do_in_their_language(start: StackFactory, telegram: BotApi, language: str, words: str) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("/start", user=STRANGER, language=language))
        (text,) = await heard(telegram, 1)
        assert text.startswith(words)
        assert f"tg:{STRANGER}" in text
        assert stack.upstream.heard == []


async def test_a_question_in_ukrainian_is_refused_in_ukrainian(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("Що це за DAO?", user=STRANGER, language="en"))
        assert (await heard(telegram, 1))[0].startswith("У цій спільноті")


async def test_dead_models_leave_one_sentence_and_no_error_of_theirs(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        stack.upstream.script(*(Answer(status=500, error="SECRET-TRACE") for _ in range(8)))
        await deliver(stack, telegram.message("Hello?", user=12345))
        (text,) = await heard(telegram, 1)
        assert "SECRET-TRACE" not in text
        # The DAO's own documents are the last of the chain.
        assert text.startswith("No language model was asked") or "documents" in text


async def test_an_answer_that_shows_nothing_leaves_one_sentence(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        stack.upstream.script(Answer(text="\u200b \u2060"))
        await deliver(stack, telegram.message("Hello?"))
        assert await heard(telegram, 1) == ["The answer held no words. Ask again, perhaps in other words."]


async def test_a_broken_answer_is_begun_anew_for_nobody_has_seen_a_piece_of_it(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        stack.upstream.script(Answer(text="a long answer that breaks", reset_after=3), Answer(text="whole"))
        await deliver(stack, telegram.message("Hello?"))
        assert await heard(telegram, 1) == ["whole"]


async def test_commands_say_who_one_is_and_what_there_is(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        for command in ("/start", "/help", "/whoami", "/nonsense", "/WhoAmI@dagi_test_bot"):
            await deliver(stack, telegram.message(command))
        start_, help_, whoami, unknown, again = await heard(telegram, 5)
        assert "GreenFood" in start_
        assert "/whoami" in help_
        assert "tg:12345" in whoami
        assert "member" in whoami
        assert "chat.use" in whoami
        assert "/help" in unknown
        assert again == whoami


GROUP = -1001234567890


async def test_a_group_is_answered_only_where_it_addresses_the_bot(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        mention = {"entities": [{"type": "mention", "offset": 0, "length": 14}]}
        ours = {"reply_to_message": {"message_id": 3, "chat": {"id": GROUP}, "from": {"id": 4242424242, "is_bot": True}}}
        topic = {**ours, "reply_to_message": {**ours["reply_to_message"], "forum_topic_created": {"name": "x"}}}
        bot = {"from": {"id": 5, "is_bot": True, "username": "other_bot"}}
        await telegram.until(lambda: any(call.method == "getMe" for call in telegram.calls))
        for update in (
            telegram.message("just talking", chat=GROUP),
            telegram.message("/help@another_bot", chat=GROUP),
            telegram.message("below a topic's first message", chat=GROUP, **topic),
            telegram.message("@DAGI_test_bot from a bot", chat=GROUP, **mention, **bot),
            telegram.message("@DAGI_test_bot, what is it?", chat=GROUP, **mention),
            telegram.message("an answer to the bot", chat=GROUP, **ours),
        ):
            assert (await deliver(stack, update)).status_code == 200
        await heard(telegram, 2)
        assert [one.body["messages"][-1]["content"] for one in stack.upstream.heard] == ["what is it?", "an answer to the bot"]
        assert telegram.sent[0].parameters["reply_parameters"]["allow_sending_without_reply"] is True


async def test_a_group_set_to_hear_everything_belongs_to_the_dao_of_its_binding(start: StackFactory, telegram: BotApi) -> None:
    chats = {str(GROUP): {"mention_only": False}, "-5": {"dao_id": "no-such-dao", "mention_only": False}}
    async with start(channels=channels(telegram, chats=chats)) as stack:
        await deliver(stack, telegram.message("What is this?", chat=GROUP))
        await heard(telegram, 1)
        await deliver(stack, telegram.message("What is this?", chat=-5))
        assert (await heard(telegram, 2))[1].startswith("I do not know you yet")
        assert len(stack.upstream.heard) == 1


async def test_whoever_writes_as_a_group_is_nobody(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        anonymous = {"from": {"id": 1087968824, "is_bot": True, "username": "GroupAnonymousBot"}, "sender_chat": {"id": GROUP}}
        await deliver(stack, telegram.message("/whoami", chat=GROUP, **anonymous))
        assert (await heard(telegram, 1))[0].startswith("I cannot tell who you are")


async def test_answers_in_a_forum_stay_in_their_topic_and_others_name_none(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("/help", chat=GROUP, message_thread_id=17, is_topic_message=True))
        await deliver(stack, telegram.message("/help", chat=GROUP, message_thread_id=17))
        await heard(telegram, 2)
        assert [one.parameters.get("message_thread_id") for one in telegram.sent] == [17, None]


@pytest.mark.parametrize("kind", ["voice", "sticker", "document", "video_note"])
async def test_what_holds_no_words_gets_one_clear_sentence(start: StackFactory, telegram: BotApi, kind: str) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("", **{kind: {"file_id": "f", "duration": 3, "width": 1, "height": 1}}))
        assert (await heard(telegram, 1))[0].endswith("Write it in words, please.")
        assert stack.upstream.heard == []


async def test_a_picture_with_a_question_below_it_is_answered_and_says_that_it_was_not_seen(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        stack.upstream.script(Answer(text="It is a tomato."))
        await deliver(stack, telegram.message("", caption="What is a tomato?", photo=[{"file_id": "s"}, {"file_id": "l"}]))
        (text,) = await heard(telegram, 1)
        assert text.startswith("It is a tomato.")
        assert "cannot look at yet" in text


async def test_a_long_answer_comes_in_parts_that_each_fit_and_hold_together_all_of_it(start: StackFactory, telegram: BotApi) -> None:
    code = "\n".join(f"line {number} = 'я😀'" for number in range(700))
    async with start(channels=channels(telegram)) as stack:
        stack.upstream.script(Answer(text=f"Look:\n\n```py\n{code}\n```\n\nDone."))
        await deliver(stack, telegram.message("Show me"))
        await telegram.until(lambda: telegram.sent and telegram.sent[-1].text.endswith("Done."))
    assert "".join("".join(one.text.split()) for one in telegram.sent) == "Look:" + "".join(code.split()) + "Done."
    assert all({entity["type"] for entity in one.parameters["entities"]} == {"pre"} for one in telegram.sent)


async def test_what_the_server_will_not_take_as_markup_is_sent_as_plain_text(start: StackFactory, telegram: BotApi) -> None:
    def refuse(_method: str, parameters: Mapping[str, object]) -> None:
        if parameters.get("entities"):
            raise BotApiError(400, "Bad Request: can't parse entities: whatever")

    async with start(channels=channels(telegram)) as stack:
        telegram.failing = refuse
        stack.upstream.script(Answer(text="**bold**"))
        await deliver(stack, telegram.message("Hello?"))
        assert await heard(telegram, 1) == ["bold"]


async def test_a_server_that_wants_patience_gets_it_and_then_the_answer(start: StackFactory, telegram: BotApi) -> None:
    left = [2]

    def busy(method: str, _parameters: Mapping[str, object]) -> None:
        if method == "sendMessage" and left[0]:
            left[0] -= 1
            raise BotApiError(429, "Too Many Requests: retry after 1", retry_after=1)

    async with start(channels=channels(telegram)) as stack:
        telegram.failing = busy
        await deliver(stack, telegram.message("/help"))
        assert len(await heard(telegram, 1)) == 1


async def test_a_bot_that_was_blocked_stops_and_the_log_says_so_without_the_text(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        telegram.blocked.add(12345)
        stack.upstream.script(Answer(text="SECRET-ANSWER"))
        await deliver(stack, telegram.message("Hello?"))
        await telegram.until(lambda: [call for call in telegram.calls if call.method == "sendMessage"])
        await deliver(stack, telegram.message("/help", user=STRANGER))
        await heard(telegram, 1)
        lines = [line for line in stack.log() if line["event"] == "telegram_undelivered"]
        assert [line["why"] for line in lines] == ["403 Forbidden: bot was blocked by the user"]
        assert "SECRET-ANSWER" not in str(stack.log())
        await until(lambda: stack.rows("SELECT count(*) FROM outbox WHERE settled_at IS NULL") == [(0,)])


async def test_an_answer_follows_a_group_to_its_new_id(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        telegram.migrated[-77] = GROUP
        await deliver(stack, telegram.message("/help", chat=-77))
        await heard(telegram, 1)
        assert telegram.sent[0].parameters["chat_id"] == GROUP


async def test_an_update_of_a_kind_nobody_knows_is_taken_and_left_alone(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        for odd in (
            telegram.update(),
            telegram.update(quantum_message={"chat": {"id": 1}}),
            telegram.update(message={"message_id": "not a number", "chat": {"id": "nor this"}}),
            telegram.update(message_reaction={"chat": {"id": 12345}, "new_reaction": []}),
            telegram.update(callback_query={"id": "q", "from": {"id": 12345}, "data": "old"}),
        ):
            assert (await deliver(stack, odd)).status_code == 200
        await deliver(stack, telegram.message("/help"))
        await heard(telegram, 1)
        await until(lambda: stack.rows("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == [(0,)])


async def test_a_bot_that_fetches_its_updates_needs_no_address_and_takes_the_webhook_away(start: StackFactory, telegram: BotApi) -> None:
    telegram.webhook = {"url": "https://old.example"}
    telegram.queue(telegram.message("/help"))
    async with start(channels=channels(telegram, mode="polling", secret_env=None)) as stack:
        await heard(telegram, 1)
        telegram.queue(telegram.message("/whoami"))
        await heard(telegram, 2)
        assert stack.rows("SELECT count(*) FROM inbox") == [(2,)]
    assert telegram.webhook == {}


async def test_proposals_are_told_as_they_were_written_and_as_no_markup_of_ours(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("/proposals"))
        assert "Open for votes until" in (await heard(telegram, 1))[0]
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        async with stack.rbac() as rbac:
            proposal = {
                "title": "Buy **bees** [now](https://evil.example)",
                "body": "# Why\n1. honey",
                "closes_at": f"{tomorrow:%Y-%m-%dT%H:%M:%SZ}",
            }
            made = await rbac.post(f"/daos/{DAO}/proposals", params={"as": ADMIN}, json=proposal)
            assert made.status_code in {200, 201}, made.text
        while "bees" not in telegram.sent[-1].text:
            # Processes hear of a proposal within moments.
            number = len(telegram.sent)
            await deliver(stack, telegram.message("/proposals", language="uk"))
            await heard(telegram, number + 1)
        assert " Buy **bees** [now](https://evil.example)\nГолосування відкрите" in telegram.sent[-1].text
        assert "# Why 1. honey" in telegram.sent[-1].text
        assert {entity["type"] for entity in telegram.sent[-1].parameters["entities"]} == {"bold"}


def pressed(telegram: BotApi, label: str, user: int) -> dict[str, object]:
    """The update of somebody who presses a button under the last message."""
    message = telegram.sent[-1]
    (row,) = message.parameters["reply_markup"]["inline_keyboard"]
    (data,) = [button["callback_data"] for button in row if button["text"] == label]
    assert len(data.encode()) <= 64
    chat = {"id": message.parameters["chat_id"], "type": "private"}
    return telegram.update(
        callback_query={"id": "q1", "from": {"id": user, "language_code": "en"}, "data": data, "message": {"message_id": 1, "chat": chat}}
    )


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_two_accounts_become_one_persons_by_a_code_and_a_button(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("/link"))
        code = (await heard(telegram, 1))[0].split("Your code: ")[1].split("\n")[0]
        await deliver(stack, telegram.message(f"/link {code}", user=STRANGER))
        preview = (await heard(telegram, 2))[1]
        assert "tg:12345" in preview
        assert f"tg:{STRANGER}" in preview
        await deliver(stack, pressed(telegram, "Join them", STRANGER))
        assert (await heard(telegram, 3))[2] == f"Linked. These accounts are one person's now: tg:12345, tg:{STRANGER}."
        assert {call.method for call in telegram.calls} >= {"answerCallbackQuery", "editMessageReplyMarkup"}
        await deliver(stack, telegram.message(f"/link {code}", user=54321))
        assert (await heard(telegram, 4))[3].startswith("That code does not count")
        await until_answered(stack, telegram, STRANGER)


async def until_answered(stack: Stack, telegram: BotApi, user: int) -> None:
    """Wait until the running stack knows somebody as a member."""
    while "Your roles: member" not in telegram.sent[-1].text:
        number = len(telegram.sent)
        await deliver(stack, telegram.message("/whoami", user=user))
        await heard(telegram, number + 1)


async def test_whoever_leaves_it_has_joined_nothing_and_no_code_is_told_in_a_group(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("/link", chat=GROUP))
        assert (await heard(telegram, 1))[0].startswith("Codes belong into private chats")
        await deliver(stack, telegram.message("/link"))
        code = (await heard(telegram, 2))[1].split("Your code: ")[1].split("\n")[0]
        await deliver(stack, telegram.message(f"/link {code}", user=STRANGER))
        await heard(telegram, 3)
        await deliver(stack, pressed(telegram, "Leave it", STRANGER))
        assert (await heard(telegram, 4))[3] == "All right, nothing was joined."
        await deliver(stack, telegram.message("/whoami", user=STRANGER))
        assert (await heard(telegram, 5))[4].startswith("I do not know you yet")
