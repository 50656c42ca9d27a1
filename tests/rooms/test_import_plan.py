"""What an import would do to the members there are."""

from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from dagi.access.import_plan import HeldMember, ImportOptions, Known, Step
from dagi.access.import_plan import plan as planned
from dagi.access.importing import ImportLine, Mistake, Reading
from dagi.errors import Invalid

ROLES = ("admin", "contributor", "guest", "member")
EVERYTHING = ImportOptions(update=True, overwrite=True, remove_missing=True, links=True)
THEN = datetime(2027, 1, 1, tzinfo=UTC)


def plan(lines: list[ImportLine], known: Known, options: ImportOptions) -> tuple[Step, ...]:
    return planned(Reading(tuple(lines)), known, options)


def line(number: int, account: str, *roles: str, **more: object) -> ImportLine:
    return ImportLine(line=number, accounts=(account,), roles=roles or ("member",), **more)  # type: ignore[arg-type]


def held(person: str, **roles: str) -> HeldMember:
    return HeldMember(person_id=person, accounts=(f"tg:{person}",), roles=roles, suspended=False, expires_at=None)


def known(*members: HeldMember, **owners: str) -> Known:
    everybody = {account: member.person_id for member in members for account in member.accounts}
    return Known(members=members, owners={**everybody, **{f"tg:{name}": owner for name, owner in owners.items()}}, roles=ROLES)


def actions(steps: tuple[Step, ...]) -> list[tuple[str, str]]:
    return [(step.accounts[0], step.action) for step in steps]


def applied(steps: tuple[Step, ...], before: Known) -> Known:
    """What the store knows after it did as the plan says."""
    members = {member.person_id: member for member in before.members}
    owners = dict(before.owners)
    for step in steps:
        person = step.person_id or f"new {step.accounts[0]}"
        owners |= dict.fromkeys(step.links, person)
        was = members.get(person)
        token = {role: "token" for role, source in (was.roles if was else {}).items() if source == "token" and role not in step.roles}
        if step.action in {"added", "changed"}:
            roles = token | dict.fromkeys(step.roles, "import")
            members[person] = HeldMember(
                person_id=person, accounts=step.accounts, roles=roles, suspended=step.suspended, expires_at=step.expires_at
            )
        elif step.action == "removed":
            members[person] = msgspec.structs.replace(members[person], roles={role: members[person].roles[role] for role in step.roles})
    return Known(members=[member for member in members.values() if member.roles], owners=owners, roles=before.roles)


people = st.sampled_from("abcdefgh")
role_sets = st.sets(st.sampled_from(ROLES), min_size=1)
members_of_any_kind = st.lists(
    st.builds(
        HeldMember,
        person_id=people,
        accounts=st.just(()),
        roles=st.dictionaries(st.sampled_from(ROLES), st.sampled_from(["manual", "import", "invitation", "token"]), min_size=1),
        suspended=st.booleans(),
        expires_at=st.sampled_from([None, THEN]),
    ).map(lambda member: msgspec.structs.replace(member, accounts=(f"tg:{member.person_id}",))),
    unique_by=lambda member: member.person_id,
)
lines_of_any_kind = st.lists(
    st.builds(
        ImportLine,
        line=st.just(0),
        accounts=people.map(lambda name: (f"tg:{name}",)),
        roles=role_sets.map(tuple),
        expires_at=st.sampled_from([None, THEN, msgspec.UNSET]),
        suspended=st.sampled_from([None, True, False]),
    ),
    unique_by=lambda one: one.accounts,
    min_size=1,
).map(lambda lines: [msgspec.structs.replace(one, line=number) for number, one in enumerate(lines, 2)])
options_of_any_kind = st.builds(
    ImportOptions, update=st.booleans(), overwrite=st.booleans(), remove_missing=st.booleans(), links=st.booleans()
)


@given(lines_of_any_kind, members_of_any_kind, options_of_any_kind)
def test_an_import_done_again_changes_nothing(lines: list[ImportLine], members: list[HeldMember], options: ImportOptions) -> None:
    before = known(*members)
    after = applied(plan(lines, before, options), before)
    assert {step.action for step in plan(lines, after, options)} <= {"unchanged", "kept"}


@given(lines_of_any_kind, members_of_any_kind)
def test_without_being_told_an_import_only_adds(lines: list[ImportLine], members: list[HeldMember]) -> None:
    steps = plan(lines, known(*members), ImportOptions())
    assert {step.action for step in steps} <= {"added", "kept", "unchanged"}
    strangers = {one.accounts[0] for one in lines} - {member.accounts[0] for member in members if set(member.roles.values()) != {"token"}}
    assert {step.accounts[0] for step in steps if step.action == "added"} == strangers


@given(lines_of_any_kind, members_of_any_kind)
def test_what_was_made_by_hand_stays_unless_it_is_told_to_go(lines: list[ImportLine], members: list[HeldMember]) -> None:
    options = ImportOptions(update=True, remove_missing=True, links=True)
    before = known(*members)
    after = {member.person_id: member for member in applied(plan(lines, before, options), before).members}
    for member in members:
        for role, source in member.roles.items():
            if source in {"manual", "invitation"}:
                assert after[member.person_id].roles[role] == source


@given(lines_of_any_kind, members_of_any_kind)
def test_with_everything_told_everybody_has_the_roles_of_the_file(lines: list[ImportLine], members: list[HeldMember]) -> None:
    before = known(*members)
    after = {
        member.accounts[0]: {role for role, source in member.roles.items() if source != "token"}
        for member in applied(plan(lines, before, EVERYTHING), before).members
    }
    assert {account: after[account] for account in (one.accounts[0] for one in lines)} == {one.accounts[0]: set(one.roles) for one in lines}
    imported = {member.accounts[0] for member in members if "import" in member.roles.values()}
    gone = imported - {one.accounts[0] for one in lines}
    left = applied(plan(lines, before, EVERYTHING), before).members
    assert not any("import" in member.roles.values() for member in left if member.accounts[0] in gone)


def test_a_file_that_says_what_is_so_changes_nothing_whoever_made_it() -> None:
    (step,) = plan([line(2, "tg:a", "member")], known(held("a", member="manual")), EVERYTHING)
    assert step.action == "unchanged"


def test_a_suspension_is_not_lifted_by_a_file_that_does_not_speak_of_it() -> None:
    suspended = msgspec.structs.replace(held("a", member="import"), suspended=True)
    (step,) = plan([line(2, "tg:a", "guest")], known(suspended), EVERYTHING)
    assert (step.action, step.suspended) == ("changed", True)
    (lifted,) = plan([line(2, "tg:a", "member", suspended=False)], known(suspended), EVERYTHING)
    assert (lifted.action, lifted.suspended) == ("changed", False)


def test_a_file_links_no_accounts_unless_the_operator_says_so() -> None:
    two = ImportLine(line=2, accounts=("tg:new", "dc:new"), roles=("member",))
    with pytest.raises(Invalid) as caught:
        plan([two], known(), ImportOptions(update=True))
    assert "dagi identity" in caught.value.message
    (step,) = plan([two], known(), ImportOptions(links=True))
    assert step.links == ("tg:new", "dc:new")
    # Whoever is known elsewhere is not given a further account, which would open every DAO the person belongs to.
    with pytest.raises(Invalid):
        plan([ImportLine(line=2, accounts=("tg:olena", "dc:new"), roles=("member",))], known(olena="p1"), ImportOptions(update=True))


def test_accounts_of_different_people_are_not_made_one() -> None:
    both = ImportLine(line=2, accounts=("tg:a", "tg:b"), roles=("member",))
    with pytest.raises(Invalid) as caught:
        plan([both], known(held("a", member="manual"), held("b", member="manual")), EVERYTHING)
    assert "different people" in caught.value.message


def test_one_person_stands_in_one_line_whatever_the_account() -> None:
    linked = msgspec.structs.replace(held("a", member="manual"), accounts=("tg:a", "dc:a"))
    with pytest.raises(Invalid) as caught:
        plan([line(2, "tg:a"), line(3, "dc:a")], known(linked), ImportOptions())
    assert "line 3" in caught.value.message
    assert "line 2" in caught.value.message


def test_unknown_roles_are_told_with_those_there_are() -> None:
    reading = Reading((line(2, "tg:a", "owner"), line(4, "tg:b", "member"), line(5, "tg:c", "boss")), (Mistake(3, "accounts", "none"),))
    with pytest.raises(Invalid) as caught:
        planned(reading, known(), ImportOptions())
    told = [(one.line, one.field) for one in caught.value.facts["mistakes"]]  # type: ignore[union-attr]
    assert told == [(2, "roles"), (3, "accounts"), (5, "roles")]
    assert "admin, contributor, guest, member" in caught.value.message


def test_a_step_tells_all_that_becomes_of_somebody_new() -> None:
    two = ImportLine(line=2, accounts=("tg:new", "dc:new"), roles=("member", "admin"), name="Дарина", expires_at=THEN, suspended=True)
    assert plan([two, line(3, "tg:other")], known(), EVERYTHING) == (
        Step(
            action="added", line=2, person_id=None, accounts=("tg:new", "dc:new"), roles=("admin", "member"), name="Дарина",
            suspended=True, expires_at=THEN, links=("tg:new", "dc:new"),
        ),
        Step(action="added", line=3, person_id=None, accounts=("tg:other",), roles=("member",), links=("tg:other",)),
    )  # fmt: skip


IMPORTED = msgspec.structs.replace(held("a", member="import", guest="token"), suspended=True, expires_at=THEN)
LINKED = msgspec.structs.replace(held("a", member="manual"), accounts=("tg:a", "dc:a"))


@pytest.mark.parametrize(
    ("options", "action", "why"),
    [
        (ImportOptions(), "kept", "differs from the file; --update changes it"),
        (ImportOptions(update=True), "changed", ""),
    ],
)
def test_a_member_that_differs_is_changed_or_told_as_it_is(options: ImportOptions, action: str, why: str) -> None:
    roles = ("contributor",) if action == "changed" else ("guest", "member")
    assert plan([line(2, "tg:a", "contributor")], known(IMPORTED), options) == (
        Step(
            action=action, line=2, person_id="a", accounts=("tg:a",), was=("guest", "member"), roles=roles,  # type: ignore[arg-type]
            suspended=True, expires_at=THEN, why=why,
        ),
    )  # fmt: skip


def test_what_was_made_by_hand_is_told_as_it_is_with_what_would_change_it() -> None:
    (kept,) = plan([line(2, "tg:a", "guest", name="A")], known(held("a", member="manual")), ImportOptions(update=True))
    assert kept == Step(
        action="kept", line=2, person_id="a", accounts=("tg:a",), was=("member",), roles=("member",), name="A",
        why="made by hand; --update --overwrite changes it",
    )  # fmt: skip


def test_somebody_kept_or_unchanged_gets_no_further_account() -> None:
    known_elsewhere = known(LINKED)
    both = ImportLine(line=2, accounts=("tg:a", "tg:more"), roles=("member",))
    (kept,) = plan([both], known_elsewhere, ImportOptions(links=True))
    assert (kept.action, kept.links) == ("kept", ())
    (unchanged,) = plan([ImportLine(line=2, accounts=("tg:a", "dc:a"), roles=("member",))], known_elsewhere, ImportOptions())
    assert (unchanged.action, unchanged.links, unchanged.why) == ("unchanged", (), "")


@pytest.mark.parametrize(("remove", "action", "roles", "why"), [
    (True, "removed", ("guest",), ""),
    (False, "kept", ("guest", "member"), "not in the file; --remove-missing ends it"),
])  # fmt: skip
def test_a_member_of_an_earlier_file_that_is_in_no_line_keeps_what_it_has_otherwise(
    remove: bool, action: str, roles: tuple[str, ...], why: str
) -> None:
    assert plan([], known(IMPORTED), ImportOptions(remove_missing=remove)) == (
        Step(
            action=action, line=None, person_id="a", accounts=("tg:a",), was=("guest", "member"), roles=roles,  # type: ignore[arg-type]
            suspended=True, expires_at=THEN, why=why,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(("said", "ends"), [(msgspec.UNSET, THEN), (None, None), (THEN.replace(year=2028), THEN.replace(year=2028))])
def test_an_end_stays_where_the_file_does_not_speak_of_it(said: object, ends: datetime | None) -> None:
    (step,) = plan([line(2, "tg:a", "contributor", expires_at=said)], known(IMPORTED), EVERYTHING)
    assert step.expires_at == ends


@pytest.mark.parametrize(("said", "suspended"), [(None, True), (False, False), (True, True)])
def test_whoever_is_a_member_by_a_token_alone_is_added_and_stays_suspended(said: bool | None, suspended: bool) -> None:
    by_token = msgspec.structs.replace(held("a", guest="token"), suspended=True, expires_at=THEN)
    (step,) = plan([line(2, "tg:a", "member", suspended=said)], known(by_token), ImportOptions())
    assert step == Step(
        action="added", line=2, person_id="a", accounts=("tg:a",), was=("guest",), roles=("member",), suspended=suspended
    )  # fmt: skip


def test_mistakes_of_accounts_are_told_with_their_line_and_field() -> None:
    others = known(LINKED, held("b", member="manual"), gone="c")
    reading = [
        ImportLine(line=2, accounts=("tg:a", "tg:b"), roles=("member",)),
        ImportLine(line=3, accounts=("tg:x", "dc:x"), roles=("member",)),
        ImportLine(line=4, accounts=("tg:gone", "tg:gone2"), roles=("member",)),
        line(5, "tg:a"),
        line(6, "dc:a"),
    ]
    others.owners["tg:gone2"] = "c"  # type: ignore[index]
    with pytest.raises(Invalid) as caught:
        plan(reading, others, ImportOptions())
    by_hand = "Accounts are made one person's by whoever has them (`dagi identity`), not by a file. Name one account a person."
    assert caught.value.facts["mistakes"] == [
        Mistake(2, "accounts", "These accounts belong to different people. Give each a line of its own."),
        Mistake(3, "accounts", by_hand),
        Mistake(4, "accounts", by_hand),
        Mistake(6, "accounts", "This is the same person as in line 5."),
    ]
