"""Denials on record: whatever was asked for, by whom and with which key; and no question keeps those of others off the record."""

import pytest

from dagi.access.actor import Actor
from dagi.errors import Denied
from dagi.message import Sender
from dagi.observe.observer import SilentObserver
from dagi.ports.audit import AuditQuery, AuditRecord, Denial
from dagi.stores.audit import SqlAudit
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.denials import DenialStore
from dagi.stores.members import MemberAdmin
from dagi.stores.roles import RoleAdmin
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
LONGEST = "workflow.run:" + "w" * 187


@pytest.fixture
async def green(database: Database) -> Database:
    """The DAO `green` with the admin `tg:1`."""
    await Daos(database, FakeClock()).create("green", "Green")
    await MemberAdmin(database, FakeClock()).create("green", "tg:1", ["admin"])
    return database


def denial(entitlement: str, *, user: str = "tg:8") -> Denial:
    denied = Denied("No.", required_entitlement=entitlement, reason="role_lacks_entitlement", decision_id="d")
    return Denial.of(denied, Sender(dao_id="green", user_id=user), "r")


async def denied_in(database: Database, dao_id: str = "green") -> dict[str, AuditRecord]:
    """The records of denials, by what was denied."""
    audit = SqlAudit(database)
    assert (await audit.verify()).findings == ()
    return {one.action: one for one in await audit.list(AuditQuery(dao_id=dao_id, outcome="denied"))}


@pytest.mark.parametrize(
    "odd", [LONGEST, "workflow.run:" + "w" * 5_000, "workflow.run:\x00", "workflow.run:\n\x1b[2J", "workflow.run:\U0001f600" * 100]
)
async def test_an_odd_name_keeps_no_denial_off_the_record(green: Database, odd: str) -> None:
    async with DenialStore(green, FakeClock(), SilentObserver()) as store:
        store.denied(denial(odd))
        store.denied(denial("devtools.write", user="tg:9"))
    found = await denied_in(green)
    assert found["devtools.write"].actor == "tg:9"
    assert len(found) == 2
    assert all(action.isprintable() and len(action) <= len(LONGEST) for action in found)


async def test_whoever_gives_a_right_with_a_long_name_that_it_does_not_hold_is_denied(green: Database) -> None:
    await RoleAdmin(green, FakeClock()).put("green", "keeper", ["config.update"])
    await MemberAdmin(green, FakeClock()).create("green", "tg:2", ["keeper"])
    with pytest.raises(Denied, match="do not hold"):
        await RoleAdmin(green, FakeClock(), Actor(id="tg:2")).put("green", "runner", [LONGEST])
    assert (await denied_in(green))[LONGEST].actor == "tg:2"
