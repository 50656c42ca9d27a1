"""What holds whatever anybody does: rights come only from those who hold them, a DAO keeps an admin, and DAOs do not touch each other."""

import asyncio
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagi.access.actor import Actor
from dagi.access.administration import common, everything, is_admin, lacking, rarest, require_held, through_key
from dagi.access.decide import DaoStanding, Membership, Standing, decide, entitlements
from dagi.access.entitlements import ADMINISTRATIVE, DEFAULT_ROLES
from dagi.errors import Conflict, Denied, Invalid, Missing
from dagi.message import Grant, Sender, covers
from dagi.ports.audit import AuditQuery
from dagi.stores.audit import SqlAudit
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.members import MemberAdmin
from dagi.stores.roles import RoleAdmin
from dagi.stores.standings import read_roles, read_standing
from dagi.stores.upgrade import upgrade
from dagi.testing.clock import FakeClock

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMES = ["chat.use", "member.read", "member.manage", "config.update", "key.manage", "workflow.run:a", "workflow.run:b", "workflow.run:*"]
names = st.frozensets(st.sampled_from(NAMES))
roles = st.dictionaries(st.sampled_from(["admin", "keeper", "member", "guest"]), names.filter(bool), min_size=1)


@given(names, names)
def test_what_is_lacking_is_what_no_held_entitlement_covers(held: frozenset[str], wanted: frozenset[str]) -> None:
    missing = lacking(held, wanted)
    assert missing == sorted(name for name in wanted if not covers(held, name))
    assert lacking(held | wanted, wanted) == []


@given(names, names)
def test_what_a_key_lends_is_allowed_by_both(own: frozenset[str], lent: frozenset[str]) -> None:
    both = common(own, lent)
    for name in NAMES:
        assert covers(both, name) is (covers(own, name) and covers(lent, name))


@given(names, names)
def test_rights_that_are_not_held_are_not_given(held: frozenset[str], wanted: frozenset[str]) -> None:
    grant = Grant(dao_id="green", user_id="tg:1", roles=("keeper",), entitlements=held, reason="role_grants", decision_id="d")
    if lacking(held, wanted):
        with pytest.raises(Denied) as caught:
            require_held(grant, wanted)
        missing = lacking(held, wanted)
        assert caught.value.facts == {
            "user_role": "keeper",
            "required_entitlement": missing[0],
            "reason": "not_held",
            "decision_id": "d",
        }
        assert ", ".join(missing) in caught.value.message
        assert caught.value.whose is grant
    else:
        require_held(grant, wanted)


@given(names, names, st.sampled_from(NAMES))
def test_a_denial_tells_whether_the_person_or_the_key_lacks_it(own: frozenset[str], lent: frozenset[str], wanted: str) -> None:
    person = Grant(dao_id="green", user_id="tg:1", roles=("keeper",), entitlements=own, reason="role_grants", decision_id="d")
    grant = through_key(person, Grant(dao_id="green", user_id="key:a", roles=("bot",), entitlements=lent, reason="role_grants"))
    assert (grant.user_id, grant.roles, grant.entitlements) == ("tg:1", ("keeper",), common(own, lent))
    if grant.allows(wanted):
        grant.require(wanted)
        require_held(grant, [wanted])
        return
    with pytest.raises(Denied) as required:
        grant.require(wanted)
    with pytest.raises(Denied) as held:
        require_held(grant, [wanted])
    by_key = covers(own, wanted)
    assert held.value.facts["reason"] == ("not_held_by_key" if by_key else "not_held")
    assert (required.value.facts["reason"] == "key_lacks_entitlement") is by_key
    for denied in (required.value, held.value):
        assert denied.facts["required_entitlement"] == wanted
        assert ("key" in denied.message.replace("key.manage", "")) is by_key


@given(roles, st.data())
def test_every_admin_has_one_of_the_rarest_roles(defined: Mapping[str, frozenset[str]], data: st.DataObject) -> None:
    held = data.draw(st.lists(st.sampled_from(sorted(defined)), unique=True))
    assert is_admin(held, defined) is (not lacking(entitlements(tuple(held), defined), everything(defined)))
    if is_admin(held, defined):
        assert rarest(defined) & set(held)


def test_a_role_for_all_workflows_counts_where_another_grants_one_of_them() -> None:
    defined = {"keeper": frozenset({"workflow.run:a"}), "admin": frozenset({"workflow.run:*"})}
    assert is_admin(["admin"], defined)
    assert rarest(defined) == {"admin"}


def test_the_rarest_roles_are_those_that_the_fewest_share_a_right_with() -> None:
    assert rarest({"a": frozenset({"chat.use"}), "b": frozenset({"chat.use"}), "c": frozenset({"member.read"})}) == {"c"}
    nested = {"keeper": frozenset({"workflow.run:a:b"}), "admin": frozenset({"workflow.run:*"})}
    assert rarest(nested) == {"admin"}


def test_somebody_without_a_role_is_refused_without_one() -> None:
    with pytest.raises(Denied) as caught:
        require_held(Grant(dao_id="green", user_id="tg:1"), ["chat.use"])
    assert caught.value.facts["user_role"] is None


def test_nobody_is_admin_where_there_are_no_roles() -> None:
    assert not is_admin([], {})
    assert rarest({}) == frozenset()


@given(st.booleans())
def test_an_account_that_was_linked_a_moment_ago_has_all_but_what_administers(is_over: bool) -> None:
    since = NOW if is_over else NOW + timedelta(seconds=1)
    membership = Membership(roles=("admin",), trusted_from=since)
    grant = decide(Sender(dao_id="green", user_id="eth:0x1"), Standing(DaoStanding(), membership), NOW, "d")
    if is_over:
        assert (grant.reason, grant.entitlements) == ("role_grants", DEFAULT_ROLES["admin"])
        return
    assert (grant.reason, grant.entitlements) == ("recently_linked", DEFAULT_ROLES["admin"] - ADMINISTRATIVE)
    with pytest.raises(Denied, match="24 hours") as caught:
        grant.require("member.manage")
    assert caught.value.facts["reason"] == "recently_linked"
    with pytest.raises(Denied) as caught:
        grant.require("make.coffee")
    assert caught.value.facts["reason"] == "role_lacks_entitlement"
    member = Membership(roles=("member",), trusted_from=since)
    assert decide(Sender(dao_id="green", user_id="eth:0x1"), Standing(DaoStanding(), member), NOW, "d").reason == "role_grants"


def test_a_role_that_ends_before_the_others_is_gone_when_it_does() -> None:
    membership = Membership(roles=("contributor", "member"), ending=(("contributor", NOW),))

    def held(at: datetime) -> tuple[str, ...]:
        return decide(Sender(dao_id="green", user_id="tg:1"), Standing(DaoStanding(), membership), at, "d").roles

    assert held(NOW - timedelta(seconds=1)) == ("contributor", "member")
    assert held(NOW) == ("member",)


PEOPLE = ("tg:1", "tg:2", "tg:3", "tg:4")
step = st.one_of(
    st.tuples(st.just("give"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.sampled_from(["admin", "keeper", "member"])),
    st.tuples(st.just("take"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.just("")),
    st.tuples(st.just("suspend"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.just("")),
    st.tuples(st.just("define"), st.sampled_from(PEOPLE), st.just(""), st.sampled_from(["admin", "keeper", "member"])),
)


@pytest.fixture(scope="module")
def two_daos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the DAOs `green` and `park`, each with the admin `tg:1`, the keeper `tg:2` and the member `tg:3`."""
    directory = tmp_path_factory.mktemp("daos")

    async def fill() -> Path:
        database = Database.in_directory(directory)
        await upgrade(database)
        for dao in ("green", "park"):
            await Daos(database, FakeClock()).create(dao, dao.title())
            keeping = sorted(DEFAULT_ROLES["member"] | {"member.manage", "config.update"})
            await RoleAdmin(database, FakeClock()).put(dao, "keeper", keeping)
            for person, role in zip(PEOPLE, ("admin", "keeper", "member"), strict=False):
                await MemberAdmin(database, FakeClock()).create(dao, person, [role])
        await database.close()
        return database.path

    return asyncio.run(fill())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(step, names.filter(bool)), min_size=1, max_size=6))
def test_rights_come_from_those_who_hold_them_a_dao_keeps_an_admin_and_others_are_untouched(
    two_daos: Path, tmp_path: Path, steps: list[tuple[tuple[str, str, str, str], frozenset[str]]]
) -> None:
    path = tmp_path / "dagi.sqlite"
    for name in (path, path.with_name("dagi.sqlite-wal"), path.with_name("dagi.sqlite-shm")):
        name.unlink(missing_ok=True)
    shutil.copyfile(two_daos, path)
    asyncio.run(_live(Database(path), steps))


async def _live(database: Database, steps: list[tuple[tuple[str, str, str, str], frozenset[str]]]) -> None:
    try:
        park = await _rights(database, "park")
        for (what, actor, person, role), wanted in steps:
            before = await _rights(database, "green")
            done = await _done(database, (what, actor, person, role), wanted)
            after = await _rights(database, "green")
            async with database.read() as connection:
                all_there_is = everything(await read_roles(connection, "green"))
            assert any(not lacking(held, all_there_is) for held in after.values())
            for one in PEOPLE:
                assert not lacking(before[one] | before[actor], after[one]), (what, actor, one)
            if not done:
                assert after == before
        assert await _rights(database, "park") == park
        found = await SqlAudit(database).verify()
        assert found.findings == ()
        records = await SqlAudit(database).list(AuditQuery(dao_id="park"))
        assert {one.action for one in records} <= {"dao.founded", "role.added", "member.added"}
    finally:
        await database.close()


async def _done(database: Database, step: tuple[str, str, str, str], wanted: frozenset[str]) -> bool:
    what, actor, person, role = step
    members, defined = (kind(database, FakeClock(), Actor(id=actor)) for kind in (MemberAdmin, RoleAdmin))
    try:
        if what == "take":
            await members.remove("green", person)
        elif what == "suspend":
            await members.update("green", person, suspended=True)
        elif what == "define":
            await defined.put("green", role, sorted(wanted))
        else:
            try:
                await members.create("green", person, [role])
            except Conflict:
                await members.update("green", person, roles=[role])
    except (Denied, Conflict, Missing, Invalid):
        return False
    return True


async def _rights(database: Database, dao: str) -> dict[str, frozenset[str]]:
    async with database.read() as connection:
        return {
            one: decide(Sender(dao_id=dao, user_id=one), await read_standing(connection, dao, one), FakeClock().now(), "").entitlements
            for one in PEOPLE
        }
