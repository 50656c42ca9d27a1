"""Decisions: pure, deny by default, always with the reason."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.access.actor import Actor
from dagi.access.decide import DaoStanding, Membership, Standing, decide, needed
from dagi.access.entitlements import DEFAULT_ROLES, TOOL_ENTITLEMENTS, is_entitlement
from dagi.access.invitations import is_its_secret, split_code, why_over
from dagi.access.keys import KeyRecord, check_end, digest, proves, split
from dagi.access.names import check_dao, check_identity, check_name, check_role, check_session
from dagi.errors import Denied, Invalid, Suspended, UnknownTool
from dagi.message import Grant, Message, Sender

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SENDER = Sender(dao_id="green", user_id="tg:1")
DAO = DaoStanding(name="Green")

# DESIGN 2, as a table: entitlement, then what guest, member, contributor and admin may.
TABLE = {
    "chat.use": "yyyy",
    "facts.read": "yyyy",
    "proposal.read": "yyyy",
    "workflow.run:microdao_onboarding": "yyyy",
    "member.read": "nyyy",
    "proposal.create": "nyyy",
    "proposal.vote": "nyyy",
    "devtools.read": "nnyy",
    "devtools.write": "nnyy",
    "devtools.run": "nnyy",
    "git.commit": "nnyy",
    "workflow.run:code_review": "nnyy",
    "explain.read": "nnyy",
    "member.manage": "nnny",
    "facts.write": "nnny",
    "config.update": "nnny",
    "key.manage": "nnny",
    "channel.manage": "nnny",
    "dialog.read": "nnny",
    "audit.read": "nnny",
    "metrics.read": "nnny",
    "console.use": "nnny",
}


def granted(membership: Membership | None, dao: DaoStanding | None = DAO) -> Grant:
    return decide(SENDER, Standing(dao, membership), NOW, "d1")


@pytest.mark.parametrize("entitlement", TABLE)
@pytest.mark.parametrize(("column", "role"), list(enumerate(("guest", "member", "contributor", "admin"))))
def test_each_role_may_what_the_design_says_and_nothing_else(entitlement: str, column: int, role: str) -> None:
    assert granted(Membership(roles=(role,))).allows(entitlement) is (TABLE[entitlement][column] == "y")


def test_an_unknown_dao_and_a_stranger_get_the_same_refusal() -> None:
    refusals: list[tuple[str, dict[str, object]]] = []
    for grant in (granted(None, dao=None), granted(None)):
        with pytest.raises(Denied) as caught:
            grant.require("chat.use")
        refusals.append((caught.value.message, caught.value.facts))
    assert refusals[0] == refusals[1]
    assert refusals[0][1]["user_role"] is None


def test_a_stranger_is_a_guest_of_an_open_dao_alone() -> None:
    assert granted(None, DaoStanding(open=True)).roles == ("guest",)
    assert granted(None, DaoStanding(open=True)).reason == "guest_of_open_dao"
    assert granted(None, DaoStanding(open=True, suspended=True)).entitlements == frozenset()


@pytest.mark.parametrize(
    ("membership", "reason"),
    [
        (Membership(roles=("admin",), suspended=True), "suspended"),
        (Membership(roles=("admin",), expires_at=NOW), "expired"),
        (Membership(roles=("admin",), expires_at=NOW - timedelta(days=1)), "expired"),
    ],
)
def test_a_membership_that_rests_or_has_ended_grants_nothing_and_says_why(membership: Membership, reason: str) -> None:
    grant = granted(membership)
    assert (grant.entitlements, grant.reason) == (frozenset(), reason)
    with pytest.raises(Denied) as caught:
        grant.require("chat.use")
    assert caught.value.facts == {"user_role": "admin", "required_entitlement": "chat.use", "reason": reason, "decision_id": "d1"}


def test_only_members_are_told_that_a_dao_is_suspended() -> None:
    suspended = DaoStanding(suspended=True)
    with pytest.raises(Suspended):
        granted(Membership(roles=("member",)), suspended).require("chat.use")
    with pytest.raises(Denied) as caught:
        granted(None, suspended).require("chat.use")
    assert caught.value.code == "RBAC_PERMISSION_DENIED"


def test_a_role_the_dao_does_not_define_grants_nothing() -> None:
    assert granted(Membership(roles=("emperor",))).entitlements == frozenset()


def test_a_denial_names_the_role_and_the_entitlement_that_is_missing() -> None:
    with pytest.raises(Denied) as caught:
        granted(Membership(roles=("member",))).require("devtools.write")
    assert caught.value.facts == {
        "user_role": "member",
        "required_entitlement": "devtools.write",
        "reason": "role_lacks_entitlement",
        "decision_id": "d1",
    }


def test_several_roles_are_told_strongest_first_and_grant_together() -> None:
    grant = granted(Membership(roles=("guest", "contributor")))
    assert grant.roles == ("contributor", "guest")
    assert grant.entitlements == DEFAULT_ROLES["contributor"] | DEFAULT_ROLES["guest"]


roles = st.lists(st.sampled_from([*DEFAULT_ROLES, "emperor"]), min_size=1, max_size=4, unique=True)


@given(roles, st.sampled_from([*DEFAULT_ROLES, "emperor"]))
def test_adding_a_role_never_removes_a_permission(held: list[str], added: str) -> None:
    before = granted(Membership(roles=tuple(held))).entitlements
    after = granted(Membership(roles=(*held, added))).entitlements
    assert before <= after


@given(roles, st.booleans(), st.booleans(), st.booleans())
def test_whoever_may_anything_is_a_member_in_force_or_a_guest_of_an_open_dao(
    held: list[str], is_member: bool, is_open: bool, rests: bool
) -> None:
    membership = Membership(roles=tuple(held), suspended=rests) if is_member else None
    grant = granted(membership, DaoStanding(open=is_open))
    if grant.entitlements:
        assert (is_member and not rests) or (not is_member and is_open)


def test_a_mode_needs_its_entitlement_where_the_rule_names_none() -> None:
    def asked(**fields: object) -> str:
        return needed(Message(id="r", sender=SENDER, **fields))

    assert asked() == "chat.use"
    assert asked(mode="crew", workflow="code_review") == "workflow.run:code_review"
    assert {tool: asked(mode="devtools", tool=tool) for tool in TOOL_ENTITLEMENTS} == TOOL_ENTITLEMENTS
    with pytest.raises(UnknownTool):
        asked(mode="devtools", tool="rm_rf")
    for mode in ("crew", "devtools"):
        with pytest.raises(Invalid):
            asked(mode=mode)


def test_all_entitlements_of_the_default_roles_are_entitlements_and_nothing_odd_is() -> None:
    assert all(is_entitlement(name) for name in DEFAULT_ROLES["admin"])
    assert not any(is_entitlement(name) for name in ("", "chat", "chat.use ", "workflow.run:", "root"))


def test_a_key_is_proved_by_its_own_secret_until_it_is_revoked_or_expires() -> None:
    record = KeyRecord(id="a", dao_id="green", role="member", digest=digest("s3cret"), expires_at=NOW)
    assert proves(record, "s3cret", NOW - timedelta(seconds=1))
    assert not proves(record, "s3cret", NOW)
    assert not proves(record, "other", NOW - timedelta(seconds=1))
    revoked = KeyRecord(id="a", dao_id="green", role="member", digest=digest("s3cret"), revoked=True)
    assert not proves(revoked, "s3cret", NOW)


def test_the_end_of_a_key_is_ahead() -> None:
    check_end(None, NOW)
    check_end(NOW + timedelta(seconds=1), NOW)
    for end, said in ((NOW, "2026-11-22 12:00 UTC is over"), (NOW.replace(tzinfo=None), "without a zone")):
        with pytest.raises(Invalid, match=said):
            check_end(end, NOW)


@given(st.text())
def test_no_text_breaks_the_reading_of_a_key(text: str) -> None:
    parts = split(text)
    assert parts is None or text == f"dagi_{parts[0]}_{parts[1]}"
    digest(text)


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a\n", "a" * 65, "ä", "../x", "a\x00"])
def test_odd_dao_ids_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_dao(name)


@pytest.mark.parametrize("name", ["", "12345", "tg:", "tg:a b", "tg:" + "1" * 200, "TG:1", "tg:1\n", "tg:\u202e1"])
def test_odd_identities_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_identity(name)


def test_ordinary_names_pass_and_keep_their_text() -> None:
    assert check_dao("greenfood-dao") == "greenfood-dao"
    assert check_identity("tg:admin001") == "tg:admin001"
    assert check_session("tg:12345:greenfood-dao") == "tg:12345:greenfood-dao"
    assert check_role("contributor") == "contributor"
    assert check_name("  Зелена   їжа ") == "Зелена їжа"
    for check, odd in ((check_session, "a b"), (check_role, "Admin"), (check_name, "\x1b[31m"), (check_name, " ")):
        with pytest.raises(Invalid):
            check(odd)


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (Standing(), {"reason": "not_a_member"}),
        (Standing(DaoStanding(version=7)), {"reason": "not_a_member"}),
        (Standing(DaoStanding(version=7, suspended=True, open=True)), {"reason": "not_a_member"}),
        (
            Standing(DaoStanding(version=7, open=True)),
            {"reason": "guest_of_open_dao", "roles": ("guest",), "entitlements": DEFAULT_ROLES["guest"], "policy_version": 7},
        ),
        (
            Standing(DaoStanding(version=7, suspended=True), Membership(roles=("admin",))),
            {"reason": "dao_suspended", "roles": ("admin",), "policy_version": 7},
        ),
        (
            Standing(DaoStanding(version=7), Membership(roles=("admin",), suspended=True)),
            {"reason": "suspended", "roles": ("admin",), "policy_version": 7},
        ),
        (
            Standing(DaoStanding(version=7), Membership(roles=("admin",), expires_at=NOW)),
            {"reason": "expired", "roles": ("admin",), "policy_version": 7},
        ),
        (
            Standing(DaoStanding(version=7), Membership(roles=("guest", "zebra", "member", "admin"))),
            {
                "reason": "role_grants",
                "roles": ("admin", "member", "guest", "zebra"),
                "entitlements": DEFAULT_ROLES["admin"],
                "policy_version": 7,
            },
        ),
    ],
)
def test_a_decision_says_whose_it_is_by_which_state_of_the_rights_and_why(standing: Standing, expected: dict[str, object]) -> None:
    assert decide(SENDER, standing, NOW, "d1") == Grant(dao_id="green", user_id="tg:1", decision_id="d1", **expected)


def test_what_is_asked_of_nothing_is_an_error_that_says_what_to_name() -> None:
    def refused(**fields: object) -> dict[str, object]:
        with pytest.raises((Invalid, UnknownTool)) as caught:
            needed(Message(id="r", sender=SENDER, **fields))
        return {"message": caught.value.message, **caught.value.facts}

    tools = sorted(TOOL_ENTITLEMENTS)
    assert refused(mode="crew") == {"message": "Mode crew needs metadata.workflow.", "field": "metadata.workflow"}
    assert refused(mode="devtools") == {"message": "Mode devtools needs metadata.tool.", "field": "metadata.tool", "allowed": tools}
    unknown = refused(mode="devtools", tool="x" * 100)
    assert unknown == {"message": "No developer tool has that name.", "tool": "x" * 64, "allowed": tools}
    assert needed(Message(id="r", sender=SENDER, mode="embedding")) == "chat.use"


@pytest.mark.parametrize("check", [check_dao, check_identity, check_session, check_role, check_name])
def test_a_name_of_the_wrong_form_is_refused_by_the_field_it_stands_in(check) -> None:
    with pytest.raises(Invalid, match="[a-z]{3}") as caught:
        check("\x00", "some.field")
    assert caught.value.facts == {"field": "some.field"}
    with pytest.raises(Invalid) as caught:
        check("\x00")
    assert caught.value.facts["field"] in {"dao_id", "user_id", "session_id", "role", "name"}


def test_names_are_as_long_as_they_may_be_and_no_longer() -> None:
    assert check_name("x" * 200) == "x" * 200
    with pytest.raises(Invalid):
        check_name("x" * 201)
    with pytest.raises(Invalid, match=r"Its character 4 is U\+202E\."):
        check_name("  ann\u202egnp.exe")


def test_one_workflow_can_be_granted() -> None:
    assert is_entitlement("workflow.run:code_review")
    assert not is_entitlement("workflow.run")


def test_a_key_is_read_as_it_was_made_whatever_its_secret_holds() -> None:
    assert split("dagi_abc_s3_cret") == ("abc", "s3_cret")
    assert [split(text) for text in ("dagi_abc_", "dagi__x", "agid_abc_x", "dagi_abc", "", "abc_x")] == [None] * 6
    assert digest("\ud800") == digest("\ud800") != digest("\ud801")
    assert digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_secret_before_a_rotation_counts_until_its_overlap_ends() -> None:
    def key(**fields: object) -> KeyRecord:
        return KeyRecord(id="a", dao_id="green", role="member", digest=digest("new"), **fields)

    rotated = key(previous_digest=digest("old"), previous_until=NOW)
    before = NOW - timedelta(seconds=1)
    assert [proves(rotated, secret, before) for secret in ("new", "old", "else")] == [True, True, False]
    assert [proves(rotated, secret, NOW) for secret in ("new", "old")] == [True, False]
    assert not proves(key(previous_digest=digest("old")), "old", before)
    assert proves(key(previous_until=NOW), "new", before)


def test_an_invitations_code_is_read_as_it_was_made_and_opens_until_it_is_over() -> None:
    assert split_code(" inv_abc_s3_cret\n") == ("abc", "s3_cret")
    assert [split_code(text) for text in ("inv_abc_", "inv__x", "dagi_abc_x", "inv_abc", "")] == [None] * 5
    assert is_its_secret(digest("s"), "s")
    assert not is_its_secret(digest("s"), "t")

    def over(**fields: object) -> str | None:
        return why_over(**{"uses_left": 1, "expires_at": NOW, "revoked": False, "now": NOW - timedelta(seconds=1), **fields})

    assert over() is None
    assert (over(revoked=True), over(now=NOW), over(uses_left=0)) == ("was withdrawn", "is past its time", "has been used up")


def test_operators_and_jobs_are_known_by_their_names_and_bound_by_no_grant() -> None:
    assert Actor.operator("olena") == Actor(id="cli:olena", unbounded=True)
    assert Actor.system("tokens") == Actor(id="system:tokens", unbounded=True)
    assert not Actor(id="tg:1").unbounded
