"""Whether the right passage is found: the real model over the demo documents, through the real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

import pytest
from sqlalchemy import insert

from dagi.knowledge.demo import DAO_ID, DAO_NAME, demo_documents
from dagi.knowledge.e5 import E5, Array
from dagi.knowledge.index import Index
from dagi.knowledge.ingest import Ingest
from dagi.knowledge.search import Search
from dagi.message import Grant, Message, Sender
from dagi.ports.dialogs import Exchange
from dagi.ports.embedder import EmbedderUnavailable
from dagi.ports.facts import Facts
from dagi.ports.target import Delta
from dagi.stores import tables
from dagi.stores.database import Database
from dagi.stores.documents import SqlDocuments
from dagi.stores.passages import SqlPassages
from dagi.stores.vectors import SqlVectors
from dagi.targets.models.facts import FactsTarget, Settings

pytestmark = pytest.mark.anyio

# A question and the heading of the passage that answers it.
QUESTIONS = (
    ("Що це за ДАО?", "Що таке GreenFood DAO"),
    ("What is this DAO about?", "What GreenFood DAO is"),
    ("Хто керує теплицею?", "Міська теплиця"),
    ("Who leads the Green Basket?", "Green Basket"),
    ("Скільки грошей у скарбниці?", "Скільки коштів у скарбниці"),
    ("How much money do we have?", "How much the treasury holds"),
    ("Який кворум потрібен?", "Кворум"),
    ("What is the quorum for changing the charter?", "Quorum"),
    ("Як мені вступити?", "Як приєднатися"),
    ("How do I become a member?", "How to join"),
    ("Коли збори?", "Коли ми зустрічаємося"),
    ("When do you meet?", "When we meet"),
    ("хто відповідає за компост", "Компостне коло"),
    ("Хто скарбник?", "До кого звертатися"),
    ("Як подати пропозицію про купівлю трактора?", "Як подати пропозицію"),
    ("Скільки коштує кошик?", "Зелений кошик"),
    ("what can a guest do", "Roles and rights"),
    ("Які в мене права як контриб'ютора?", "Ролі та права"),
    ("How are tokens earned?", "The GREEN token"),
    ("де волонтерити у суботу", "Міська теплиця"),
    ("На що витрачаєте гроші?", "На що йдуть кошти"),
    ("I have a dispute with another member", "When there is a dispute"),
    ("Коли заснували кооператив?", "Історія"),
    ("Чи можу я вийти з DAO?", "Як вийти"),
    ("Who signs payments from the wallet?", "How much the treasury holds"),
    ("Який внесок?", "Як приєднатися"),
    ("Who helps with the bot?", "Whom to ask"),
    ("Як довго триває голосування?", "Як голосувати"),
    ("скільки нас у кооперативі", "Історія"),
    ("How many farms are there?", "History"),
    ("Скільки голосів дає токен?", "Токен GREEN"),
    ("Where do my kitchen scraps go?", "Compost Circle"),
    ("Хто така Олена Коваль?", "Зелений кошик"),
    ("Who is Taras Melnyk?", "City Greenhouse"),
    ("Хочу приєднатися до вас", "Як приєднатися"),
    ("Can I get my money back when I leave?", "How to leave"),
)


class Silent:
    """An observer."""

    def finished(self, exchange: Exchange) -> None:
        del exchange

    def note(self, event: str, **facts: object) -> None:
        raise AssertionError((event, facts))


class Demo(NamedTuple):
    by_both: Facts
    by_words: Facts


@cache
def model() -> E5:
    return E5()


class Remembering:
    """The model, which embeds the demo's passages once for all tests."""

    def query(self, text: str) -> Array:
        return model().query(text)

    @cache  # noqa: B019 - it lives as long as the tests
    def passage(self, text: str) -> Array:
        return model().passage(text)


REMEMBERING = Remembering()


async def indexed(index: Index) -> int:
    with suppress(EmbedderUnavailable):
        return len(await index.nearest(DAO_ID, "ready", 100))
    return 0


@pytest.fixture
async def demo(database: Database, anyio_backend: str) -> AsyncIterator[Demo]:
    del anyio_backend
    now = datetime(2026, 1, 1, tzinfo=UTC)
    async with database.write() as connection:
        await connection.execute(insert(tables.dao).values(id=DAO_ID, name=DAO_NAME, created_at=now))
    ingest = Ingest(SqlDocuments(database, lambda: now))
    added = [await ingest.add(DAO_ID, name, text.encode()) for name, text in demo_documents()]
    passages = SqlPassages(database)
    async with Index(SqlVectors(database), REMEMBERING, Silent()) as index:
        upkeep = asyncio.create_task(index.run())
        async with asyncio.timeout(60):
            while await indexed(index) < sum(document.passages for document in added):
                await asyncio.sleep(0.05)
        # The test is about what is found, not about how fast this machine is while other tests run.
        yield Demo(Search(passages, index, timeout_ms=20_000), Search(passages))
        upkeep.cancel()
        with suppress(asyncio.CancelledError):
            await upkeep


async def hits(facts: Facts) -> tuple[int, int]:
    """How many questions have their passage first, and how many among the first three."""
    first = among = 0
    for question, heading in QUESTIONS:
        titles = [fact.title.rpartition(" › ")[2] for fact in (await facts.search(DAO_ID, question, 3)).facts]
        first += titles[:1] == [heading]
        among += heading in titles
    return first, among


async def test_every_question_finds_its_passage_among_three_and_most_find_it_first(demo: Demo) -> None:
    # Measured: 31 of 36 first, 36 of 36 among three. One of each may be lost to another processor's rounding.
    first, among = await hits(demo.by_both)
    assert (first >= 30, among >= 35) == (True, True), (first, among)


async def test_without_the_model_words_alone_still_find_nearly_everything(demo: Demo) -> None:
    # Measured.
    assert await hits(demo.by_words) == (29, 33)


async def test_a_compound_question_is_told_what_the_dao_is_and_its_projects(demo: Demo) -> None:
    target = FactsTarget("dao_facts", Settings(), demo.by_both)
    grant = Grant(dao_id=DAO_ID, user_id="tg:12345", entitlements=frozenset({"facts.read"}))
    message = Message(id="r", sender=Sender(dao_id=DAO_ID, user_id="tg:12345"), prompt="Привіт! Що це за DAO і які тут проєкти?")
    text = "".join([event.text async for event in target.open(message, grant) if isinstance(event, Delta)])
    assert "продовольчий кооператив" in text
    assert all(project in text for project in ("«Зелений кошик»", "«Міська теплиця»", "«Компостне коло»"))
