"""Searching a DAO's facts: by words alone, and with the embedder process beside it."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from sqlalchemy import text

from dagi.assemble.installation import Choice
from dagi.assemble.installation import Installation as Assembled
from dagi.knowledge.e5 import E5
from dagi.knowledge.matrix import stored
from dagi.knowledge.search import Search
from dagi.ports.embedder import DIMENSIONS
from dagi.remote.embedder import RemoteEmbedder
from dagi.stores.database import FILE_NAME, Database
from dagi.stores.passages import SqlPassages
from facts import documents, questions
from figures import Plan, Row, Spread
from stack import DAO, Installation, install, serving, twenty_rules

FACTS = 10_000
# So many are embedded for real (0.2 s each); the others get one of these vectors, turned a little.
EMBEDDED = 100
LIMIT = 5
TIMEOUT_MS = 50
INDEXING_S = 600.0


class Searched(msgspec.Struct, frozen=True):
    """Milliseconds a search took, and in how many of them meaning was searched in time."""

    ms: Spread
    semantic: int


def rows(plan: Plan) -> list[Row]:
    """Words alone, meaning with new questions, meaning with questions asked before."""
    count = plan.pick(FACTS, FACTS // 50)
    installation = install(
        plan.work / "facts", upstream="http://127.0.0.1:9", rules=twenty_rules(), embedder=True, documents=documents(count)
    )
    return asyncio.run(_measure(plan, installation, count))


async def _measure(plan: Plan, installation: Installation, count: int) -> list[Row]:
    asked = questions(plan.pick(400, 40))
    socket = Assembled.of(Choice(config=str(installation.config))).embedder_socket
    database = installation.database
    try:
        words = await _searched(Search(SqlPassages(database)), asked)
        _give_vectors(installation, plan.pick(EMBEDDED, EMBEDDED // 10))
        with serving(installation):
            await _indexed(database)
            embedder = RemoteEmbedder(socket)
            try:
                await _connected(embedder)
                search = Search(SqlPassages(database), embedder, timeout_ms=TIMEOUT_MS)
                fresh, again = await _searched(search, asked), await _searched(search, asked)
            finally:
                await embedder.close()
    finally:
        await database.close()
    about = f"fact search, {count:,} facts"
    return [
        _row(f"{about}, words alone", words, ""),
        _row(f"{about}, words and meaning", fresh, _share(fresh)),
        _row(f"{about}, a question asked before", again, _share(again)),
    ]


def _share(searched: Searched) -> str:
    return f"{searched.semantic / searched.ms.count:.1%} with meaning within {TIMEOUT_MS} ms, the others by words alone"


def _row(what: str, searched: Searched, more: str, **numbers: float) -> Row:
    ms = searched.ms
    return Row(
        what=what,
        main=f"{ms.p50:.2f} ms",
        p50=f"{ms.p50:.2f} ms",
        p99=f"{ms.p99:.2f} ms",
        more=more,
        numbers={"p50_ms": ms.p50, "p99_ms": ms.p99, "searches": ms.count, "semantic": searched.semantic, **numbers},
    )


async def _searched(search: Search, asked: Sequence[str]) -> Searched:
    await search.search(DAO, "перше запитання", LIMIT)
    taken: list[float] = []
    semantic = 0
    for question in asked:
        began = time.perf_counter()
        found = await search.search(DAO, question, LIMIT)
        taken.append((time.perf_counter() - began) * 1000)
        semantic += found.semantic
        if not found.facts:
            raise RuntimeError(f"nothing was found for {question!r}")
    return Searched(Spread.of(taken), semantic)


def _give_vectors(installation: Installation, number: int) -> None:
    model = E5(threads=2)
    turned = np.random.default_rng(7)
    with closing(sqlite3.connect(installation.data_dir / FILE_NAME)) as connection, connection:
        passages: list[tuple[int, str]] = connection.execute("SELECT id, title || ' ' || text FROM fact ORDER BY id").fetchall()
        known = [model.passage(text) for _, text in passages[:: max(1, len(passages) // number)][:number]]
        rows: list[tuple[bytes, int]] = []
        for place, (identity, _) in enumerate(passages):
            vector = known[place % len(known)] + turned.normal(0, 0.02, DIMENSIONS).astype(np.float32)
            rows.append((stored((vector / np.linalg.norm(vector)).astype(np.float32)), identity))
        connection.executemany("UPDATE fact SET vector = ? WHERE id = ?", rows)


async def _indexed(database: Database) -> None:
    """Wait until every fact has its vector."""
    async with asyncio.timeout(INDEXING_S):
        while await _unindexed(database):  # noqa: ASYNC110 - another process does the work
            await asyncio.sleep(0.2)
    # The index takes the last batch in after it has written it.
    await asyncio.sleep(1)


async def _unindexed(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM fact WHERE vector IS NULL")) or 0)


async def _connected(embedder: RemoteEmbedder) -> None:
    await embedder.connect()
    await asyncio.sleep(0.5)
    await embedder.nearest(DAO, "ready?", 1)


def index_of(path: Path) -> None:
    """Wait until every fact of the database has its vector, for callers that are not asynchronous."""

    async def wait() -> None:
        database = Database(path)
        try:
            await _indexed(database)
        finally:
            await database.close()

    asyncio.run(wait())
