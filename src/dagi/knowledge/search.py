"""Search in a DAO's documents: by words and by meaning side by side, the two rankings fused."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import msgspec

from dagi.catalogue import language_of
from dagi.knowledge.question import parts
from dagi.message import Fact
from dagi.ports.embedder import MAX_QUERY, Embedder, EmbedderUnavailable
from dagi.ports.facts import Found
from dagi.ports.passages import Passages

# Reciprocal rank fusion. A small constant lets a first place count; measured on the demo documents.
_RANK = 10.0
# A passage in another language than the question's gives way to its neighbours: many DAOs keep every document in two.
_OTHER_LANGUAGE = 0.8
# Each ranking is read this much deeper than what is asked for, so that passages both know can rise.
_DEPTH = 3
_MAX_LIMIT = 50


class Search:
    """`ports.facts.Facts` over the passages and, while it answers in time, the embedder.

    Args:
        timeout_ms: what the search by meaning may take; after that the search goes on with words alone.
    """

    def __init__(self, passages: Passages, embedder: Embedder | None = None, *, timeout_ms: float = 50) -> None:
        self._passages = passages
        self._embedder = embedder
        self._timeout_s = timeout_ms / 1000

    async def search(self, dao_id: str, query: str, limit: int) -> Found:
        """The passages nearest to the query; see the port."""
        asked = parts(query)
        wanted = max(1, min(limit, _MAX_LIMIT))
        meaning = asyncio.create_task(self._by_meaning(dao_id, asked, wanted * _DEPTH))
        try:
            by_words = await asyncio.gather(*(self._passages.matching(dao_id, part, wanted * _DEPTH) for part in asked))
            by_meaning = await meaning
        finally:
            meaning.cancel()
        facts = {fact.id: fact for ranking in by_words for fact in ranking}
        unknown = {identity for ranking in by_meaning or () for identity in ranking} - facts.keys()
        if unknown:
            facts.update((fact.id, fact) for fact in await self._passages.by_ids(dao_id, sorted(unknown)))
        fused = [
            _fused(([fact.id for fact in words], meant), facts, language_of(query))
            for words, meant in zip_longest(by_words, by_meaning or (), fillvalue=())
        ]
        return Found(facts=tuple(_in_turn(fused))[:wanted], semantic=by_meaning is not None)

    async def _by_meaning(self, dao_id: str, asked: Sequence[str], limit: int) -> list[list[str]] | None:
        """Ids for every part, best first; None when meaning could not be searched, or not in time."""
        if self._embedder is None:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await asyncio.gather(*(self._embedder.nearest(dao_id, part[:MAX_QUERY], limit) for part in asked))
        except (EmbedderUnavailable, TimeoutError):
            return None
        return [[identity for identity, _ in hits] for hits in found]


def _fused(rankings: Iterable[Iterable[str]], facts: dict[str, Fact], language: str) -> list[Fact]:
    scores: dict[str, float] = {}
    for ranking in rankings:
        for place, identity in enumerate(ranking):
            if identity in facts:
                scores[identity] = scores.get(identity, 0.0) + 1 / (_RANK + place)
    for identity in scores:
        if language_of(facts[identity].text) != language:
            scores[identity] *= _OTHER_LANGUAGE
    ordered = sorted(scores.items(), key=lambda item: -item[1])
    return [msgspec.structs.replace(facts[identity], score=round(score, 6)) for identity, score in ordered]


def _in_turn(rankings: Iterable[list[Fact]]) -> Iterable[Fact]:
    """The best of every part, then the second of every part, and so on; each passage once."""
    told: set[str] = set()
    for row in zip_longest(*rankings):
        for fact in row:
            if fact is not None and fact.id not in told:
                told.add(fact.id)
                yield fact
