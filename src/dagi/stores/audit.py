"""The audit in the database: records are added to the end of their chain, in the transaction of what they tell."""

import hashlib
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Select, bindparam, func, insert, select, text, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.ports.audit import ACTION_MAX, AuditQuery, AuditRecord, Finding, Outcome, Verification
from dagi.stores.database import Database
from dagi.stores.tables import audit, audit_head

START: Final = bytes(32)
_PAGE: Final = 2_000
_FINDINGS: Final = 100


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a record will tell; see `AuditRecord`."""

    action: str
    actor: str
    key_id: str = ""
    subject: str = ""
    outcome: Outcome = "done"
    decision_id: str = ""
    details: Mapping[str, object] = {}


class _Content(msgspec.Struct, frozen=True):
    """The part of a record that can be erased. The salt keeps a digest from telling which of a few possible contents it stands for."""

    actor: str
    key_id: str
    subject: str
    details: Mapping[str, object]
    salt: str


async def append(connection: AsyncConnection, dao_id: str, entries: Iterable[Entry], now: datetime) -> None:
    """Add records to the end of a chain. Whoever else adds to it waits for this transaction to end."""
    # The row is there before it is locked, so that two first records do not both become the first.
    await connection.execute(_NEW_HEAD, {"dao_id": dao_id, "hash": START})
    head = (await connection.execute(_HEAD, {"dao": dao_id})).one()
    seq, previous, rows = head.seq, head.hash, list[dict[str, object]]()
    for entry in entries:
        seq += 1
        content = _Content(entry.actor, entry.key_id, entry.subject, entry.details, secrets.token_hex(16))
        written = msgspec.json.encode(content, order="sorted").decode()
        row: dict[str, object] = {
            "dao_id": dao_id,
            "seq": seq,
            "at": now,
            "action": _readable(entry.action),
            "outcome": entry.outcome,
            "decision_id": entry.decision_id,
            "content": written,
            "content_digest": _digest(written),
            "previous": previous,
        }
        row["hash"] = previous = _hash(row)
        rows.append(row)
    if rows:
        await connection.execute(insert(audit), rows)
        await connection.execute(update(audit_head).where(audit_head.c.dao_id == dao_id).values(seq=seq, hash=previous))


_NEW_HEAD: Final = text("INSERT INTO audit_head (dao_id, seq, hash) VALUES (:dao_id, 0, :hash) ON CONFLICT DO NOTHING")
_HEAD: Final = select(audit_head.c.seq, audit_head.c.hash).where(audit_head.c.dao_id == bindparam("dao")).with_for_update()


def _readable(action: str) -> str:
    """A name as every database can hold it and a terminal show it: of a denial it is what somebody asked for, whatever that was."""
    return "".join([each if each.isprintable() else "\ufffd" for each in action[:ACTION_MAX]])


def _digest(content: str) -> bytes:
    return hashlib.sha256(content.encode()).digest()


def _hash(row: Mapping[Any, Any]) -> bytes:
    """SHA-256 over the record's fields as a JSON array; whoever exports the audit can compute it again."""
    at: datetime = row["at"]
    fields = [
        row["dao_id"],
        row["seq"],
        at.astimezone(UTC).isoformat(timespec="microseconds"),
        row["action"],
        row["outcome"],
        row["decision_id"],
        bytes(row["content_digest"]).hex(),
        bytes(row["previous"]).hex(),
    ]
    return hashlib.sha256(msgspec.json.encode(fields)).digest()


class SqlAudit:
    """Implements the port AuditLog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, query: AuditQuery) -> Sequence[AuditRecord]:
        """See the port."""
        # Within one chain by their numbers, which pages go by: the clocks of several machines may differ.
        newest = (audit.c.seq.desc(),) if query.dao_id is not None else (audit.c.at.desc(), audit.c.dao_id, audit.c.seq.desc())
        wanted = _wanted(query).order_by(*newest)
        if query.involving is None:
            wanted = wanted.limit(query.limit)
        found: list[AuditRecord] = []
        async with self._database.read(query.dao_id) as connection, connection.stream(wanted) as rows:
            async for row in rows.mappings():
                record = _record(row)
                if query.involving in {None, record.actor, record.subject}:
                    found.append(record)
                    if len(found) == query.limit:
                        break
        return found

    async def export(self, dao_id: str | None = None) -> AsyncGenerator[dict[str, object]]:
        """Every record there is now of a chain (of all of them), oldest first, with all that verification needs; see `docs/access.md`.

        Whoever reads may take its time: it is read page by page, and nothing is held in between.
        """
        newest = select(audit.c.dao_id, func.max(audit.c.seq)).group_by(audit.c.dao_id).order_by(audit.c.dao_id)
        async with self._database.read(dao_id) as connection:
            ends = (await connection.execute(newest if dao_id is None else newest.where(audit.c.dao_id == dao_id))).all()
        for chain, end in ends:
            after: int | None = None
            while after is None or after < end:
                async with self._database.read(dao_id) as connection:
                    rows = await _page(connection, chain, after, end)
                for row in rows:
                    binary = {name: bytes(row[name]).hex() for name in ("content_digest", "previous", "hash")}
                    yield {**row, **binary}
                after = rows[-1]["seq"] if rows else end

    async def holds(self, dao_id: str, head: str) -> bool:
        """Whether a head that a chain had once, `<number>:<hash>`, is a record of it."""
        seq, _, wanted = head.partition(":")
        query = select(audit.c.hash).where(audit.c.dao_id == dao_id, audit.c.seq == int(seq))
        async with self._database.read(dao_id or None) as connection:
            found = await connection.scalar(query)
        return found is not None and bytes(found).hex() == wanted

    async def verify(self, dao_id: str | None = None) -> Verification:
        """See the port."""
        async with self._database.read(dao_id) as connection:
            query = select(audit_head).order_by(audit_head.c.dao_id)
            heads = (await connection.execute(query if dao_id is None else query.where(audit_head.c.dao_id == dao_id))).all()
            known = select(audit.c.dao_id).distinct().where(audit.c.dao_id.not_in([head.dao_id for head in heads]))
            headless = (await connection.scalars(known if dao_id is None else known.where(audit.c.dao_id == dao_id))).all()
            chains = [_Chain(head.dao_id, head.seq, bytes(head.hash)) for head in heads] + [_Chain(one, 0, START) for one in headless]
            for chain in chains:
                await chain.walk(connection)
        return Verification(
            chains=len(chains),
            records=sum(chain.records for chain in chains),
            erased=sum(chain.erased for chain in chains),
            findings=tuple(finding for chain in chains for finding in chain.findings),
            heads={chain.dao_id: f"{chain.last}:{chain.hash.hex()}" for chain in chains},
        )


class _Chain:
    """One chain, walked from its first record to its last."""

    def __init__(self, dao_id: str, head_seq: int, head_hash: bytes) -> None:
        self.dao_id = dao_id
        self.records = self.erased = self.last = 0
        self.hash = START
        self.findings: list[Finding] = []
        self._head = (head_seq, head_hash)

    async def walk(self, connection: AsyncConnection) -> None:
        """Look at every record."""
        rows = await _page(connection, self.dao_id, None)
        while rows:
            for row in rows:
                self._look(row)
            rows = await _page(connection, self.dao_id, rows[-1]["seq"])
        if (self.last, self.hash) != self._head:
            self._find(self.last, f"the chain ends at record {self.last}, but the newest one written was {self._head[0]}")

    def _look(self, row: RowMapping) -> None:
        seq = int(row["seq"])
        if seq < 1:
            self._find(seq, "it is numbered before the first record of the chain")
            return
        if seq != self.last + 1:
            self._find(seq, f"records {self.last + 1} to {seq - 1} are missing")
        elif bytes(row["previous"]) != self.hash:
            self._find(seq, "it does not follow the record before it: one of the two was changed or moved")
        if bytes(row["hash"]) != _hash(row):
            self._find(seq, "it was changed: its hash is another one")
        if row["content"] is None:
            self.erased += 1
        elif _digest(row["content"]) != bytes(row["content_digest"]):
            self._find(seq, "who did what in it was changed")
        self.records += 1
        self.last, self.hash = seq, bytes(row["hash"])

    def _find(self, seq: int, what: str) -> None:
        if len(self.findings) < _FINDINGS:
            self.findings.append(Finding(dao_id=self.dao_id, seq=seq, what=what))


async def _page(connection: AsyncConnection, dao_id: str, after: int | None, end: int | None = None) -> Sequence[RowMapping]:
    """The next records of a chain, after the one of that number and up to the one of the other."""
    query = select(audit).where(audit.c.dao_id == dao_id).order_by(audit.c.seq).limit(_PAGE)
    if after is not None:
        query = query.where(audit.c.seq > after)
    if end is not None:
        query = query.where(audit.c.seq <= end)
    return (await connection.execute(query)).mappings().all()


async def naming(connection: AsyncConnection, accounts: Sequence[str], dao_id: str | None) -> set[tuple[str, int]]:
    """The records in which one of the accounts is named, by chain and number."""
    found: set[tuple[str, int]] = set()
    for account in accounts:
        named = _wanted(AuditQuery(dao_id=dao_id, involving=account)).with_only_columns(audit.c.dao_id, audit.c.seq)
        found |= {(row.dao_id, row.seq) for row in await connection.execute(named)}
    return found


async def erase_content(connection: AsyncConnection, records: Iterable[tuple[str, int]]) -> None:
    """Remove from records who did what to whom; they and their hashes stay."""
    for dao_id, seq in records:
        await connection.execute(update(audit).where(audit.c.dao_id == dao_id, audit.c.seq == seq).values(content=None))


def _wanted(query: AuditQuery) -> Select[Any]:
    wanted = select(audit)
    if query.dao_id is not None:
        wanted = wanted.where(audit.c.dao_id == query.dao_id)
    if query.action is not None:
        wanted = wanted.where(audit.c.action == query.action)
    if query.outcome is not None:
        wanted = wanted.where(audit.c.outcome == query.outcome)
    if query.since is not None:
        wanted = wanted.where(audit.c.at >= query.since)
    if query.before is not None:
        wanted = wanted.where(audit.c.seq < query.before)
    if query.involving is not None:
        # Narrows it down; whether it is the actor or the subject is looked at afterwards.
        wanted = wanted.where(audit.c.content.contains(msgspec.json.encode(query.involving).decode(), autoescape=True))
    return wanted


def _record(row: RowMapping) -> AuditRecord:
    content = None if row["content"] is None else msgspec.json.decode(row["content"], type=_Content)
    return AuditRecord(
        dao_id=row["dao_id"],
        seq=row["seq"],
        at=row["at"],
        action=row["action"],
        outcome=row["outcome"],
        decision_id=row["decision_id"],
        actor=None if content is None else content.actor,
        key_id=None if content is None else content.key_id,
        subject=None if content is None else content.subject,
        details=None if content is None else content.details,
        hash=bytes(row["hash"]).hex(),
    )
