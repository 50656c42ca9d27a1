"""A long conversation: what no longer fits is put into words once, beside the answers, and is gone when it has to be."""

import asyncio
import json

import pytest

from dagi.observe.clock import SystemClock
from dagi.stores.erasure import Erasure
from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)]
MEMBER = {"session_id": "s"}
MINUTES = "The member keeps bees in Lviv."
# On disk before it is answered, so that the next question finds it there.
SHORT = {"history_tokens": 200, "durability": "before_reply"}
# About 60 tokens with its question: with a history of 200 tokens three such exchanges fit.
LONG = "word " * 45


def minutes_asked(stack) -> list[dict[str, object]]:
    return [heard.body for heard in stack.upstream.heard if "keep the minutes" in heard.body["messages"][0]["content"]]


async def talk(stack, *questions: str) -> None:
    for question in questions:
        stack.upstream.script(Answer(text=LONG))
        assert (await stack.route(question, metadata=MEMBER)).status_code == 200


async def summarised(stack) -> None:
    await eventually(lambda: bool(stack.rows("SELECT text FROM session_summary")))


async def test_what_falls_out_of_the_history_is_summed_up_by_the_model_and_told_as_data(start) -> None:
    async with start(dialogs=SHORT) as stack:
        await talk(stack, "I keep bees in Lviv.", "two", "three", "four")
        assert minutes_asked(stack) == []
        stack.upstream.script(Answer(text=LONG), Answer(text=MINUTES))
        await stack.route("five", metadata=MEMBER)
        await summarised(stack)
        await talk(stack, "six")
        system = stack.upstream.heard[-1].body["messages"][0]
        asked = minutes_asked(stack)
    assert f'<quoted source="earlier in this conversation">\n{MINUTES}\n</quoted>' in system["content"]
    (question,) = asked
    assert "I keep bees in Lviv." in question["messages"][1]["content"]
    assert question["messages"][1]["content"].startswith("<quoted source=")
    assert question["max_tokens"] == 400
    recorded = stack.rows("SELECT source, session_id, prompt, answer FROM exchange WHERE source = 'stack'")
    assert recorded == [("stack", "", "Write the minutes.", MINUTES)]


async def test_a_summary_is_made_once_and_then_continued_from_where_it_ended(start) -> None:
    async with start(dialogs=SHORT) as stack:
        await talk(stack, "one", "two", "three", "four")
        stack.upstream.script(Answer(text=LONG), Answer(text="First minutes."))
        await stack.route("five", metadata=MEMBER)
        await summarised(stack)
        for number in range(6, 20):
            stack.upstream.script(Answer(text=LONG))
            await stack.route(f"q{number}", metadata=MEMBER)
            if len(minutes_asked(stack)) > 1:
                break
        second = minutes_asked(stack)[1]["messages"][1]["content"]
    assert "First minutes." in second
    assert "one" not in second.split("First minutes.")[1]
    assert len(minutes_asked(stack)) == 2


async def test_without_a_model_nothing_is_made_up_and_the_oldest_turns_just_fall_out(start) -> None:
    def change(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [{"name": "facts", "use_provider": "dao_facts", "context": {"history": True}}]

    async with start(change, dialogs={**SHORT, "history_tokens": 10}) as stack:
        for number in range(6):
            assert (await stack.route(f"question {number}", metadata=MEMBER)).status_code == 200
    assert stack.rows("SELECT count(*) FROM session_summary") == [(0,)]
    assert stack.rows("SELECT count(*) FROM exchange") == [(6,)]


async def test_when_the_model_fails_the_documents_do_not_write_the_minutes_and_the_answers_go_on(start) -> None:
    def change(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [
            {"name": "chat", "use_provider": "model", "fallback_provider": "dao_facts", "context": {"history": True}}
        ]

    async with start(change, dialogs=SHORT) as stack:
        await talk(stack, "one", "two", "three", "four")
        broken = Answer(status=400)
        stack.upstream.script(Answer(text=LONG), broken)
        await stack.route("five", metadata=MEMBER)
        await eventually(lambda: "summary_failed" in (line["event"] for line in stack.log()))
        await talk(stack, "six")
    assert stack.rows("SELECT count(*) FROM session_summary") == [(0,)]
    assert stack.rows("SELECT outcome FROM exchange WHERE source = 'stack'") != [("ok",)]


async def test_a_summary_of_what_was_erased_meanwhile_is_not_kept(start) -> None:
    async with start(dialogs=SHORT) as stack:
        await talk(stack, "My name is Daryna.", "two", "three", "four")
        stack.upstream.script(Answer(text=LONG), Answer(text="Daryna asked.", hang_after=1))
        await stack.route("five", metadata=MEMBER)
        await stack.upstream.until(lambda: stack.upstream.active == 1)
        database = stack.installation.database()
        erased = await Erasure(database, SystemClock()).erase("tg:12345")
        stack.upstream.release()
        await eventually(lambda: any(row[0] == "stack" for row in stack.rows("SELECT source FROM exchange")))
        await database.close()
    assert erased.exchanges == 5
    assert stack.rows("SELECT * FROM session_summary") == []
    everything = json.dumps(stack.rows("SELECT * FROM exchange"), default=str)
    assert "Daryna" not in everything
    assert "tg:12345" not in everything


async def test_after_an_erasure_the_running_stack_remembers_nothing(stack) -> None:
    stack.upstream.script(Answer(text="Nice to meet you."))
    await stack.route("My name is Daryna.", metadata=MEMBER)
    await eventually(lambda: stack.rows("SELECT count(*) FROM exchange") == [(1,)])
    database = stack.installation.database()
    await Erasure(database, SystemClock()).erase("tg:12345")
    await database.close()
    await stack.route("What is my name?", metadata=MEMBER)
    assert "Daryna" not in json.dumps(stack.upstream.heard[-1].body)


async def test_a_question_under_way_while_its_asker_is_erased_is_written_down_without_text_and_name(stack) -> None:
    stack.upstream.script(Answer(text="Hello Daryna", hang_after=1))
    asking = asyncio.create_task(stack.route("I am Daryna.", metadata=MEMBER))
    await stack.upstream.until(lambda: stack.upstream.active == 1)
    database = stack.installation.database()
    await Erasure(database, SystemClock()).erase("tg:12345")
    await database.close()
    stack.upstream.release()
    assert (await asking).json()["response"] == "Hello Daryna"
    await eventually(lambda: stack.rows("SELECT count(*) FROM exchange") == [(1,)])
    assert stack.rows("SELECT user_id, session_id, request_id, prompt, answer, outcome FROM exchange") == [("", "", "", "", "", "ok")]


async def test_of_a_key_that_is_erased_while_its_question_is_under_way_only_the_sums_of_keys_stay(stack) -> None:
    key = await stack.key("member")
    key_id = key.split("_")[1]
    stack.upstream.script(Answer(text="Hello", hang_after=1))
    headers = {"authorization": f"Bearer {key}"}
    asking = asyncio.create_task(stack.http.post("/route", json={"prompt": "Hi", "metadata": {}}, headers=headers))
    await stack.upstream.until(lambda: stack.upstream.active == 1)
    database = stack.installation.database()
    await Erasure(database, SystemClock()).erase(f"key:{key_id}")
    await database.close()
    stack.upstream.release()
    assert (await asking).status_code == 200
    await eventually(lambda: stack.rows("SELECT user_id, key_id, prompt FROM exchange") == [("", "", "")])
    holders = stack.rows('SELECT "of", holder FROM spend ORDER BY "of"')
    assert holders == [("dao", "greenfood-dao"), ("key", key_id)]
