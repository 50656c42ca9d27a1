"""The audit: a chain in which nothing is changed, left out or moved unnoticed; and what bounds those who change rights."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dagi.access.actor import Actor
from dagi.errors import Conflict, Denied, Gone, Missing
from dagi.observe.observer import SilentObserver
from dagi.ports.audit import AuditQuery, Denial
from dagi.stores.audit import SqlAudit
from dagi.stores.changes import Changes, Record
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.denials import DenialStore
from dagi.stores.erasure import Erasure
from dagi.stores.invitations import InvitationAdmin
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.stores.roles import RoleAdmin
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
ADMIN = Actor(id="tg:1")


@pytest.fixture
async def green(database: Database) -> Database:
    """The DAO `green` with the admin `tg:1` and the member `tg:2`."""
    await Daos(database, FakeClock()).create("green", "Green")
    await MemberAdmin(database, FakeClock()).create("green", "tg:1", ["admin"])
    await MemberAdmin(database, FakeClock(), ADMIN).create("green", "tg:2", ["member"])
    return database


async def tampered(database: Database, *statements: str) -> None:
    """Change the records as somebody would who gets around the triggers."""
    async with database.work() as connection:
        if connection.dialect.name == "postgresql":
            await connection.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER USER")
        else:
            for trigger in ("audit_kept", "audit_unchanged"):
                await connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement in statements:
            await connection.exec_driver_sql(statement)


# One more record, under a number that no chain has.
_FORGED = (
    "INSERT INTO audit (dao_id, seq, at, action, outcome, content_digest, previous, hash) "
    "SELECT dao_id, {seq}, at, action, outcome, content_digest, previous, hash FROM audit WHERE seq = 2"
)


async def findings(database: Database) -> list[str]:
    return [f"{one.seq}: {one.what}" for one in (await SqlAudit(database).verify("green")).findings]


async def test_changes_are_on_record_with_who_did_them_what_and_to_whom(green: Database) -> None:
    records = await SqlAudit(green).list(AuditQuery(dao_id="green"))
    assert [(one.seq, one.actor, one.action, one.subject) for one in records] == [
        (3, "tg:1", "member.added", "tg:2"),
        (2, "system:stack", "member.added", "tg:1"),
        (1, "system:stack", "dao.founded", "green"),
    ]
    assert await findings(green) == []


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["UPDATE audit SET action = 'member.removed' WHERE seq = 2"], ["2: it was changed: its hash is another one"]),
        (["UPDATE audit SET content = replace(content, 'tg:1', 'tg:9') WHERE seq = 2"], ["2: who did what in it was changed"]),
        (["DELETE FROM audit WHERE seq = 2"], ["3: records 2 to 2 are missing"]),
        (["DELETE FROM audit WHERE seq = 3"], ["2: the chain ends at record 2, but the newest one written was 3"]),
        (["DELETE FROM audit"], ["0: the chain ends at record 0, but the newest one written was 3"]),
        (["DELETE FROM audit_head"], ["3: the chain ends at record 3, but the newest one written was 0"]),
        ([_FORGED.format(seq=0)], ["0: it is numbered before the first record of the chain"]),
        ([_FORGED.format(seq=-7)], ["-7: it is numbered before the first record of the chain"]),
        (["UPDATE audit SET dao_id = 'park' WHERE seq = 3"], ["2: the chain ends at record 2, but the newest one written was 3"]),
    ],
)
async def test_verification_finds_what_was_changed_or_removed(green: Database, statements: list[str], expected: list[str]) -> None:
    await tampered(green, *statements)
    assert await findings(green) == expected


async def test_verification_finds_records_that_changed_places(green: Database) -> None:
    await tampered(
        green,
        "UPDATE audit SET seq = 9 WHERE seq = 2",
        "UPDATE audit SET seq = 2 WHERE seq = 3",
        "UPDATE audit SET seq = 3 WHERE seq = 9",
    )
    found = await findings(green)
    assert {one.partition(":")[0] for one in found} == {"2", "3"}


async def test_a_chain_that_was_written_anew_from_some_record_on_does_not_hold_the_head_it_had(green: Database) -> None:
    audit = SqlAudit(green)
    head = (await audit.verify("green")).heads["green"]
    assert await audit.holds("green", head)
    await tampered(green, "DELETE FROM audit WHERE seq = 3", "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)")
    await MemberAdmin(green, FakeClock()).create("green", "tg:3", ["member"])
    assert await findings(green) == []
    assert not await audit.holds("green", head)


@pytest.mark.parametrize("statement", ["DELETE FROM audit", "UPDATE audit SET action = 'x'", "UPDATE audit SET content = 'x'"])
async def test_the_database_itself_lets_nobody_change_or_remove_a_record(green: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        async with green.work() as connection:
            await connection.exec_driver_sql(statement)


async def test_an_erased_person_is_gone_from_the_audit_and_the_chain_still_holds(green: Database) -> None:
    erased = await Erasure(green, FakeClock()).erase("tg:2")
    audit = SqlAudit(green)
    records = await audit.list(AuditQuery(dao_id="green"))
    assert erased.records == 1
    assert [(one.seq, one.actor, one.subject) for one in records if one.seq == 3] == [(3, None, None)]
    found = await audit.verify()
    assert (found.findings, found.erased) == ((), 1)
    assert b"tg:2" not in b"".join([str(row).encode() async for row in audit.export("green")])


async def test_an_export_holds_all_that_verification_needs(green: Database) -> None:
    import hashlib
    import json

    previous = bytes(32).hex()
    async for row in SqlAudit(green).export("green"):
        at = row["at"].isoformat(timespec="microseconds")
        fields = (
            [row[name] for name in ("dao_id", "seq")]
            + [at]
            + [row[name] for name in ("action", "outcome", "decision_id", "content_digest", "previous")]
        )
        assert row["previous"] == previous
        assert hashlib.sha256(str(row["content"]).encode()).hexdigest() == row["content_digest"]
        previous = hashlib.sha256(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
        assert previous == row["hash"]


async def test_whoever_reads_an_export_slowly_holds_nothing_and_gets_what_there_was_when_it_began(green: Database) -> None:
    changes = Changes(green, FakeClock())

    async def add(count: int) -> None:
        async with changes.of("green", Actor.operator("root")) as change:
            await change.record_all([Record("it.happened", f"tg:{number}", {}) for number in range(count)])

    await add(4_500)
    export = SqlAudit(green).export()
    rows = [await anext(export) for _ in range(2_100)]
    await add(10)
    assert await readers(green) == 0
    rows += [row async for row in export]
    assert [row["seq"] for row in rows] == list(range(1, 4_504))
    assert [row["seq"] async for row in SqlAudit(green).export("green")] == list(range(1, 4_514))


async def readers(database: Database) -> int:
    """How many transactions stand still, waiting for whoever began them; a file tells whether there is any."""
    if database.path is None:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        async with database.read() as connection:
            return int(await connection.scalar(text(idle)) or 0)
    with closing(sqlite3.connect(database.path, timeout=0)) as connection:
        return int(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


async def test_a_change_that_is_denied_changes_nothing_and_is_on_record(green: Database) -> None:
    with pytest.raises(Denied):
        await MemberAdmin(green, FakeClock(), Actor(id="tg:2")).create("green", "tg:3", ["member"])
    with pytest.raises(Missing):
        await MemberAdmin(green, FakeClock()).show("green", "tg:3")
    newest = (await SqlAudit(green).list(AuditQuery(dao_id="green", limit=1)))[0]
    assert (newest.actor, newest.action, newest.outcome, newest.details) == (
        "tg:2",
        "member.manage",
        "denied",
        {"reason": "role_lacks_entitlement"},
    )


async def test_a_denial_in_a_dao_that_does_not_exist_is_kept_with_the_stacks_own(green: Database) -> None:
    with pytest.raises(Denied):
        await MemberAdmin(green, FakeClock(), Actor(id="tg:2")).create("nowhere", "tg:3", ["member"])
    assert [one.outcome for one in await SqlAudit(green).list(AuditQuery(dao_id=""))] == ["denied"]
    with pytest.raises(Missing):
        await MemberAdmin(green, FakeClock()).create("nowhere", "tg:3", ["member"])


async def test_equal_denials_of_a_moment_are_one_record_that_counts_them(green: Database) -> None:
    def denial(user: str) -> Denial:
        return Denial(
            dao_id="green", user_id=user, key_id="", entitlement="chat.use", reason="not_a_member", decision_id="d", request_id="r"
        )

    async with DenialStore(green, FakeClock(), SilentObserver()) as store:
        for _ in range(50):
            store.denied(denial("tg:8"))
        store.denied(denial("tg:9"))
    records = await SqlAudit(green).list(AuditQuery(dao_id="green", outcome="denied"))
    assert {(one.actor, (one.details or {}).get("times")) for one in records} == {("tg:8", 50), ("tg:9", None)}
    assert await findings(green) == []


async def test_an_error_in_the_middle_of_a_change_leaves_neither_the_change_nor_its_record(green: Database) -> None:
    changes = Changes(green, FakeClock())
    with pytest.raises(RuntimeError):
        async with changes.of("green", ADMIN, "member.manage") as change:
            await change.record("member.added", "tg:3")
            raise RuntimeError
    assert len(await SqlAudit(green).list(AuditQuery(dao_id="green"))) == 3


async def test_a_dao_keeps_an_admin_through_members_and_through_roles(green: Database) -> None:
    members, roles = MemberAdmin(green, FakeClock(), ADMIN), RoleAdmin(green, FakeClock(), ADMIN)
    with pytest.raises(Conflict, match="without an admin"):
        await members.remove("green", "tg:1")
    with pytest.raises(Conflict, match="without an admin"):
        await roles.put("green", "admin", ["chat.use"])
    await members.create("green", "tg:3", ["admin"])
    await members.remove("green", "tg:1")
    with pytest.raises(Denied):
        await members.remove("green", "tg:3")


async def test_everybody_may_leave(green: Database) -> None:
    await MemberAdmin(green, FakeClock(), Actor(id="tg:2")).remove("green", "tg:2")
    with pytest.raises(Denied):
        await MemberAdmin(green, FakeClock(), Actor(id="tg:2")).remove("green", "tg:1")


async def test_an_invitation_is_void_once_its_maker_may_not_invite_any_more(green: Database) -> None:
    clock = FakeClock()
    members = MemberAdmin(green, clock)
    await members.create("green", "tg:3", ["admin"])
    ends = clock.now() + timedelta(days=1)
    made = await InvitationAdmin(green, clock, Actor(id="tg:3")).create("green", "member", uses=2, expires_at=ends)
    accepting = InvitationAdmin(green, clock, Actor(id="tg:4"))
    assert (await accepting.accept(made.code, "tg:4")).roles == ("member",)
    with pytest.raises(Conflict):
        await accepting.accept(made.code, "tg:4")
    await members.update("green", "tg:3", roles=["member"])
    with pytest.raises(Gone, match="void"):
        await accepting.accept(made.code, "tg:5")
    with pytest.raises(Missing):
        await accepting.accept(made.code, "tg:5", "park")
    await clock.sleep(2 * 86_400)
    with pytest.raises(Gone, match="past its time"):
        await accepting.accept(made.code, "tg:5")


async def test_whoever_rules_a_key_holds_all_that_it_can(green: Database) -> None:
    await RoleAdmin(green, FakeClock()).put("green", "keykeeper", ["chat.use", "key.manage"])
    await MemberAdmin(green, FakeClock()).create("green", "tg:3", ["keykeeper"])
    strong = await Keys(green, FakeClock()).create("green", "admin")
    keys = Keys(green, FakeClock(), Actor(id="tg:3"))
    for work in (keys.rotate(strong.id, overlap=timedelta()), keys.revoke(strong.id), keys.limit(strong.id, {"rpm": 1})):
        with pytest.raises(Denied, match="do not hold"):
            await work
    made = await keys.create("green", "keykeeper")
    await keys.revoke(made.id)


async def test_a_change_is_of_the_moment_in_which_its_turn_comes(green: Database) -> None:
    clock = FakeClock()

    async def changed() -> None:
        async with Changes(green, clock).of("green", ADMIN, "member.manage") as change:
            await change.record("member.added", "tg:3")

    async with green.write():
        waiting = asyncio.create_task(changed())
        await asyncio.sleep(0)
        await clock.sleep(60)
        let_in = clock.now()
    await waiting
    newest = (await SqlAudit(green).list(AuditQuery(dao_id="green", limit=1)))[0]
    assert (newest.subject, newest.at) == ("tg:3", let_in)


async def test_pages_of_the_audit_leave_no_record_out_where_clocks_differ(green: Database) -> None:
    behind, ahead = FakeClock(), FakeClock()
    await ahead.sleep(60)
    for number, clock in enumerate((ahead, behind, ahead, behind)):
        await MemberAdmin(green, clock, ADMIN).create("green", f"tg:5{number}", ["member"])
    audit, seen, before = SqlAudit(green), list[int](), None
    while page := await audit.list(AuditQuery(dao_id="green", limit=2, before=before)):
        seen += [one.seq for one in page]
        before = seen[-1]
    assert seen == [7, 6, 5, 4, 3, 2, 1]
