"""What every `Facts` keeps: the search over the database, over memory, with and without an embedder, and the fake."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from sqlalchemy import insert

from dagi.knowledge.ingest import read_document
from dagi.knowledge.search import Search
from dagi.ports.documents import Documents
from dagi.ports.facts import Facts
from dagi.stores import tables
from dagi.stores.documents import SqlDocuments
from dagi.stores.passages import SqlPassages
from dagi.testing.facts import MemoryEmbedder, MemoryFacts, MemoryLibrary

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)

GARDEN = "# Garden\n\n## Who waters\n\nTaras waters the roses.\n\n## Tools\n\nSpades are in the shed. Roses need shears.\n"
SEA = "# Sea\n\n## Who waters\n\nNobody waters the sea; roses do not grow there.\n"


class Shelf(NamedTuple):
    documents: Documents
    facts: Facts


@pytest.fixture(params=["sqlite", "postgres", "memory", "memory and embedder", "memory and a dead embedder", "fake"])
async def shelf(request: pytest.FixtureRequest, opened, anyio_backend: str) -> AsyncIterator[Shelf]:
    del anyio_backend
    memory = MemoryLibrary(["garden", "sea"])
    shelves = {
        "memory": Shelf(memory, Search(memory)),
        "memory and embedder": Shelf(memory, Search(memory, MemoryEmbedder(memory))),
        "memory and a dead embedder": Shelf(memory, Search(memory, MemoryEmbedder(down=True))),
        "fake": Shelf(memory, MemoryFacts(memory)),
    }
    if request.param in shelves:
        yield await filled(shelves[request.param])
        return
    database = await opened(request.param)
    async with database.write() as connection:
        await connection.execute(insert(tables.dao), [{"id": name, "name": name, "created_at": NOW} for name in ("garden", "sea")])
    yield await filled(Shelf(SqlDocuments(database, lambda: NOW), Search(SqlPassages(database))))


async def filled(shelf: Shelf) -> Shelf:
    await shelf.documents.put("garden", read_document("garden.md", GARDEN.encode()))
    await shelf.documents.put("sea", read_document("sea.md", SEA.encode()))
    return shelf


async def test_the_passage_that_holds_the_words_comes_first_with_its_source(shelf: Shelf) -> None:
    (best, *_) = (await shelf.facts.search("garden", "who waters roses?", 3)).facts
    assert (best.source, best.title, best.text) == ("garden.md", "Garden › Who waters", "Taras waters the roses.")


async def test_no_more_is_found_than_asked_for(shelf: Shelf) -> None:
    assert len((await shelf.facts.search("garden", "roses", 1)).facts) == 1
    assert len((await shelf.facts.search("garden", "roses", 5)).facts) == 2


async def test_a_search_never_leaves_its_dao(shelf: Shelf) -> None:
    assert {fact.source for fact in (await shelf.facts.search("sea", "roses shears shed", 10)).facts} == {"sea.md"}


async def test_an_unknown_dao_has_no_facts(shelf: Shelf) -> None:
    assert (await shelf.facts.search("desert", "roses", 3)).facts == ()


@pytest.mark.parametrize(
    "query",
    ["", " ", "\0", "\ud800", '"', '" OR "', "roses* NEAR(", "title:roses", "^", "-", "{}", "'; DROP TABLE fact;--", "🌹", "ro" * 50_000],
)
async def test_any_text_is_a_query(shelf: Shelf, query: str) -> None:
    found = await shelf.facts.search("garden", query, 3)
    assert {fact.source for fact in found.facts} <= {"garden.md"}
