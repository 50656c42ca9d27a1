"""Members from a file, into real databases and over real HTTP."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update
from tests.conftest import DAO, Stack

from dagi.access.actor import Actor
from dagi.access.import_plan import ImportOptions, Step
from dagi.access.importing import read_members
from dagi.errors import Conflict, Denied, Invalid
from dagi.governance.drafting import Wish
from dagi.ports.audit import AuditQuery
from dagi.ports.proposals import Ballot
from dagi.stores.audit import SqlAudit
from dagi.stores.ballots import join_votes
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.erasure import Erasure
from dagi.stores.imports import MemberImport
from dagi.stores.members import MemberAdmin
from dagi.stores.proposals import SqlProposals
from dagi.stores.tables import membership
from dagi.testing.clock import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.inside]
OPERATOR = Actor.operator("root")
PLAIN = ImportOptions()
EVERYTHING = ImportOptions(update=True, overwrite=True, remove_missing=True)


class Green:
    """The DAO `green` with an admin made by hand."""

    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.database = database
        self.members = MemberAdmin(database, self.clock)

    async def run(self, file: str, options: ImportOptions = PLAIN, *, dry_run: bool = False, by: Actor = OPERATOR) -> tuple[Step, ...]:
        importing = MemberImport(self.database, self.clock, by)
        return await importing.run("green", read_members(file.encode(), "green"), options, dry_run=dry_run)

    async def held(self) -> dict[str, dict[str, str]]:
        found = await self.members.all("green")
        return {one.identities[0]: dict(zip(one.roles, one.sources, strict=True)) for one in found}


@pytest.fixture
async def green(database: Database) -> Green:
    found = Green(database)
    for dao in ("green", "blue"):
        await Daos(database, found.clock).create(dao, dao)
    await found.members.create("green", "tg:admin", ["admin"])
    return found


ADMIN = {"tg:admin": {"admin": "manual"}}


async def test_what_a_dry_run_tells_is_what_the_import_does_and_doing_it_again_changes_nothing(green: Green) -> None:
    file = "account,role,expires\ntg:1,member guest,2030-01-01\ntg:2,contributor,\n"
    planned = await green.run(file, dry_run=True)
    assert await green.held() == ADMIN
    done = await green.run(file)
    assert [(step.action, step.roles, step.expires_at) for step in done] == [(step.action, step.roles, step.expires_at) for step in planned]
    assert await green.held() == ADMIN | {"tg:1": {"guest": "import", "member": "import"}, "tg:2": {"contributor": "import"}}
    version = (await Daos(green.database, green.clock).show("green")).version
    assert {step.action for step in await green.run(file, EVERYTHING)} == {"unchanged"}
    assert (await Daos(green.database, green.clock).show("green")).version >= version
    records = await SqlAudit(green.database).list(AuditQuery(dao_id="green", action="member.added"))
    assert [record.subject for record in records] == ["tg:2", "tg:1", "tg:admin"]
    assert (await SqlAudit(green.database).verify("green")).findings == ()


async def test_nothing_is_written_where_one_line_is_wrong_and_all_wrong_ones_are_told(green: Green) -> None:
    for dry_run in (True, False):
        with pytest.raises(Invalid) as refused:
            await green.run("account,role\ntg:1,member\nnobody,member\ntg:2,emperor\nkey:abc,member\n", dry_run=dry_run)
        assert [one.line for one in refused.value.facts["mistakes"]] == [3, 4, 5]  # type: ignore[union-attr]
    assert await green.held() == ADMIN


async def test_an_import_never_leaves_a_dao_without_an_admin_nor_does_a_dry_run_say_it_would(green: Green) -> None:
    for dry_run in (True, False):
        with pytest.raises(Conflict) as refused:
            await green.run("account,role\ntg:admin,member\n", EVERYTHING, dry_run=dry_run)
        assert refused.value.facts["reason"] == "last_admin"
    assert await green.held() == ADMIN
    await green.run("account,role\ntg:admin,member\ntg:next,admin\n", EVERYTHING)
    assert await green.held() == {"tg:admin": {"member": "import"}, "tg:next": {"admin": "import"}}


async def test_members_that_are_no_longer_in_the_file_go_only_when_told_and_others_never(green: Green) -> None:
    await green.run("account,role\ntg:1,member\ntg:2,member\n")
    await green.members.create("green", "tg:hand", ["member"])
    await green.run("account,role\ntg:1,member\n", ImportOptions(update=True))
    assert "tg:2" in await green.held()
    steps = await green.run("account,role\ntg:1,member\n", EVERYTHING)
    assert [(step.accounts, step.action) for step in steps] == [(("tg:1",), "unchanged"), (("tg:2",), "removed")]
    assert await green.held() == ADMIN | {"tg:1": {"member": "import"}, "tg:hand": {"member": "manual"}}


async def test_nobody_gives_or_takes_by_a_file_what_it_does_not_hold(green: Green) -> None:
    await green.members.create("green", "tg:plain", ["contributor"])
    with pytest.raises(Denied):
        await green.run("account,role\ntg:1,guest\n", by=Actor(id="tg:plain"))
    with pytest.raises(Denied):
        await green.run("account,role\ntg:1,guest\n", by=Actor(id="tg:stranger"))
    await green.run("account,role\ntg:1,guest\n", by=Actor(id="tg:admin"))
    with pytest.raises(Invalid):
        await green.run("account,role\ntg:1,guest\n", ImportOptions(links=True), by=Actor(id="tg:admin"))
    assert (await green.held())["tg:1"] == {"guest": "import"}


async def test_a_file_gives_nobody_a_further_account_but_the_operators_does(green: Green) -> None:
    await green.members.create("blue", "tg:olena", ["admin"])
    attack = "account,role\ntg:olena|dc:attacker,guest\n"
    with pytest.raises(Invalid):
        await green.run(attack, by=Actor(id="tg:admin"))
    with pytest.raises(Invalid):
        await green.run(attack)
    await green.run("account,role\ntg:new|dc:new,guest\n", ImportOptions(links=True))
    assert (await green.members.show("green", "dc:new")).identities == ("dc:new", "tg:new")


async def test_imports_and_changes_by_hand_at_once_lose_nothing(green: Green) -> None:
    file = "account,role\n" + "".join(f"tg:i{n},member\n" for n in range(50))
    await asyncio.gather(
        green.run(file),
        green.run(file),
        *(green.members.create("green", f"tg:h{n}", ["guest"]) for n in range(10)),
    )
    held = await green.held()
    assert held == ADMIN | {f"tg:i{n}": {"member": "import"} for n in range(50)} | {f"tg:h{n}": {"guest": "manual"} for n in range(10)}
    assert (await SqlAudit(green.database).verify("green")).findings == ()


async def _voted(green: Green) -> int:
    """A proposal on which two accounts have voted that are one person's, as it turns out."""
    for name in ("a", "b", "c"):
        await green.members.create("green", f"tg:{name}", ["member"])
    proposals = SqlProposals(green.database, green.clock)
    number = (await proposals.add("green", Wish(title="x", closes_at=green.clock.now() + timedelta(days=1)), "tg:a")).proposal.number
    for name, choice in (("a", "for"), ("b", "against")):
        green.clock.advance(1)
        await proposals.vote("green", number, Ballot(user_id=f"tg:{name}", choice=choice))
    return number


async def test_of_two_votes_that_turn_out_to_be_one_persons_the_later_one_stays_while_it_is_open(green: Green) -> None:
    number = await _voted(green)
    people = {name: (await green.members.show("green", f"tg:{name}")).person_id for name in ("a", "b")}
    async with green.database.write() as connection:
        await join_votes(connection, people["b"], people["a"], green.clock.now())
    shown = await SqlProposals(green.database, green.clock).show("green", number)
    assert (shown.tally.weights, shown.tally.voted) == ((0, 1, 0), 1)


async def test_what_is_closed_stays_counted_as_it_was_whoever_turns_out_to_be_whom(green: Green) -> None:
    number = await _voted(green)
    people = {name: (await green.members.show("green", f"tg:{name}")).person_id for name in ("a", "b")}
    green.clock.advance(86_400)
    async with green.database.write() as connection:
        await join_votes(connection, people["b"], people["a"], green.clock.now())
    assert (await SqlProposals(green.database, green.clock).show("green", number)).tally.weights == (1, 1, 0)


async def test_whoever_is_erased_stays_counted_without_a_name(green: Green) -> None:
    number = await _voted(green)
    proposals = SqlProposals(green.database, green.clock)
    erased = await Erasure(green.database, green.clock).erase("tg:a")
    shown, votes = await proposals.show("green", number), await proposals.votes("green", number)
    assert (erased.votes, shown.proposal.author, shown.tally.weights) == (1, "", (1, 1, 0))
    assert [vote.user_id for vote in votes] == ["", "tg:b"]
    with pytest.raises(Denied):
        await proposals.vote("green", number, Ballot(user_id="tg:a", choice="for"))


async def test_over_http_a_file_is_tried_and_taken_in(stack: Stack) -> None:
    path, admin = f"/daos/{DAO}/members/import", {"as": "tg:admin001"}
    file = {"csv": "\ufeffaccount;role;name\ntg:new;member;Оля\ntg:12345;guest;\n"}
    async with stack.rbac() as http:
        tried = (await http.post(path, json={**file, "dry_run": True}, params=admin)).json()
        assert tried["counts"] == {"added": 1, "changed": 0, "removed": 0, "kept": 1, "unchanged": 0}
        assert (await http.get(f"/daos/{DAO}/members/tg:new", params=admin)).status_code == 404
        done = (await http.post(path, json=file, params=admin)).json()
        assert done["steps"] == tried["steps"]
        member = (await http.get(f"/daos/{DAO}/members/tg:new", params=admin)).json()["member"]
        assert (member["name"], member["sources"]) == ("Оля", ["import"])
        listed = (await http.get(f"/daos/{DAO}/members", params=admin)).json()["members"]
        again = (await http.post(path, json={"members": listed, "update": True, "overwrite": True}, params=admin)).json()
        assert again["counts"]["unchanged"] == len(listed)
        wrong = (await http.post(path, json={"csv": "account,role\nx,member\ntg:1,king\n"}, params=admin)).json()
        assert [(one["line"], one["field"]) for one in wrong["mistakes"]] == [(2, "accounts"), (3, "roles")]
        for body in ({}, {"csv": "x", "members": []}, {"csv": 5}, {"members": [1]}, {"csv": "", "links": True}):
            assert (await http.post(path, json=body, params=admin)).status_code == 400
        for who in ("tg:12345", "tg:stranger"):
            assert (await http.post(path, json=file, params={"as": who})).status_code == 403


async def test_a_file_lifts_no_suspension_it_does_not_speak_of_and_all_of_one_it_does(green: Green) -> None:
    await green.members.create("green", "tg:1", ["member"])
    await green.members.create("green", "tg:2", ["member"])
    async with green.database.write() as connection:
        await connection.execute(update(membership).where(membership.c.role == "member").values(source="token", suspended=True))
    await green.run("account,role\ntg:1,member\ntg:2,guest\n")
    assert [(await green.members.show("green", account)).suspended for account in ("tg:1", "tg:2")] == [True, True]
    lifting = "account,role,suspended\ntg:2,guest,no\n"
    assert [step.action for step in await green.run(lifting, ImportOptions(update=True)) if step.line] == ["changed"]
    assert not (await green.members.show("green", "tg:2")).suspended
    assert [step.action for step in await green.run(lifting, ImportOptions(update=True)) if step.line] == ["unchanged"]
