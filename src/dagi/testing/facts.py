"""Fakes of the knowledge: a library in memory, and an embedder that compares words."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from struct import pack

import msgspec

from dagi.catalogue.words import terms, words
from dagi.errors import Invalid, Missing
from dagi.message import Fact
from dagi.ports.documents import MAX_FACTS, Document, Listed
from dagi.ports.embedder import DIMENSIONS, MAX_TEXT, EmbedderUnavailable, Hits
from dagi.ports.facts import Found
from dagi.ports.vectors import Unindexed, Vector


class _Kept(msgspec.Struct):
    id: int
    dao_id: str
    document_id: str
    fact: Fact
    vector: bytes | None = None


class MemoryLibrary:
    """`Documents`, `Passages` and `Vectors` of the DAOs it was made with, in memory.

    Args:
        max_facts: passages a DAO may have.
    """

    def __init__(self, daos: Iterable[str] = (), *, max_facts: int = MAX_FACTS) -> None:
        self._versions = dict.fromkeys(daos, 1)
        self._documents: dict[tuple[str, str], Document] = {}
        self._kept: dict[int, _Kept] = {}
        self._made = 0
        self._max_facts = max_facts

    async def put(self, dao_id: str, document: Document) -> bool:
        """Add or replace; see the port."""
        if dao_id not in self._versions:
            raise Missing("There is no DAO of that name.", dao_id=dao_id)
        known = self._documents.get((dao_id, document.name))
        if known is not None and known.digest == document.digest:
            return False
        others = [kept for kept in self._of(dao_id) if kept.fact.source != document.name]
        if len(others) + len(document.passages) > self._max_facts:
            raise Invalid(f"The DAO would have more than {self._max_facts} passages.", field="document")
        self._drop(dao_id, document.name)
        self._documents[dao_id, document.name] = document
        version = f"version-{self._made}"
        for passage in document.passages:
            self._made += 1
            fact = Fact(id=str(self._made), source=document.name, title=passage.title, text=passage.text)
            self._kept[self._made] = _Kept(self._made, dao_id, version, fact)
        self._versions[dao_id] += 1
        return True

    async def list(self, dao_id: str) -> tuple[Listed, ...]:
        """The DAO's documents by name."""
        return tuple(
            Listed(
                name=name,
                digest=document.digest,
                size_bytes=document.size_bytes,
                passages=len(document.passages),
                updated_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
            for (owner, name), document in sorted(self._documents.items())
            if owner == dao_id
        )

    async def remove(self, dao_id: str, name: str) -> None:
        """Remove a document; see the port."""
        if (dao_id, name) not in self._documents:
            raise Missing("The DAO has no document of that name.", dao_id=dao_id, name=name)
        self._drop(dao_id, name)
        self._versions[dao_id] += 1

    async def matching(self, dao_id: str, query: str, limit: int) -> tuple[Fact, ...]:
        """Passages that hold words of the query, those with the most of them first."""
        wanted = terms(query)
        counted = [
            (sum(any(term.matches(word) for word in words(f"{kept.fact.title} {kept.fact.text}")) for term in wanted), kept)
            for kept in self._of(dao_id)
        ]
        ordered = sorted(((count, kept) for count, kept in counted if count), key=lambda item: (-item[0], item[1].id))
        return tuple(kept.fact for _, kept in ordered[:limit])

    async def by_ids(self, dao_id: str, ids: Sequence[str]) -> tuple[Fact, ...]:
        """Those of the passages that belong to the DAO."""
        return tuple(kept.fact for kept in self._of(dao_id) if kept.fact.id in ids)

    async def versions(self) -> Mapping[str, int]:
        """Every DAO's counter of changes."""
        return dict(self._versions)

    async def unindexed(self, dao_id: str, limit: int) -> tuple[Unindexed, ...]:
        """Some of the DAO's passages without a vector."""
        waiting = [kept for kept in self._of(dao_id) if kept.vector is None]
        return tuple(
            Unindexed(id=kept.id, document_id=kept.document_id, title=kept.fact.title, text=kept.fact.text) for kept in waiting[:limit]
        )

    async def save(self, vectors: Sequence[Vector]) -> None:
        """Keep the vectors of passages that are still the same."""
        for vector in vectors:
            kept = self._kept.get(vector.id)
            if kept is not None and kept.document_id == vector.document_id:
                kept.vector = vector.data

    async def load(self, dao_id: str) -> tuple[tuple[int, bytes], ...]:
        """Id and vector of every passage that has one."""
        return tuple((kept.id, kept.vector) for kept in self._of(dao_id) if kept.vector is not None)

    def _of(self, dao_id: str) -> Sequence[_Kept]:
        return [kept for kept in self._kept.values() if kept.dao_id == dao_id]

    def _drop(self, dao_id: str, name: str) -> None:
        self._documents.pop((dao_id, name), None)
        self._kept = {identity: kept for identity, kept in self._kept.items() if (kept.dao_id, kept.fact.source) != (dao_id, name)}


class MemoryFacts:
    """`Facts` over a library, by words alone; or always the facts it was given.

    Attributes:
        asked: DAO and query of every search.
    """

    def __init__(self, library: MemoryLibrary | None = None, *, always: tuple[Fact, ...] = (), error: Exception | None = None) -> None:
        self._library = library
        self._always = always
        self._error = error
        self.asked: list[tuple[str, str]] = []

    async def search(self, dao_id: str, query: str, limit: int) -> Found:
        """The passages nearest to the query; see the port."""
        self.asked.append((dao_id, query))
        if self._error is not None:
            raise self._error
        if self._library is None:
            return Found(facts=self._always[:limit], semantic=False)
        return Found(facts=await self._library.matching(dao_id, query, limit), semantic=False)


class MemoryEmbedder:
    """`Embedder` over a library: nearness is the number of words in common. With `down` it is not there."""

    def __init__(self, library: MemoryLibrary | None = None, *, down: bool = False) -> None:
        self._library = library
        self.down = down

    async def nearest(self, dao_id: str, query: str, limit: int) -> Hits:
        """Ids of the passages nearest in meaning; see the port."""
        if self.down:
            raise EmbedderUnavailable("down")
        found = await self._library.matching(dao_id, query, limit) if self._library else ()
        return tuple((fact.id, 1.0 / (place + 1)) for place, fact in enumerate(found))

    async def vector(self, text: str, *, query: bool) -> bytes:
        """The text's length, whether it is a question, then zeros; see the port."""
        if self.down:
            raise EmbedderUnavailable("down")
        return pack(f"<{DIMENSIONS}f", len(text[:MAX_TEXT]), query, *[0.0] * (DIMENSIONS - 2))
