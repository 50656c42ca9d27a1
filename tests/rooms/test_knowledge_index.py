"""The embedder's state: in step with the documents, and answering while it indexes."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from dagi.errors import StoreError
from dagi.knowledge.e5 import Array
from dagi.knowledge.index import Index
from dagi.knowledge.ingest import read_document
from dagi.knowledge.matrix import Matrix, stored
from dagi.ports.dialogs import Exchange
from dagi.ports.embedder import DIMENSIONS, EmbedderUnavailable
from dagi.ports.vectors import Vector
from dagi.testing.facts import MemoryLibrary

pytestmark = pytest.mark.anyio


class Letters:
    """A model: which letters a text has. `go_on` and `answer` keep passages and queries waiting; `asked` counts queries that ended."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = 0
        self.begun = 0
        self.answer = threading.Event()
        self.answer.set()
        self.embedded: list[str] = []

    def query(self, text: str) -> Array:
        self.begun += 1
        assert self.answer.wait(10)
        self.asked += 1
        return self._vector(text)

    def passage(self, text: str) -> Array:
        assert self.go_on.wait(10)
        self.embedded.append(text)
        return self._vector(text)

    def _vector(self, text: str) -> Array:
        vector = np.zeros(DIMENSIONS, dtype=np.float32)
        for letter in text.lower():
            vector[ord(letter) % DIMENSIONS] += 1
        return vector / max(float(np.linalg.norm(vector)), 1e-9)


class Quiet:
    """An observer that counts."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def finished(self, exchange: Exchange) -> None:
        del exchange

    def note(self, event: str, **facts: object) -> None:
        del facts
        self.noted.append(event)


class Unsteady(MemoryLibrary):
    """A library whose store can fail."""

    failing = False

    async def versions(self) -> Mapping[str, int]:
        if self.failing:
            raise StoreError("gone")
        return await super().versions()

    async def save(self, vectors: Sequence[Vector]) -> None:
        if self.failing:
            raise StoreError("gone")
        await super().save(vectors)


@asynccontextmanager
async def running(library: MemoryLibrary, model: Letters, observer: Quiet | None = None) -> AsyncGenerator[Index]:
    async with Index(library, model, observer or Quiet(), poll_s=0.01) as index:
        upkeep = asyncio.create_task(index.run())
        yield index
        model.go_on.set()
        upkeep.cancel()
        with suppress(asyncio.CancelledError):
            await upkeep


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


async def until_found(index: Index, dao_id: str, query: str, count: int) -> list[str]:
    async with asyncio.timeout(10):
        while True:
            with suppress(EmbedderUnavailable):
                hits = await index.nearest(dao_id, query, 100)
                if len(hits) == count:
                    return [identity for identity, _ in hits]
            await asyncio.sleep(0.005)


async def put(library: MemoryLibrary, dao_id: str, name: str, *texts: str) -> None:
    await library.put(dao_id, read_document(name, "".join(f"# {text}\n\n{text}\n\n" for text in texts).encode()))


async def test_new_passages_are_indexed_and_the_nearest_comes_first() -> None:
    library = MemoryLibrary(["dao"])
    await put(library, "dao", "a.md", "xxxx", "zzzz")
    async with running(library, Letters()) as index:
        assert await until_found(index, "dao", "zz", 2) == ["2", "1"]
    assert len(await library.load("dao")) == 2


async def test_changes_are_noticed() -> None:
    library = MemoryLibrary(["dao"])
    await put(library, "dao", "a.md", "xxxx")
    async with running(library, Letters()) as index:
        assert await until_found(index, "dao", "x", 1) == ["1"]
        await put(library, "dao", "a.md", "yyyy", "zzzz")
        assert await until_found(index, "dao", "z", 2) == ["3", "2"]
        await library.remove("dao", "a.md")
        assert await until_found(index, "dao", "z", 0) == []


async def test_vectors_that_are_stored_are_not_computed_again() -> None:
    library = MemoryLibrary(["dao"])
    await put(library, "dao", "a.md", "xxxx")
    async with running(library, Letters()) as index:
        await until_found(index, "dao", "x", 1)
    second = Letters()
    async with running(library, second) as index:
        await until_found(index, "dao", "x", 1)
    assert second.embedded == []


async def test_one_dao_never_sees_anothers_passages() -> None:
    library = MemoryLibrary(["one", "two"])
    await put(library, "one", "a.md", "xxxx")
    await put(library, "two", "a.md", "yyyy", "xxyy")
    async with running(library, Letters()) as index:
        assert await until_found(index, "one", "y", 1) == ["1"]
        assert await until_found(index, "two", "y", 2) == ["2", "3"]
        assert await index.nearest("three", "y", 5) == ()


async def test_queries_are_answered_while_indexing_is_busy() -> None:
    library, model = MemoryLibrary(["dao", "big"]), Letters()
    await put(library, "dao", "a.md", "xxxx")
    async with running(library, model) as index:
        await until_found(index, "dao", "x", 1)
        model.go_on.clear()
        await put(library, "big", "b.md", *(f"text {number}" for number in range(200)))
        await until(lambda: "big" in index._seen)  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
        async with asyncio.timeout(5):
            assert [identity for identity, _ in await index.nearest("dao", "xx", 1)] == ["1"]
        model.go_on.set()
        assert len(await until_found(index, "big", "text", 100)) == 100


async def test_a_small_dao_does_not_wait_for_a_big_one() -> None:
    library, model = MemoryLibrary(["big", "small"]), Letters()
    await put(library, "big", "b.md", *(f"text {number}" for number in range(100)))
    await put(library, "small", "s.md", "last")
    async with running(library, model) as index:
        await until(lambda: len(model.embedded) == 101)
        await until_found(index, "small", "last", 1)
    assert model.embedded.index("last. last") <= 16


async def test_a_question_asked_again_is_not_embedded_again() -> None:
    library, model = MemoryLibrary(["dao"]), Letters()
    async with running(library, model) as index:
        await until_found(index, "dao", "same", 0)
        for _ in range(5):
            await index.nearest("dao", "same", 3)
        assert model.asked == 1


async def test_before_the_documents_are_read_it_is_unavailable() -> None:
    async with Index(MemoryLibrary(["dao"]), Letters(), Quiet()) as index:
        with pytest.raises(EmbedderUnavailable):
            await index.nearest("dao", "x", 1)


async def test_a_store_that_fails_is_told_once_and_tried_again() -> None:
    library, observer = Unsteady(["dao"]), Quiet()
    await put(library, "dao", "a.md", "xxxx")
    async with running(library, Letters(), observer) as index:
        await until_found(index, "dao", "x", 1)
        library.failing = True
        await put(library, "dao", "b.md", "yyyy")
        await until(lambda: observer.noted)
        assert len(await index.nearest("dao", "x", 5)) == 1
        library.failing = False
        assert len(await until_found(index, "dao", "y", 2)) == 2
    assert observer.noted == ["index_store_failed"]


def test_a_vector_of_another_length_or_with_no_numbers_is_never_first() -> None:
    sound = np.zeros(DIMENSIONS, dtype=np.float32)
    sound[0] = 1
    matrix = Matrix.of([(1, b"short"), (2, stored(sound * np.float32("nan"))), (3, stored(sound))])
    assert len(matrix) == 2
    assert [identity for identity, _ in matrix.nearest(sound, 5)] == ["3", "2"]
    assert matrix.nearest(sound, 0) == ()
    assert Matrix.of([]).nearest(sound, 3) == ()


def test_a_matrix_grows_without_changing_the_one_before() -> None:
    rows = np.eye(3, DIMENSIONS, dtype=np.float32)
    before = Matrix.of([(1, stored(rows[0])), (2, stored(rows[1]))])
    after = before.with_added([(2, stored(rows[2])), (3, stored(rows[1]))])
    assert (len(before), len(after)) == (2, 3)
    assert before.nearest(rows[1], 1)[0][0] == "2"
    assert after.nearest(rows[1], 1)[0][0] == "3"


async def test_a_question_that_nobody_could_wait_for_is_known_when_it_is_asked_again() -> None:
    library = MemoryLibrary(["dao"])
    await put(library, "dao", "a.md", "xxxx")
    model = Letters()
    async with running(library, model) as index:
        await until_found(index, "dao", "y", 1)
        model.answer.clear()
        impatient = asyncio.ensure_future(index.nearest("dao", "slow", 1))
        await until(lambda: model.begun == 2)
        impatient.cancel()
        with suppress(asyncio.CancelledError):
            await impatient
        model.answer.set()
        await until(lambda: model.asked == 2)
        await until(lambda: "slow" in index.remembered)
        assert len(await index.nearest("dao", "slow", 1)) == 1
        assert model.asked == 2
