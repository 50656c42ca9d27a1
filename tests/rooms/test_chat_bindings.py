"""Chats bound to a DAO while the stack runs: who may, what is on record, and how gateways get to know."""

import pytest

from dagi.access.actor import Actor
from dagi.errors import Denied, Invalid, Missing
from dagi.ports.audit import AuditQuery
from dagi.ports.inbox import Lane
from dagi.stores.audit import SqlAudit
from dagi.stores.chat_bindings import BindingAdmin, Bindings
from dagi.stores.chat_moves import ChatMoves
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.members import MemberAdmin
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
OLD, NEW = Lane("telegram", "main", "-77"), Lane("telegram", "main", "-1001234567890")


@pytest.fixture
async def daos(database: Database) -> Database:
    """Two DAOs. `tg:1` is an admin of both, `tg:2` of `bees` alone."""
    for dao in ("green", "bees"):
        await Daos(database, FakeClock()).create(dao, dao)
        await MemberAdmin(database, FakeClock()).create(dao, "tg:1", ["admin"])
    await MemberAdmin(database, FakeClock()).create("bees", "tg:2", ["admin"])
    return database


async def recorded(database: Database, dao_id: str) -> list[tuple[str, str, str]]:
    """What is on record of chats, the newest first."""
    records = await SqlAudit(database).list(AuditQuery(dao_id=dao_id))
    return [(one.action, one.subject, one.actor) for one in records if one.action.startswith(("chat.", "denied", "channel."))]


async def test_a_chat_that_changes_hands_is_on_record_where_it_is_gained_and_where_it_is_lost(daos: Database) -> None:
    admin = BindingAdmin(daos, FakeClock(), Actor(id="tg:1"))
    await admin.bind(NEW, "bees", mention_only=False, otherwise="green")
    await admin.bind(NEW, "green")
    (bound,) = await admin.all()
    assert (bound.lane, bound.dao_id, bound.mention_only, bound.created_by) == (NEW, "green", None, "tg:1")
    assert [await admin.all("bees"), len(await admin.all("green"))] == [[], 1]
    await admin.unbind(NEW, otherwise="bees")
    gained, lost = ("chat.bound", NEW.chat, "tg:1"), ("chat.unbound", NEW.chat, "tg:1")
    assert await recorded(daos, "bees") == [gained, lost, gained]
    assert await recorded(daos, "green") == [lost, gained, lost]
    assert await admin.all() == []


async def test_nobody_takes_a_chat_from_a_dao_in_which_they_may_not_manage_channels(daos: Database) -> None:
    bees = BindingAdmin(daos, FakeClock(), Actor(id="tg:2"))
    with pytest.raises(Denied):
        await bees.bind(NEW, "bees", otherwise="green")
    with pytest.raises(Denied):
        await bees.bind(NEW, "green")
    await BindingAdmin(daos, FakeClock()).bind(NEW, "green")
    with pytest.raises(Denied):
        await bees.unbind(NEW)
    assert [one.dao_id for one in await bees.all()] == ["green"]


@pytest.mark.parametrize(
    ("lane", "dao", "error"),
    [
        (NEW, "nowhere", Missing),
        (Lane("telegram", "main", "a group"), "bees", Invalid),
        (Lane("discord", "main", "-5"), "bees", Invalid),
    ],
)
async def test_what_cannot_be_bound_is_told_and_nothing_changes(daos: Database, lane: Lane, dao: str, error: type[Exception]) -> None:
    admin = BindingAdmin(daos, FakeClock())
    with pytest.raises(error):
        await admin.bind(lane, dao, otherwise="green")
    with pytest.raises(Missing, match="dagi channel list"):
        await admin.unbind(NEW)
    assert (await admin.all(), await recorded(daos, "green")) == ([], [])


async def test_a_group_that_moved_is_bound_and_unbound_by_the_id_it_has(daos: Database) -> None:
    admin = BindingAdmin(daos, FakeClock())
    await admin.bind(OLD, "green")
    await ChatMoves(daos).note(OLD, NEW.chat)
    await admin.bind(NEW, "bees")
    assert [(one.chat, one.dao_id) for one in await admin.all()] == [(NEW.chat, "bees")]
    await admin.unbind(NEW)
    await admin.bind(OLD, "green")
    await admin.unbind(NEW)
    assert await admin.all() == []


async def test_gateways_see_what_was_bound_at_their_next_look_and_read_nothing_where_nothing_changed(daos: Database) -> None:
    admin, bindings = BindingAdmin(daos, FakeClock()), Bindings(daos, FakeClock())
    await bindings.refresh()
    assert bindings.of(NEW) is None
    await admin.bind(NEW, "bees", mention_only=True)
    await bindings.refresh()
    assert bindings.of(NEW) is not None
    assert (bindings.any_of("telegram", "main"), bindings.any_of("discord", "main")) == (True, False)
    same = bindings.of(NEW)
    await bindings.refresh()
    assert bindings.of(NEW) is same
    await admin.unbind(NEW, otherwise="bees")
    await bindings.refresh()
    assert bindings.of(NEW) is None


async def test_a_group_that_moved_and_is_named_by_its_old_id_is_bound_anew_all_the_same(daos: Database) -> None:
    admin, bindings = BindingAdmin(daos, FakeClock()), Bindings(daos, FakeClock())
    await ChatMoves(daos).note(OLD, NEW.chat)
    await admin.bind(NEW, "bees")
    await admin.bind(OLD, "green", otherwise="green")
    await bindings.refresh()
    # What is said of the id it has would go before.
    assert bindings.of(NEW) is None
    assert [one.dao_id for one in await admin.all()] == ["green"]
    assert [action for action, _, _ in await recorded(daos, "bees")] == ["chat.unbound", "chat.bound"]
    await admin.bind(NEW, "bees")
    assert (await admin.unbind(OLD)).dao_id == "bees"
    assert await admin.all() == []
