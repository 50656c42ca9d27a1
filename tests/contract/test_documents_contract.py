"""What every library keeps of `Documents`, `Passages` and `Vectors`: the database and the fake alike."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from sqlalchemy import insert

from dagi.errors import Invalid, Missing
from dagi.ports.documents import Document, Documents, Listed, Passage
from dagi.ports.passages import Passages
from dagi.ports.vectors import Vector, Vectors
from dagi.stores import tables
from dagi.stores.documents import SqlDocuments
from dagi.stores.passages import SqlPassages
from dagi.stores.vectors import SqlVectors
from dagi.testing.facts import MemoryLibrary

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Library(NamedTuple):
    documents: Documents
    passages: Passages
    vectors: Vectors


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def library(request: pytest.FixtureRequest, opened, anyio_backend: str) -> AsyncIterator[Library]:
    del anyio_backend
    if request.param == "memory":
        memory = MemoryLibrary(["green", "blue"], max_facts=5)
        yield Library(memory, memory, memory)
        return
    database = await opened(request.param)
    async with database.write() as connection:
        await connection.execute(insert(tables.dao), [{"id": name, "name": name, "created_at": NOW} for name in ("green", "blue")])
    yield Library(SqlDocuments(database, lambda: NOW, max_facts=5), SqlPassages(database), SqlVectors(database))


def a_document(*texts: str, name: str = "about.md", title: str = "About") -> Document:
    return Document(
        name=name,
        digest=f"{title}|{'|'.join(texts)}"[:64],
        size_bytes=sum(map(len, texts)),
        passages=tuple(Passage(title, text) for text in texts),
    )


async def texts_for(library: Library, query: str, dao_id: str = "green") -> list[str]:
    return [fact.text for fact in await library.passages.matching(dao_id, query, 10)]


async def test_a_document_is_listed_and_its_passages_are_found(library: Library) -> None:
    assert await library.documents.put("green", a_document("apples and pears", "carrots"))

    assert await library.documents.list("green") == (
        Listed(name="about.md", digest="About|apples and pears|carrots", size_bytes=23, passages=2, updated_at=NOW),
    )
    assert await texts_for(library, "apples") == ["apples and pears"]


async def test_an_unchanged_document_changes_nothing(library: Library) -> None:
    await library.documents.put("green", a_document("apples"))
    before = await library.vectors.versions()

    assert not await library.documents.put("green", a_document("apples"))
    assert await library.vectors.versions() == before


async def test_a_replaced_document_leaves_nothing_of_its_old_text(library: Library) -> None:
    await library.documents.put("green", a_document("apples"))
    before = (await library.vectors.versions())["green"]

    assert await library.documents.put("green", a_document("carrots"))
    assert await texts_for(library, "apples") == []
    assert await texts_for(library, "carrots") == ["carrots"]
    assert (await library.vectors.versions())["green"] > before


async def test_a_removed_document_is_found_no_more(library: Library) -> None:
    await library.documents.put("green", a_document("apples"))
    before = (await library.vectors.versions())["green"]

    await library.documents.remove("green", "about.md")

    assert await library.documents.list("green") == ()
    assert await texts_for(library, "apples") == []
    assert (await library.vectors.versions())["green"] > before


async def test_an_unknown_document_cannot_be_removed(library: Library) -> None:
    await library.documents.put("green", a_document("apples"))
    with pytest.raises(Missing):
        await library.documents.remove("blue", "about.md")
    assert len(await library.documents.list("green")) == 1


async def test_an_unknown_dao_is_missing(library: Library) -> None:
    with pytest.raises(Missing):
        await library.documents.put("red", a_document("apples"))
    assert await library.documents.list("red") == ()


async def test_a_dao_has_no_more_passages_than_allowed_and_a_refusal_keeps_the_old_document(library: Library) -> None:
    await library.documents.put("green", a_document("apples", "pears"))
    await library.documents.put("green", a_document("plums", "figs", "dates", name="more.md"))
    with pytest.raises(Invalid):
        await library.documents.put("green", a_document("a", "b", "c"))
    assert await texts_for(library, "apples") == ["apples"]


async def test_two_daos_may_have_documents_of_one_name_and_neither_sees_the_others(library: Library) -> None:
    await library.documents.put("green", a_document("apples are green"))
    await library.documents.put("blue", a_document("plums are blue", "apples are red"))

    assert await texts_for(library, "apples") == ["apples are green"]
    (found,) = await library.passages.matching("blue", "plums", 10)
    assert await library.passages.by_ids("green", [found.id]) == ()
    assert await library.passages.by_ids("blue", [found.id]) == (found,)


@pytest.mark.parametrize("identity", ["", "0", "-1", "007", "1e9", "9" * 40, "٣", "1,2", "x'", "\ud800"])
async def test_an_id_that_is_none_finds_nothing(library: Library, identity: str) -> None:
    assert await library.passages.by_ids("green", [identity]) == ()


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("Хто веде проєкт?", "Усі наші проєкти ведуть учасники"),
        ("про проєктами", "Проєкт один"),
        ("скарбниця", "У скарбниці порожньо"),
        ("members", "A member votes"),
        ("proposals", "A proposal is made"),
        ("Що це за DAO", "Наше ДАО молоде"),
        ("обʼєднання", "Ми — об'єднання сусідів"),
        ("кра\u0456\u0308на", "країни"),
    ],
)
async def test_words_are_found_whatever_their_ending_or_apostrophe(library: Library, asked: str, written: str) -> None:
    await library.documents.put("green", a_document(written, title=""))
    assert await texts_for(library, asked) == [written]


async def test_common_words_alone_find_nothing(library: Library) -> None:
    await library.documents.put("green", a_document("what is this and that", "що це і як"))
    assert await texts_for(library, "what is this? що це?") == []


async def test_passages_wait_for_their_vectors_and_come_back_with_them(library: Library) -> None:
    await library.documents.put("green", a_document("apples", "pears"))
    first, second = await library.vectors.unindexed("green", 10)
    assert (first.text, second.text) == ("apples", "pears")

    await library.vectors.save([Vector(id=first.id, document_id=first.document_id, data=b"\1\2")])

    assert await library.vectors.load("green") == ((first.id, b"\1\2"),)
    assert await library.vectors.unindexed("green", 10) == (second,)
    assert await library.vectors.unindexed("blue", 10) == ()


async def test_a_vector_of_a_text_that_was_replaced_meanwhile_is_dropped(library: Library) -> None:
    await library.documents.put("green", a_document("apples"))
    (old,) = await library.vectors.unindexed("green", 10)
    await library.documents.put("green", a_document("carrots"))

    await library.vectors.save([Vector(id=old.id, document_id=old.document_id, data=b"\1\2")])

    assert await library.vectors.load("green") == ()


async def test_saving_vectors_is_no_change_of_the_documents(library: Library) -> None:
    await library.documents.put("green", a_document("apples"))
    before = await library.vectors.versions()
    (passage,) = await library.vectors.unindexed("green", 10)
    await library.vectors.save([Vector(id=passage.id, document_id=passage.document_id, data=b"\1")])
    assert await library.vectors.versions() == before
