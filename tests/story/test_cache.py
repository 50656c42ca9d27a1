"""Equal questions through the whole stack: answered once, given again, never stale and never across a conversation."""

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest

from dagi.knowledge.ingest import Ingest
from dagi.observe.clock import SystemClock
from dagi.stores.documents import SqlDocuments
from dagi.stores.erasure import Erasure
from dagi.testing.clock import FakeClock
from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
DAO = "greenfood-dao"


def caching(settings: dict[str, object]) -> None:
    settings["routing_rules"] = [
        {
            "name": "faq",
            "use_provider": "model",
            "fallback_provider": ["native", "dao_facts"],
            "deadline_ms": 10000,
            "context": {"facts": True, "history": True},
            "cache": {"ttl_s": 300},
        }
    ]


def again(body: dict[str, object]) -> tuple[object, ...]:
    return body["response"], body["cached"], body["usage"]["total_tokens"] > 0, len(body["attempts"])


@pytest.mark.inside
async def test_a_question_asked_twice_reaches_the_model_once_and_says_so(start) -> None:
    async with start(caching) as stack:
        stack.upstream.script(Answer(text="A food cooperative."))
        first = (await stack.route("What is this DAO?")).json()
        second = (await stack.route("  What is   this DAO? ", user="tg:12345")).json()
        await stack.front.router.ports.dialogs.saved()
    assert again(first) == ("A food cooperative.", False, True, 1)
    assert again(second) == ("A food cooperative.", True, False, 0)
    assert (second["provider"], second["model"], second["rule"]) == ("model", "scripted", "faq")
    assert len(stack.upstream.heard) == 1
    with closing(sqlite3.connect(str(stack.database))) as connection:
        rows = connection.execute("SELECT answer, completion_tokens > 0 FROM exchange ORDER BY id").fetchall()
    assert rows == [("A food cooperative.", 1), ("A food cooperative.", 0)]


async def test_a_stream_gets_the_same_answer_and_its_end_says_that_it_was_cached(start) -> None:
    async with start(caching) as stack:
        stack.upstream.script(Answer(text="one two three"))
        await stack.route("Count.")
        events = await stack.events("Count.")
    assert [event["type"] for event in events] == ["delta", "end"]
    assert (events[0]["text"], events[-1]["cached"]) == ("one two three", True)


async def test_members_with_other_rights_do_not_share_answers(start) -> None:
    async with start(caching) as stack:
        stack.upstream.script(Answer(text="for a member"), Answer(text="for an admin"))
        await stack.route("What is in it?")
        answer = (await stack.route("What is in it?", user="tg:admin001")).json()
    assert (answer["response"], answer["cached"]) == ("for an admin", False)


async def test_within_a_session_only_the_first_question_is_cached(start) -> None:
    async with start(caching) as stack:
        stack.upstream.script(Answer(text="first"), Answer(text="second"))
        answers = [(await stack.route("Again?", metadata={"session_id": "s"})).json() for _ in range(2)]
        elsewhere = (await stack.route("Again?", metadata={"session_id": "other"})).json()
    assert [(body["response"], body["cached"]) for body in (*answers, elsewhere)] == [
        ("first", False),
        ("second", False),
        ("first", True),
    ]


async def test_an_answer_made_from_the_summary_of_a_session_is_given_to_nobody_else(start) -> None:
    # The latest exchange alone is longer than all of the history that is shown, so that only the summary is told.
    async with start(caching, dialogs={"history_tokens": 20, "durability": "before_reply"}) as stack:
        stack.upstream.script(Answer(text="word " * 45), Answer(text="more " * 45), Answer(text="Daryna owes the DAO ten euros."))
        await stack.route("My name is Daryna.", metadata={"session_id": "s"})
        await stack.route("Go on.", metadata={"session_id": "s"})
        await eventually(lambda: "ten euros" in kept_summary(stack.database))
        stack.upstream.script(Answer(text="You are Daryna."))
        own = (await stack.route("Who am I?", metadata={"session_id": "s"})).json()
        others = (await stack.route("Who am I?")).json()
    assert own["response"] == "You are Daryna."
    assert (others["response"] == own["response"], others["cached"]) == (False, False)


def kept_summary(database: object) -> str:
    with closing(sqlite3.connect(str(database))) as connection:
        return str(connection.execute("SELECT text FROM session_summary").fetchone())


async def test_an_erasure_by_a_command_empties_the_cache_of_the_running_stack(start) -> None:
    async with start(caching) as stack:
        await stack.route("I am Daryna. Who am I?")
        assert await entries(stack) == 1
        database = stack.installation.database()
        await Erasure(database, SystemClock()).erase("tg:12345")
        await database.close()
        async with asyncio.timeout(10):
            while await entries(stack):
                await asyncio.sleep(0.02)


async def entries(stack) -> int:
    return (await stack.http.get("/cache")).json()["entries"]


async def test_a_document_that_is_added_makes_the_question_a_new_one(start) -> None:
    async with start(caching) as stack:
        stack.upstream.script(Answer(text="old"), Answer(text="new"))
        await stack.route("Who looks after the apiary bees?")
        database = stack.installation.database()
        await Ingest(SqlDocuments(database, FakeClock().now)).add(DAO, "bees.en.md", b"# Apiary\n\nOlena looks after the apiary bees.")
        await database.close()
        answer = (await stack.route("Who looks after the apiary bees?")).json()
    assert (answer["response"], answer["cached"]) == ("new", False)


async def test_what_stands_in_for_the_model_is_not_kept_beyond_its_trouble(start) -> None:
    async with start(caching) as stack:
        stack.upstream.script(Answer(status=500), Answer(status=500), Answer(text="from the second"), Answer(text="from the first"))
        bodies = [(await stack.route("Hello?")).json() for _ in range(3)]
    assert [(body["provider"], body["cached"]) for body in bodies] == [("native", False), ("model", False), ("model", True)]


@pytest.mark.inside
async def test_equal_questions_at_once_are_one_question_and_a_caller_who_hangs_up_spoils_nothing(start) -> None:
    async with start(caching) as stack:
        stack.upstream.script(Answer(text="one two", hang_after=0))
        asking = [asyncio.create_task(stack.route("Hello?")) for _ in range(6)]
        await stack.upstream.until(lambda: stack.upstream.active == 1)
        cache = stack.front.cache
        await stack.upstream.until(lambda: cache.stats().shared == 5)
        asking[0].cancel()
        await asyncio.wait(asking[:1])
        stack.upstream.release()
        bodies = [answer.json() for answer in await asyncio.gather(*asking[1:])]
    assert [body["response"] for body in bodies] == ["one two"] * 5
    assert sum(body["cached"] for body in bodies) >= 4
    assert len(stack.upstream.heard) == 1


async def test_operators_see_what_is_kept_and_may_have_it_forgotten(start) -> None:
    async with start(caching) as stack:
        await stack.route("Hello?")
        await stack.route("Hello?")
        stats = (await stack.http.get("/cache")).json()
        metrics = (await stack.http.get("/metrics")).text
        cleared = (await stack.http.delete("/cache")).json()
        after = (await stack.route("Hello?")).json()
        member = {"authorization": f"Bearer {await stack.key('member')}"}
        refused = [(await stack.http.request(method, "/cache", headers=member)).status_code for method in ("GET", "DELETE")]
    assert {key: stats[key] for key in ("entries", "hits", "misses", "stored")} == {"entries": 1, "hits": 1, "misses": 1, "stored": 1}
    assert "dagi_cache_hits_total 1.0" in metrics
    assert "dagi_cache_entries 1.0" in metrics
    assert cleared == {"cleared": 1}
    assert after["cached"] is False
    assert refused == [403, 403]


async def test_the_explanation_and_the_rules_show_shares_parameters_and_reuse(start) -> None:
    def weighted(settings: dict[str, object]) -> None:
        caching(settings)
        settings["routing_rules"][0] |= {
            "use_provider": [{"name": "model", "weight": 3}, {"name": "llm_remote_openai", "weight": 5}, {"name": "native", "weight": 1}],
            "parameters": {"temperature": 0.1, "max_tokens": 77},
        }

    async with start(weighted) as stack:
        body = {"prompt": "Hello?", "metadata": {"user_id": "tg:admin001"}}
        explained = (await stack.http.post("/route/explain", json=body)).json()
        (rule,) = (await stack.http.get("/rules")).json()["rules"]
        answer = (await stack.route("Hello?", user="tg:admin001")).json()
    shares = [
        {"provider": "model", "weight": 3.0, "share": 0.75},
        {"provider": "llm_remote_openai", "weight": 5.0, "share": 0.0},
        {"provider": "native", "weight": 1.0, "share": 0.25},
    ]
    for shown in (explained, rule):
        assert shown["shares"] == shares
        assert shown["parameters"] == {"temperature": 0.1, "max_tokens": 77}
        assert shown["cache_ttl_s"] == 300
    assert explained["targets"][0] == answer["provider"]
    sent = json.loads(json.dumps(stack.upstream.heard[-1].body))
    heard = sent if "temperature" in sent else {**sent["options"], "max_tokens": sent["options"]["num_predict"]}
    assert (heard["temperature"], heard["max_tokens"]) == (0.1, 77)
