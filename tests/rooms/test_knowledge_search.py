"""The search: parts of a question, two rankings in one, and going on without the embedder."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from dagi.errors import StoreError
from dagi.knowledge.ingest import read_document
from dagi.knowledge.question import parts
from dagi.knowledge.search import Search
from dagi.message import Fact
from dagi.ports.embedder import Hits
from dagi.stores import tables
from dagi.stores.database import Database
from dagi.stores.documents import SqlDocuments
from dagi.stores.passages import SqlPassages
from dagi.testing.facts import MemoryEmbedder, MemoryLibrary

pytestmark = pytest.mark.anyio


class Fixed:
    """An embedder with one answer."""

    def __init__(self, *ids: str) -> None:
        self.hits: Hits = tuple((identity, 0.8) for identity in ids)

    async def nearest(self, dao_id: str, query: str, limit: int) -> Hits:
        del dao_id, query
        return self.hits[:limit]


class Hanging:
    """An embedder that never answers."""

    def __init__(self) -> None:
        self.cancelled = 0

    async def nearest(self, dao_id: str, query: str, limit: int) -> Hits:
        del dao_id, query, limit
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ()


class Broken(MemoryLibrary):
    """A library whose store fails."""

    async def matching(self, dao_id: str, query: str, limit: int) -> tuple[Fact, ...]:
        raise StoreError("broken", dao_id=dao_id, query=query, limit=limit)


async def a_library(**documents: str) -> MemoryLibrary:
    library = MemoryLibrary(["dao"])
    for name, text in documents.items():
        await library.put("dao", read_document(name, text.encode()))
    return library


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Привіт! Що це за DAO і які тут проєкти?", ("Що це за DAO", "які тут проєкти")),
        ("What is the DAO, and who leads the projects?", ("What is the DAO", "who leads the projects")),
        ("Хто керує теплицею?", ("Хто керує теплицею",)),
        ("Який кворум? Як голосувати?", ("Який кворум", "Як голосувати")),
        ("сіль, перець, кріп, цибуля", ("сіль, перець, кріп, цибуля",)),
        ("Hello!", ("Hello!",)),
        ("і та або", ("і та або",)),
        ("", ("",)),
    ],
)
def test_a_question_has_the_parts_a_reader_sees(question: str, expected: tuple[str, ...]) -> None:
    assert parts(question) == expected


@given(st.text())
def test_any_question_has_one_to_three_parts(question: str) -> None:
    assert 1 <= len(parts(question)) <= 3


async def test_each_part_of_a_question_gets_its_best_passage_first() -> None:
    library = await a_library(a="the greenhouse grows herbs and herbs and herbs", b="herbs again", c="the quorum is 15")
    found = await Search(library).search("dao", "Where are herbs? And the quorum?", 2)
    assert [fact.source for fact in found.facts] == ["a", "c"]


async def test_what_both_rankings_know_comes_first_and_what_only_one_knows_is_kept() -> None:
    library = await a_library(a="roses", b="roses bloom", c="flowers")
    found = await Search(library, Fixed("3", "2")).search("dao", "roses", 3)
    assert [fact.source for fact in found.facts] == ["b", "a", "c"]
    assert found.semantic


async def test_ids_the_dao_does_not_have_are_left_out() -> None:
    library = await a_library(a="roses")
    found = await Search(library, Fixed("99", "nonsense", "1")).search("dao", "tulips", 3)
    assert [fact.source for fact in found.facts] == ["a"]


async def test_a_slow_embedder_is_left_behind_and_told_so() -> None:
    library, hanging = await a_library(a="roses"), Hanging()
    async with asyncio.timeout(5):
        found = await Search(library, hanging, timeout_ms=20).search("dao", "roses", 3)
    assert ([fact.source for fact in found.facts], found.semantic) == (["a"], False)
    assert hanging.cancelled == 1


async def test_without_embedder_and_without_words_nothing_is_found() -> None:
    found = await Search(await a_library(a="roses"), MemoryEmbedder(down=True)).search("dao", "xylophone", 3)
    assert (found.facts, found.semantic) == ((), False)


async def test_the_questions_language_is_preferred_among_equals() -> None:
    library = await a_library(a="Kyiv GreenFood", b="Київ GreenFood")
    assert [fact.source for fact in (await Search(library).search("dao", "Київ GreenFood", 2)).facts] == ["b", "a"]
    assert [fact.source for fact in (await Search(library).search("dao", "Kyiv GreenFood", 2)).facts] == ["a", "b"]


async def test_a_store_that_fails_is_said_and_leaves_no_search_behind() -> None:
    hanging = Hanging()
    with pytest.raises(StoreError):
        await Search(Broken(), hanging, timeout_ms=5000).search("dao", "roses", 3)
    async with asyncio.timeout(1):
        while len(asyncio.all_tasks()) > 1 and not hanging.cancelled:
            await asyncio.sleep(0)


@pytest.fixture
async def shelves(database: Database, anyio_backend: str) -> Search:
    del anyio_backend
    now = datetime(2026, 1, 1, tzinfo=UTC)
    documents = SqlDocuments(database, lambda: now)
    async with database.write() as connection:
        await connection.execute(insert(tables.dao), [{"id": name, "name": name, "created_at": now} for name in ("one", "two")])
    for dao_id in ("one", "two"):
        text = "# Roses\n\nRoses and tulips 1 2 3.\n\n## ДАО\n\nТроянди, тюльпани та a b c d e."
        await documents.put(dao_id, read_document(f"{dao_id}.md", text.encode()))
    return Search(SqlPassages(database), Fixed("1", "2", "3", "4"))


QUERIES = st.text() | st.lists(
    st.sampled_from(
        ["rose", "троянди", '"', "*", " OR ", " NOT ", "NEAR(", ")", "title:", "^", "\0", "\ud83c", "½", "ⅷ", "ǅ", " ", "дао", "٣"]
    )
).map("".join)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=QUERIES)
async def test_any_query_is_answered_and_never_with_another_daos_facts(shelves: Search, query: str) -> None:
    for dao_id in ("one", "two"):
        found = await shelves.search(dao_id, query, 10)
        assert {fact.source for fact in found.facts} <= {f"{dao_id}.md"}
