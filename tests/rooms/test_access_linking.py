"""Whether two accounts may be joined, what is held back, and codes as people type them."""

from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dagi.access.decide import entitlements
from dagi.access.entitlements import ADMINISTRATIVE, DEFAULT_ROLES
from dagi.access.link_codes import BITS, digest, grouped, read_code, spelled
from dagi.access.linking import Account, HeldRole, Known, administered, check_not_suspended, check_unlink, held_back, united
from dagi.access.names import check_identity
from dagi.errors import Conflict, Invalid

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SOON = NOW + timedelta(hours=3)


def known(identifier: str, *accounts: str, administers: str = "", fresh: str = "") -> Known:
    return Known(
        id=identifier,
        accounts=tuple(Account(one, SOON if one == fresh else None) for one in accounts),
        administers=frozenset((dao_id, "member.manage") for dao_id in administers.split()),
    )


STRANGER = known("", "eth:0x1")


def test_a_new_account_is_held_whoever_gets_it() -> None:
    assert held_back(known("p", "tg:1"), STRANGER, NOW) == ("eth:0x1",)
    assert held_back(known("p", "tg:1", administers="a"), STRANGER, NOW) == ("eth:0x1",)


def test_those_who_administered_before_go_on_and_those_who_gain_wait() -> None:
    admin, member = known("p", "tg:1", administers="a"), known("q", "dc:2")
    assert held_back(admin, member, NOW) == ("dc:2",)
    assert held_back(member, admin, NOW) == ("dc:2",)
    assert held_back(known("p", "tg:1", administers="a"), known("q", "dc:2", administers="a"), NOW) == ()


def test_an_account_that_waits_already_waits_on() -> None:
    assert held_back(known("p", "tg:1"), known("q", "dc:2", administers="a", fresh="dc:2"), NOW) == ("dc:2", "tg:1")


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (STRANGER, STRANGER, "linked"),
        (known("p", "tg:1", "dc:2"), known("p", "tg:1", "dc:2"), "linked"),
        (known("p", "tg:1", "dc:2"), known("q", "tg:3", "dc:4"), "linked_elsewhere"),
        (known("p", "tg:1", administers="a"), known("q", "dc:2", administers="b"), "administers"),
        (known("p", "tg:1", administers="a"), known("q", "dc:2", administers="a b"), "administers"),
    ],
)
def test_what_cannot_be_joined_is_told_why(one: Known, other: Known, reason: str) -> None:
    with pytest.raises(Conflict) as error:
        held_back(one, other, NOW)
    assert error.value.facts["reason"] == reason


def test_an_operator_may_join_what_people_may_not() -> None:
    one, other = known("p", "tg:1", "dc:2", administers="a"), known("q", "tg:3", "dc:4", administers="b")
    assert held_back(one, other, NOW, by_operator=True) == ()
    with pytest.raises(Conflict):
        held_back(one, one, NOW, by_operator=True)


def row(dao_id: str, role: str, **values: object) -> HeldRole:
    return HeldRole(dao_id=dao_id, role=role, **{"created_at": NOW, **values})


def test_roles_are_united_and_whoever_is_suspended_stays_so() -> None:
    one = [row("a", "member", suspended=True), row("b", "member", source="token", expires_at=SOON)]
    other = [row("a", "admin"), row("b", "member", created_at=NOW - timedelta(days=1)), row("c", "guest", expires_at=SOON)]
    assert united(one, other, NOW) == (
        row("a", "admin", suspended=True),
        row("a", "member", suspended=True),
        row("b", "member", created_at=NOW - timedelta(days=1)),
        row("c", "guest", expires_at=SOON),
    )


@pytest.mark.parametrize(
    ("by_hand", "by_token", "counts"),
    [
        (SOON, None, "manual"),
        (NOW, None, "token"),
        (NOW, SOON, "token"),
        (None, SOON, "manual"),
        (SOON, SOON, "manual"),
    ],
)
def test_a_role_by_hand_that_a_token_gives_too_does_not_last_longer_for_it(
    by_hand: datetime | None, by_token: datetime | None, counts: str
) -> None:
    both = {"manual": row("a", "member", expires_at=by_hand), "token": row("a", "member", source="token", expires_at=by_token)}
    assert united([both["manual"]], [both["token"]], NOW) == united([both["token"]], [both["manual"]], NOW) == (both[counts],)


TIMES = st.integers(0, 10).map(lambda days: NOW + timedelta(days=days))
rows = st.lists(
    st.builds(
        HeldRole,
        dao_id=st.sampled_from("ab"),
        role=st.sampled_from(list(DEFAULT_ROLES)),
        suspended=st.booleans(),
        expires_at=st.none() | TIMES,
        source=st.sampled_from(["manual", "import", "token"]),
        created_at=TIMES,
    ),
    max_size=5,
    unique_by=lambda held: (held.dao_id, held.role),
)


@given(rows, rows)
def test_joining_gives_what_both_had_in_either_order_and_nothing_more(one: list[HeldRole], other: list[HeldRole]) -> None:
    together = united(one, other, NOW + timedelta(days=5))
    assert together == united(other, one, NOW + timedelta(days=5))
    for dao_id in "ab":
        had = [tuple(held.role for held in side if held.dao_id == dao_id) for side in (one, other)]
        now = tuple(held.role for held in together if held.dao_id == dao_id)
        assert entitlements(now, DEFAULT_ROLES) == entitlements(had[0], DEFAULT_ROLES) | entitlements(had[1], DEFAULT_ROLES)
        suspended = any(held.suspended for held in (*one, *other) if held.dao_id == dao_id)
        assert all(held.suspended == suspended for held in together if held.dao_id == dao_id)


def test_who_administers_is_told_by_what_roles_grant_and_not_by_their_names() -> None:
    defined = {"a": DEFAULT_ROLES, "b": {"boss": frozenset({"member.manage"}), "admin": frozenset({"chat.use"})}}
    held = [row("a", "contributor"), row("b", "admin"), row("b", "unknown"), row("c", "admin")]
    assert administered(held, defined, NOW) == frozenset()
    assert administered([*held, row("b", "boss")], defined, NOW) == {("b", "member.manage")}
    assert administered([row("a", "admin")], defined, NOW) == {("a", name) for name in ADMINISTRATIVE}


@pytest.mark.parametrize("values", [{"suspended": True}, {"expires_at": NOW}, {"expires_at": NOW - timedelta(days=9)}])
def test_nobody_administers_by_what_is_not_in_force(values: dict[str, object]) -> None:
    assert administered([row("a", "admin", **values)], {"a": DEFAULT_ROLES}, NOW) == frozenset()


def test_the_last_way_in_is_kept() -> None:
    with pytest.raises(Conflict, match="only account"):
        check_unlink(known("p", "tg:1", "key:abc"), "tg:1", NOW)
    with pytest.raises(Conflict, match="until 2026-11-23 15:00 UTC"):
        check_unlink(known("p", "tg:1", "dc:2", administers="a", fresh="dc:2"), "tg:1", NOW)
    check_unlink(known("p", "tg:1", "dc:2", administers="a", fresh="dc:2"), "dc:2", NOW)
    check_unlink(known("p", "tg:1", "dc:2", fresh="dc:2"), "tg:1", NOW)
    check_unlink(known("p", "tg:1", "key:abc"), "key:abc", NOW)


@given(st.integers(0, 2**BITS - 1))
def test_a_code_is_read_however_it_is_typed(number: int) -> None:
    letters = spelled(number)
    shown = grouped(letters)
    assert len(letters) == 26
    assert read_code(shown) == letters
    assert read_code(f"  {shown.lower()}\n") == letters
    assert read_code(letters.replace("0", "o").replace("1", "l")) == letters
    assert shown not in digest(letters).hex()


@given(st.integers(0, 2**BITS - 1), st.integers(0, 2**BITS - 1))
def test_two_numbers_have_two_codes(one: int, other: int) -> None:
    assert (spelled(one) == spelled(other)) == (one == other)


@pytest.mark.parametrize("text", ["", "A" * 25, "A" * 27, "U" * 26, "й" * 26, "A" * 10_000, "A" * 25 + "!", "٠" * 26])
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="26"):
        read_code(text)


def test_a_wallet_has_one_spelling() -> None:
    assert check_identity("eth:0x" + "ab" * 20)
    for other in ("eth:0x" + "aB" * 20, "eth:" + "ab" * 20, "eth:0x" + "ab" * 21, "eth:vitalik", "eth:0X" + "ab" * 20):
        with pytest.raises(Invalid, match="lower case"):
            check_identity(other)


def governing(identifier: str, account: str, *entitlements_held: str, fresh: bool = False) -> Known:
    held = frozenset(("a", name) for name in entitlements_held)
    return Known(id=identifier, accounts=(Account(account, SOON if fresh else None),), administers=held)


SOME, ALL = ("member.manage",), ("member.manage", "key.manage")


@pytest.mark.parametrize(
    ("one", "other", "held"),
    [
        (governing("p", "tg:1", *SOME), governing("q", "dc:2", *ALL), ("tg:1",)),
        (governing("p", "tg:1", *ALL), governing("q", "dc:2", *SOME), ("dc:2",)),
        (governing("p", "tg:1", *ALL), governing("q", "dc:2", *ALL, fresh=True), ("dc:2",)),
        (known("p", "tg:1", "dc:3"), known("q", "dc:2"), ("dc:2",)),
        (known("p", "tg:1"), known("q", "dc:2", "dc:3"), ("dc:2", "dc:3")),
        (known("p", "tg:1", "dc:3"), STRANGER, ("eth:0x1",)),
    ],
)
def test_of_two_in_one_dao_whoever_gains_waits(one: Known, other: Known, held: tuple[str, ...]) -> None:
    assert held_back(one, other, NOW) == held


def test_an_account_that_waits_waits_on_also_when_an_operator_joins() -> None:
    one, other = governing("p", "tg:1", *SOME, fresh=True), governing("q", "dc:2", *ALL)
    assert held_back(one, other, NOW, by_operator=True) == ("tg:1",)
    assert held_back(one, other, SOON, by_operator=True) == ()


@pytest.mark.parametrize(
    ("sources", "kept"),
    [
        (("manual", "import"), "manual"),
        (("invitation", "import"), "invitation"),
        (("token", "import"), "import"),
        (("import", "a later one"), "import"),
    ],
)
def test_of_two_sources_of_a_role_the_one_nearer_to_a_hand_counts(sources: tuple[str, str], kept: str) -> None:
    one, other = (row("a", "member", source=source) for source in sources)
    assert united([one], [other], NOW) == united([other], [one], NOW) == (row("a", "member", source=kept),)


def test_accounts_are_given_up_while_nobody_is_suspended() -> None:
    check_not_suspended(Known(accounts=(Account("tg:1"),), roles=(row("a", "member"), row("b", "admin", expires_at=SOON))))


def test_a_code_is_read_up_to_a_hundred_characters() -> None:
    letters = spelled(7)
    assert read_code("-" * 74 + letters) == letters
    with pytest.raises(Invalid):
        read_code("-" * 75 + letters)
