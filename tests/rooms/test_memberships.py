"""Memberships with several roles that end at different times, and what a change of them leaves as it was."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from dagi.access.actor import Actor
from dagi.errors import Conflict
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.invitations import InvitationAdmin
from dagi.stores.members import MemberAdmin
from dagi.stores.standings import read_standing
from dagi.stores.tables import membership
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)
ADMIN = Actor(id="tg:1")


@pytest.fixture
async def green(database: Database) -> Database:
    """The DAO `green` with the admin `tg:1`."""
    await Daos(database, FakeClock()).create("green", "Green")
    await MemberAdmin(database, FakeClock()).create("green", "tg:1", ["admin"])
    return database


async def lasting(database: Database, clock: FakeClock, user_id: str) -> tuple[str, ...]:
    """The roles that are in force."""
    async with database.read("green") as connection:
        held = (await read_standing(connection, "green", user_id)).membership
    assert held is not None
    return held.lasting(clock.now()) if held.expires_at is None or held.expires_at > clock.now() else ()


async def invited(database: Database, clock: FakeClock, user_id: str, role: str, **terms: object) -> None:
    code = (await InvitationAdmin(database, clock, ADMIN).create("green", role, uses=1, expires_at=clock.now() + DAY, **terms)).code
    await InvitationAdmin(database, clock, Actor(id=user_id)).accept(code, user_id)


async def test_a_role_that_is_given_lasts_as_long_as_the_membership_and_not_as_another_role(green: Database) -> None:
    clock = FakeClock()
    members = MemberAdmin(green, clock, ADMIN)
    await members.create("green", "tg:2", ["member"])
    await invited(green, clock, "tg:2", "contributor", member_until=clock.now() + 2 * DAY)
    await clock.sleep((3 * DAY).total_seconds())
    assert await lasting(green, clock, "tg:2") == ("member",)
    await members.update("green", "tg:2", roles=["member", "contributor", "guest"])
    assert await lasting(green, clock, "tg:2") == ("guest", "member")
    await members.update("green", "tg:2", roles=["member"])
    await members.update("green", "tg:2", roles=["member", "contributor"])
    assert await lasting(green, clock, "tg:2") == ("contributor", "member")


async def test_whoever_was_a_member_until_yesterday_may_be_invited_again(green: Database) -> None:
    clock = FakeClock()
    await MemberAdmin(green, clock, ADMIN).create("green", "tg:2", ["member"], expires_at=clock.now() + DAY)
    with pytest.raises(Conflict, match="already"):
        await invited(green, clock, "tg:2", "member")
    await clock.sleep((2 * DAY).total_seconds())
    await invited(green, clock, "tg:2", "member")
    assert await lasting(green, clock, "tg:2") == ("member",)


async def test_a_change_of_roles_ends_no_suspension(green: Database) -> None:
    clock = FakeClock()
    members = MemberAdmin(green, clock, ADMIN)
    await members.create("green", "tg:2", ["contributor", "member"])
    async with green.write("green") as connection:
        await connection.execute(update(membership).where(membership.c.role == "member").values(suspended=True))
    assert (await members.update("green", "tg:2", roles=["contributor"])).suspended
