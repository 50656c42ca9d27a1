"""What a proposal may say and ask: everything of it comes from outside."""

from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from dagi.errors import Invalid
from dagi.governance.drafting import Wish, check_reachable, drafted, find_choice, read_weight
from dagi.governance.proposal import MAX_WEIGHT, USUAL_CHOICES
from dagi.governance.shares import read_quorum

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def wish(**changes: object) -> Wish:
    return msgspec.structs.replace(Wish(title="A title", closes_at=NOW + timedelta(days=3)), **changes)


def refused(**changes: object) -> str:
    with pytest.raises(Invalid) as caught:
        drafted(wish(**changes), NOW)
    return str(caught.value.facts["field"])


def test_a_plain_wish_asks_for_or_against_and_begins_at_once() -> None:
    draft = drafted(wish(title="  Вулики \u0438\u0306 \n мед "), NOW)
    assert (draft.title, draft.choices, draft.opens_at) == ("Вулики й мед", ("for", "against", "abstain"), NOW)


@pytest.mark.parametrize(
    "title",
    [
        "",
        " \n ",
        "x" * 201,
        "a\x00b",
        "a\x1b[31mb",
        "pay \u202egnp.exe",
        "a\u2066b",
        "a\u200bb",
        "\ufeffa",
        "a\U000e0041",
        "\ud800",
        "a\ue000",
        "\u200d",
        "\u3164",
    ],
)
def test_a_title_that_is_none_or_misleads_is_refused(title: str) -> None:
    assert refused(title=title) == "title"


@pytest.mark.parametrize("title", ["👩‍🌾 Farm", "می‌خواهم", "Ґанок і їжак", "2 < 3 & [link](x)", "بحث"])
def test_what_people_write_in_their_scripts_is_taken(title: str) -> None:
    assert drafted(wish(title=title), NOW).title == title


def test_a_body_has_lines_and_is_bounded() -> None:
    assert drafted(wish(body="one\r\n\ttwo\n"), NOW).body == "one\n\ttwo"
    assert refused(body="x" * 20_001) == "body"
    assert refused(body="fine\u202e") == "body"


@pytest.mark.parametrize(
    "choices",
    [
        ["for"], ["for", "abstain"], ["A", "a"], ["Kyiv", "for", "against"], ["A", "B"] * 11, ["A", ""], ["A", "x" * 65], ["A", "\u202eB"],
        ["abstain", "A"], ["Kyiv", "\u212ayiv"],
    ],
)  # fmt: skip
def test_choices_have_to_be_different_and_mean_something(choices: list[str]) -> None:
    assert refused(choices=choices) == "choices"


def test_choices_are_found_by_name_in_any_case_or_by_number() -> None:
    choices = drafted(wish(choices=["Kyiv", "Lviv", "Abstain"]), NOW).choices
    assert choices == ("Kyiv", "Lviv", "abstain")
    assert [find_choice(choices, wanted) for wanted in ("kyiv", " LVIV ", "3", "ABSTAIN")] == [0, 1, 2, 2]
    assert find_choice(("2", "1"), "1") == 1
    assert [find_choice(USUAL_CHOICES, wanted) for wanted in ("За", "проти", "утримуюсь", "for")] == [0, 1, 2, 0]
    for wanted in ("", "0", "4", "Odesa", "١", "x" * 10_000):
        with pytest.raises(Invalid):
            find_choice(choices, wanted)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("closes_at", {"closes_at": NOW}),
        ("closes_at", {"closes_at": NOW - timedelta(days=1)}),
        ("closes_at", {"closes_at": NOW + timedelta(seconds=59)}),
        ("closes_at", {"closes_at": NOW + timedelta(days=367)}),
        ("closes_at", {"closes_at": datetime(9999, 12, 31, tzinfo=UTC)}),
        ("closes_at", {"closes_at": datetime(2026, 1, 3)}),  # noqa: DTZ001 - that is the mistake
        ("opens_at", {"opens_at": NOW - timedelta(seconds=1)}),
        ("closes_at", {"opens_at": NOW + timedelta(days=4)}),
        ("quorum", {"quorum": "many"}),
        ("approval", {"approval": "49.99%"}),
        ("approval", {"approval": "0"}),
    ],
)
def test_times_and_terms_that_cannot_be_are_refused(field: str, changes: dict[str, object]) -> None:
    assert refused(**changes) == field


def test_a_deadline_that_has_passed_is_told_as_such() -> None:
    with pytest.raises(Invalid, match="has passed already"):
        drafted(wish(closes_at=NOW - timedelta(days=1)), NOW)


def test_what_can_never_be_decided_is_refused() -> None:
    check_reachable(read_quorum("100%"), 3)
    check_reachable(3, 3)
    for quorum, electorate in ((4, 3), (0, 0), (read_quorum("1%"), 0)):
        with pytest.raises(Invalid):
            check_reachable(quorum, electorate)


@given(st.integers(1, MAX_WEIGHT))
def test_a_weight_keeps_every_digit(weight: int) -> None:
    assert read_weight(str(weight)) == weight


@pytest.mark.parametrize("text", ["", "0", "-1", "+1", "01", "1.0", "1e18", "0x10", " 1", "١", str(MAX_WEIGHT + 1), "9" * 100_000])
def test_what_is_no_weight_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_weight(text)


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_taken_or_refused_and_what_is_taken_stays(title: str, body: str) -> None:
    try:
        draft = drafted(wish(title=title, body=body), NOW)
    except Invalid:
        return
    again = drafted(wish(title=draft.title, body=draft.body), NOW)
    assert (again.title, again.body) == (draft.title, draft.body)
