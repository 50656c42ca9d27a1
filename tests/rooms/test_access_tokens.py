"""Token rules: what may be asked for, and what becomes of holders. Pure."""

from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from dagi.access.token_wishes import MAX, TokenTerms, TokenWish, token_terms
from dagi.access.tokens import Holder, Moved, Settled, TokenRule, Wallet, settle, totals
from dagi.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "0x" + "ab" * 20
RULE = TokenRule(
    id="r", dao_id="green", chain_id=1, token=TOKEN, standard="erc20", token_id=None, min_balance=100, role="member",
    grace_s=3600, everyone=True, made_by="cli:root", created_at=NOW,
)  # fmt: skip
people = st.sampled_from("abcde")
holdings = st.dictionaries(people, st.one_of(st.none(), st.integers(0, 300)))
checks = st.lists(st.tuples(holdings, st.integers(0, 5000)), max_size=8)


def turns(settled) -> list[tuple[str, str]]:
    return [(moved.holder.person_id, moved.turn) for moved in settled.moved]


def test_somebody_gains_lacks_regains_lacks_and_loses() -> None:
    told, before, now = [], (), NOW
    for balance, minutes in ((100, 0), (101, 10), (99, 10), (5, 59), (100, 0), (0, 1), (0, 59), (0, 1)):
        now += timedelta(minutes=minutes)
        settled = settle(RULE, {"a": balance}, before, now)
        before = settled.holders
        told.append([turn for _, turn in turns(settled)])
    assert told == [["gained"], [], ["lacking"], [], ["regained"], ["lacking"], [], ["lost"]]
    assert before == ()


def test_without_a_grace_it_is_lost_at_once() -> None:
    rule = msgspec.structs.replace(RULE, grace_s=0)
    held = settle(rule, {"a": 100}, (), NOW).holders
    assert turns(settle(rule, {"a": 99}, held, NOW + timedelta(seconds=1))) == [("a", "lost")]


def test_whoever_has_no_wallet_any_more_has_nothing() -> None:
    held = settle(RULE, {"a": 100}, (), NOW).holders
    assert turns(settle(RULE, {}, held, NOW)) == [("a", "lacking")]


@given(checks)
def test_what_the_chain_does_not_tell_changes_nothing(steps: list) -> None:
    before, now = (), NOW
    for held, seconds in steps:
        before, now = settle(RULE, held, before, now).holders, now + timedelta(seconds=seconds)
    unknown = dict.fromkeys("abcde")
    settled = settle(RULE, unknown, before, now + timedelta(days=400))
    assert settled.holders == tuple(before)
    assert settled.moved == ()


@given(checks)
def test_nobody_with_enough_is_without_and_nobody_without_stays_longer_than_the_grace(steps: list) -> None:
    before: tuple[Holder, ...] = ()
    now = NOW
    for held, seconds in steps:
        now += timedelta(seconds=seconds)
        settled = settle(RULE, held, before, now)
        have = {holder.person_id for holder in settled.holders}
        assert {person for person, balance in held.items() if balance is not None and balance >= 100} <= have
        for holder in settled.holders:
            known = held.get(holder.person_id, 0) is not None
            assert not known or holder.lacking_since is None or now < holder.lacking_since + timedelta(seconds=RULE.grace_s)
        before = settled.holders


@given(holdings, st.integers(0, 5000))
def test_the_same_check_twice_moves_nobody(held: dict, seconds: int) -> None:
    once = settle(RULE, held, (), NOW)
    assert settle(RULE, held, once.holders, NOW + timedelta(seconds=seconds)).moved == ()


def wallet(person: str, digits: str) -> Wallet:
    return Wallet(account="eth:0x" + digits * 20, person_id=person, settled_at=NOW)


def test_the_wallets_of_a_person_count_together_and_exactly() -> None:
    wallets = [wallet("a", "01"), wallet("a", "02"), wallet("b", "03"), wallet("b", "04")]
    balances = {wallets[0].address: MAX, wallets[1].address: 1, wallets[2].address: 5}
    assert totals(wallets, balances) == {"a": MAX + 1, "b": None}


def wish(**changes: object) -> TokenWish:
    return msgspec.structs.replace(TokenWish(chain="1", token=TOKEN, standard="ERC-20", role="member"), **changes)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("standard", {"standard": "erc777"}),
        ("token", {"token": "0x12"}),
        ("token", {"token": "0xAb" + "ab" * 19}),
        ("token", {"token": "vitalik.eth"}),
        ("token_id", {"standard": "erc1155"}),
        ("token_id", {"token_id": "5"}),
        ("token_id", {"standard": "erc1155", "token_id": "-1"}),
        ("min_balance", {"min_balance": "0"}),
        ("min_balance", {"min_balance": "1.5"}),
        ("min_balance", {"min_balance": "1e18"}),
        ("min_balance", {"min_balance": str(MAX + 1)}),
        ("min_balance", {"min_balance": "9" * 100_000}),
        ("min_balance", {"standard": "erc721", "token_id": "7", "min_balance": "2"}),
        ("grace_s", {"grace_s": -1}),
        ("grace_s", {"grace_s": 10**9}),
        ("role", {"role": "Not a role"}),
    ],
)
def test_a_rule_that_is_none_is_refused_and_names_the_field(field: str, changes: dict[str, object]) -> None:
    with pytest.raises(Invalid) as mistake:
        token_terms(wish(**changes))
    assert mistake.value.facts["field"] == field


@given(st.integers(1, MAX))
def test_no_digit_of_a_balance_is_lost(balance: int) -> None:
    assert token_terms(wish(min_balance=str(balance))).min_balance == balance


YEAR_S = 365 * 86_400


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({}, TokenTerms(token=TOKEN, standard="erc20", token_id=None, min_balance=1, role="member", grace_s=86_400)),
        (
            {"standard": "erc1155", "token_id": "7", "min_balance": "2", "grace_s": 0},
            TokenTerms(token=TOKEN, standard="erc1155", token_id=7, min_balance=2, role="member", grace_s=0),
        ),
        (
            {"standard": "ERC-721", "min_balance": "2", "grace_s": YEAR_S, "role": "guest"},
            TokenTerms(token=TOKEN, standard="erc721", token_id=None, min_balance=2, role="guest", grace_s=YEAR_S),
        ),
        (
            {"standard": "erc721", "token_id": "0", "grace_s": 1},
            TokenTerms(token=TOKEN, standard="erc721", token_id=0, min_balance=1, role="member", grace_s=1),
        ),
    ],
)
def test_a_wish_of_the_right_form_becomes_the_terms_of_a_rule(changes: dict[str, object], terms: TokenTerms) -> None:
    assert token_terms(wish(**changes)) == terms


def test_a_holder_keeps_since_when_it_holds_and_since_when_it_lacks() -> None:
    later, last = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
    holds = Holder(person_id="a", balance=100, since=NOW)
    assert settle(RULE, {"a": 100}, (), NOW) == Settled(holders=(holds,), moved=(Moved("gained", holds),))
    more = Holder(person_id="a", balance=101, since=NOW)
    assert settle(RULE, {"a": 101}, (holds,), later) == Settled(holders=(more,), moved=())
    lacks = Holder(person_id="a", balance=5, since=NOW, lacking_since=later)
    assert settle(RULE, {"a": 5}, (more,), later) == Settled(holders=(lacks,), moved=(Moved("lacking", lacks),))
    poorer = Holder(person_id="a", balance=4, since=NOW, lacking_since=later)
    assert settle(RULE, {"a": 4}, (lacks,), last) == Settled(holders=(poorer,), moved=())
    again = Holder(person_id="a", balance=100, since=NOW)
    assert settle(RULE, {"a": 100}, (poorer,), last) == Settled(holders=(again,), moved=(Moved("regained", again),))


def test_whoever_has_no_wallet_holds_not_even_one() -> None:
    one = msgspec.structs.replace(RULE, min_balance=1)
    held = settle(one, {"a": 1}, (), NOW).holders
    assert settle(one, {}, held, NOW).holders == (Holder(person_id="a", balance=0, since=NOW, lacking_since=NOW),)
