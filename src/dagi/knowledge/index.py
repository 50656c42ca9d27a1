"""The embedder process's state: every DAO's vectors in memory, kept in step with the documents."""

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from dagi.errors import StoreError
from dagi.knowledge.e5 import Array
from dagi.knowledge.matrix import Matrix, stored
from dagi.ports.embedder import MAX_QUERY, EmbedderUnavailable, Hits
from dagi.ports.observer import Observer
from dagi.ports.vectors import Unindexed, Vector, Vectors

_BATCH = 16
_REMEMBERED = 1024
_LOW_PRIORITY, _LOWEST_PRIORITY = 10, 19
# Up to so many passages a vector that is known is compared at once (3 ms); more would keep the others waiting.
_AT_ONCE = 50_000


class Model(Protocol):
    """What embeds. Its calls block, and may come from several threads at once."""

    def query(self, text: str) -> Array:
        """The normalised vector of a question."""
        ...

    def passage(self, text: str) -> Array:
        """The normalised vector of a passage."""
        ...


class Index:
    """Search by meaning (`ports.embedder.Embedder`), with its upkeep in `run`.

    Queries and indexing have threads of their own, and the indexing thread runs at the lowest priority: thousands of new passages
    do not make a query wait. DAOs with new passages take turns, one batch each.

    Args:
        poll_s: how often to look for changed documents.
        query_threads: queries embedded at the same time.
    """

    def __init__(self, vectors: Vectors, model: Model, observer: Observer, *, poll_s: float = 0.25, query_threads: int = 2) -> None:
        self._vectors = vectors
        self._model = model
        self._observer = observer
        self._poll_s = poll_s
        self._queries = ThreadPoolExecutor(query_threads, thread_name_prefix="query")
        self._indexing = ThreadPoolExecutor(1, thread_name_prefix="indexing", initializer=_give_way, initargs=(_LOWEST_PRIORITY,))
        # Texts of callers who want vectors: no search waits for them, and they do not wait for the upkeep.
        self._embedding = ThreadPoolExecutor(1, thread_name_prefix="vectors", initializer=_give_way, initargs=(_LOW_PRIORITY,))
        self._matrices: dict[str, Matrix] = {}
        self._seen: dict[str, int] = {}
        self._behind: dict[str, None] = {}
        self._work = asyncio.Event()
        self._read = False
        self._failing = False
        self._remembered: OrderedDict[str, Array] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._queries.shutdown(wait=False, cancel_futures=True)
        self._indexing.shutdown(wait=False, cancel_futures=True)
        self._embedding.shutdown(wait=False, cancel_futures=True)

    @property
    def remembered(self) -> frozenset[str]:
        """Questions whose vectors are known."""
        return frozenset(self._remembered)

    async def nearest(self, dao_id: str, query: str, limit: int) -> Hits:
        """Ids of the passages nearest in meaning; see the port."""
        matrix = self._matrices.get(dao_id)
        if matrix is None:
            if not self._read:
                raise EmbedderUnavailable("the documents have not been read yet")
            return ()
        question = query[:MAX_QUERY]
        known = self._remembered.get(question)
        if known is not None and len(matrix) <= _AT_ONCE:
            self._remembered.move_to_end(question)
            return matrix.nearest(known, limit)
        loop = asyncio.get_running_loop()
        looking = self._queries.submit(self._look, matrix, question, known, limit)
        looking.add_done_callback(lambda done: _tell(loop, self._remember, question, done))
        # Cancelling the wait takes a query out of the line that no thread has begun with. One that was begun is remembered all the same:
        # whoever could not wait for it asks again.
        _, hits = await asyncio.wrap_future(looking)
        return hits

    async def vector(self, text: str, *, query: bool) -> bytes:
        """The vector of a text; see the port."""
        embed = self._model.query if query else self._model.passage
        return stored(await asyncio.get_running_loop().run_in_executor(self._embedding, embed, text))

    def _remember(self, question: str, vector: Array) -> None:
        self._remembered[question] = vector
        self._remembered.move_to_end(question)
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    def _look(self, matrix: Matrix, question: str, known: Array | None, limit: int) -> tuple[Array, Hits]:
        vector = self._model.query(question) if known is None else known
        return vector, matrix.nearest(vector, limit)

    async def run(self) -> None:
        """Keep the vectors in step, until cancelled. A store that fails is tried again; meanwhile searches go on with what is known."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._catch_up())

    async def _follow(self) -> None:
        while True:
            try:
                await self.refresh()
                self._failing = False
            except StoreError as error:
                self._failed(error)
            await asyncio.sleep(self._poll_s)

    async def refresh(self) -> None:
        """Look once for changes, and take the vectors of the DAOs that have any.

        Raises:
            StoreError: the store cannot be read.
        """
        versions = await self._vectors.versions()
        for gone in self._seen.keys() - versions.keys():
            self._matrices.pop(gone, None)
            del self._seen[gone]
            self._behind.pop(gone, None)
        for dao_id, version in versions.items():
            if self._seen.get(dao_id) == version:
                continue
            self._matrices[dao_id] = Matrix.of(await self._vectors.load(dao_id))
            # Set after the load: documents that change between the two reads make another version, so they are seen next time.
            self._seen[dao_id] = version
            self._behind[dao_id] = None
            self._work.set()
        self._read = True

    async def _catch_up(self) -> None:
        while True:
            await self._work.wait()
            if not self._behind:
                self._work.clear()
                continue
            dao_id = next(iter(self._behind))
            del self._behind[dao_id]
            try:
                if await self._batch(dao_id):
                    self._behind[dao_id] = None
            except StoreError as error:
                self._failed(error)
                self._behind[dao_id] = None
                await asyncio.sleep(self._poll_s)

    async def _batch(self, dao_id: str) -> bool:
        """Embed some of the DAO's new passages; whether there may be more."""
        waiting = await self._vectors.unindexed(dao_id, _BATCH)
        loop = asyncio.get_running_loop()
        # One call a passage, so that stopping waits for one passage and not for the batch.
        made = [await loop.run_in_executor(self._indexing, self._embed, passage) for passage in waiting]
        await self._vectors.save(made)
        more = len(waiting) == _BATCH
        matrix = self._matrices.get(dao_id)
        if matrix is not None:
            # Read anew at the end: passages may have been replaced meanwhile, or another embedder may have done some of them.
            added = [(vector.id, vector.data) for vector in made]
            self._matrices[dao_id] = matrix.with_added(added) if more else Matrix.of(await self._vectors.load(dao_id))
        return more

    def _embed(self, passage: Unindexed) -> Vector:
        vector = self._model.passage(f"{passage.title}. {passage.text}" if passage.title else passage.text)
        return Vector(id=passage.id, document_id=passage.document_id, data=stored(vector))

    def _failed(self, error: StoreError) -> None:
        if not self._failing:
            self._failing = True
            self._observer.note("index_store_failed", error=error.code)


def _give_way(priority: int) -> None:
    # On Linux a thread has a priority of its own, and the engine's helper threads inherit it.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), priority)


def _tell(loop: asyncio.AbstractEventLoop, remember: Callable[[str, Array], None], question: str, done: Future[tuple[Array, Hits]]) -> None:
    if done.cancelled() or done.exception() is not None:
        return
    with suppress(RuntimeError):  # the loop is closed: nobody asks again
        loop.call_soon_threadsafe(remember, question, done.result()[0])
