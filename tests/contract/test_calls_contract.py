"""What every implementation of the port CallLog holds to: the record in the audit, and the fake."""

from collections.abc import AsyncGenerator, Sequence

import pytest
from tests.conftest import Opener

from dagi.observe.observer import SilentObserver
from dagi.ports.audit import AuditQuery
from dagi.ports.calls import Called, CallLog
from dagi.stores.audit import SqlAudit
from dagi.stores.calls import CallStore
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.testing.calls import FakeCalls
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio


def call(number: int, *, dao_id: str = "green", outcome: str = "ok") -> Called:
    return Called(
        request_id=f"r{number}",
        dao_id=dao_id,
        user_id="tg:1",
        key_id="k",
        action="devtools.fs_write",
        workspace="main",
        decision_id="d",
        digest="ab",
        outcome=outcome,
        ms=1.5,
    )


class Subject:
    """The port, and a look at what it keeps."""

    def __init__(self, port: CallLog, database: Database | None) -> None:
        self.port = port
        self._database = database

    async def kept(self, dao_id: str = "green") -> Sequence[tuple[str, str]]:
        """The requests that were written down, and how they ended."""
        if self._database is None:
            assert isinstance(self.port, FakeCalls)
            return [(one.request_id, one.outcome) for one in self.port.calls if one.dao_id == dao_id]
        audit = SqlAudit(self._database)
        assert (await audit.verify()).findings == ()
        found = await audit.list(AuditQuery(dao_id=dao_id, action="devtools.fs_write"))
        return [(str((one.details or {})["request_id"]), str((one.details or {})["outcome"])) for one in reversed(found)]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def subject(request: pytest.FixtureRequest, opened: Opener) -> AsyncGenerator[Subject]:
    if request.param == "memory":
        yield Subject(FakeCalls(), None)
        return
    database = await opened(request.param)
    await Daos(database, FakeClock()).create("green", "Green")
    async with CallStore(database, FakeClock(), SilentObserver()) as store:
        yield Subject(store, database)


async def test_what_was_called_is_there_in_its_order_once_it_is_saved(subject: Subject) -> None:
    for number in range(3):
        subject.port.admit()
        subject.port.called(call(number, outcome="ok" if number else "cancelled"))
    await subject.port.saved()
    assert await subject.kept() == [("r0", "cancelled"), ("r1", "ok"), ("r2", "ok")]


async def test_saving_again_waits_for_nothing_and_loses_nothing(subject: Subject) -> None:
    await subject.port.saved()
    subject.port.called(call(1))
    await subject.port.saved()
    await subject.port.saved()
    subject.port.called(call(2, dao_id="nobody"))
    await subject.port.saved()
    assert await subject.kept() == [("r1", "ok")]
