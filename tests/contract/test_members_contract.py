"""What every implementation of the ports Members and KeyRing holds to: the directory over SQLite and over PostgreSQL, and the fake."""

from collections.abc import AsyncGenerator

import pytest

from dagi.access.decide import DaoStanding, decide
from dagi.access.keys import KeyRecord, digest, proves, split
from dagi.errors import AccessUnavailable
from dagi.message import Sender
from dagi.observe.observer import SilentObserver
from dagi.ports.keys import KeyRing
from dagi.ports.members import Members
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.directory import STALE_S, Directory
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.testing.clock import FakeClock
from dagi.testing.members import FakeMembers

pytestmark = pytest.mark.anyio


class Subject:
    """An implementation with the DAO `green`, its admin `tg:1`, its key, and the open DAO `park`."""

    members: Members
    keys: KeyRing
    key: str

    async def grow_stale(self) -> None:
        """Let it be too long since the last look at the store."""


class OverDatabase(Subject):
    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.database = database

    async def fill(self) -> None:
        daos = Daos(self.database, self.clock)
        await daos.create("green", "Green")
        await daos.create("park", "Park", is_open=True)
        await MemberAdmin(self.database, self.clock).create("green", "tg:1", ["admin"])
        self.key = (await Keys(self.database, self.clock).create("green", "member", act_as=True)).key
        directory = Directory(self.database, self.clock, SilentObserver())
        await directory.refresh()
        self.members = self.keys = directory

    async def grow_stale(self) -> None:
        await self.clock.sleep(STALE_S + 1)


class InMemory(Subject):
    def __init__(self) -> None:
        self.clock = FakeClock()
        fake = FakeMembers()
        fake.found("green")
        fake.found("park", DaoStanding(name="Park", open=True))
        fake.join("green", "tg:1", "admin")
        fake.keys["abc"] = KeyRecord(id="abc", dao_id="green", role="member", digest=digest("s3cret"), act_as=True)
        self.members = self.keys = self.fake = fake
        self.key = "dagi_abc_s3cret"

    async def grow_stale(self) -> None:
        self.fake.stale = True


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def subject(request: pytest.FixtureRequest, opened) -> AsyncGenerator[Subject]:
    if request.param == "memory":
        yield InMemory()
        return
    database = await opened(request.param)
    found = OverDatabase(database)
    await found.fill()
    yield found


def roles(subject: Subject, dao_id: str, user_id: str) -> tuple[str, ...]:
    sender = Sender(dao_id=dao_id, user_id=user_id)
    return decide(sender, subject.members.standing(dao_id, user_id), FakeClock().now(), "").roles


async def test_members_strangers_guests_and_keys_have_the_roles_they_have(subject: Subject) -> None:
    key_id = subject.key.split("_")[1]
    found = [
        roles(subject, *who)
        for who in (("green", "tg:1"), ("green", "tg:2"), ("park", "tg:2"), ("none", "tg:1"), ("green", f"key:{key_id}"))
    ]
    assert found == [("admin",), (), ("guest",), (), ("member",)]


async def test_a_membership_of_one_dao_says_nothing_in_another(subject: Subject) -> None:
    assert subject.members.standing("park", "tg:1").membership is None
    assert subject.members.standing("park", f"key:{subject.key.split('_')[1]}").membership is None


async def test_a_dao_that_does_not_exist_is_an_empty_standing(subject: Subject) -> None:
    assert (subject.members.standing("none", "tg:1").dao, subject.members.standing("none", "tg:1").membership) == (None, None)


async def test_a_key_is_found_by_its_id_and_proved_by_its_secret(subject: Subject) -> None:
    parts = split(subject.key)
    assert parts is not None
    record = subject.keys.find(parts[0])
    assert record is not None
    assert (record.dao_id, record.role, record.act_as) == ("green", "member", True)
    assert proves(record, parts[1], FakeClock().now())
    assert subject.keys.find("none") is None


async def test_what_is_too_old_to_be_trusted_answers_nothing(subject: Subject) -> None:
    await subject.grow_stale()
    with pytest.raises(AccessUnavailable):
        subject.members.standing("green", "tg:1")
    with pytest.raises(AccessUnavailable):
        subject.keys.find("abc")
