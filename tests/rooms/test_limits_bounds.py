"""Limits and prices at their bounds, and far from Greenwich."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from dagi.access.limits import FOLLOWED_S, Calendar, Gauge, judged, spend_gauge
from dagi.access.prices import Price, PriceTable
from dagi.message import Usage

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(params=["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def _far_from_greenwich(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
def test_days_and_months_are_those_of_utc_whatever_the_machine_thinks() -> None:
    calendar = Calendar(MIDNIGHT, 0, "2026-11-24")
    assert calendar.read(MIDNIGHT, 0) == "2026-11-24"
    assert (calendar.day_left_s, calendar.month_left_s) == (86_400, 7 * 86_400)


@pytest.mark.parametrize("month", range(1, 13))
def test_a_month_ends_where_the_next_begins(month: int) -> None:
    first = datetime(2028, month, 1, tzinfo=UTC)
    following = datetime(2028 + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    for now in (first, following - timedelta(seconds=1)):
        calendar = Calendar(now, 0)
        calendar.read(now, 0)
        assert calendar.month_left_s == (following - now).total_seconds()


def test_two_days_ahead_is_not_gone_back_from_and_more_is() -> None:
    assert Calendar(MIDNIGHT, 0, "2026-11-25").read(MIDNIGHT, 0) == "2026-11-25"
    assert Calendar(MIDNIGHT + timedelta(seconds=-1), 0, "2026-11-25").read(MIDNIGHT, 0) == "2026-11-23"
    back = MIDNIGHT - timedelta(seconds=FOLLOWED_S)
    assert Calendar(MIDNIGHT, 0).read(back, 0) == "2026-11-23"
    assert Calendar(MIDNIGHT, 0).read(back - timedelta(seconds=1), 0) == "2026-11-20"


def test_a_budget_of_which_nothing_is_used_need_not_open_again() -> None:
    assert spend_gauge("dao", "tokens_per_day", 10, 0, 30.0) == Gauge("dao", "tokens_per_day", 10, 0, 0.0)
    assert spend_gauge("dao", "tokens_per_day", 0, 0, 30.0) == Gauge("dao", "tokens_per_day", 0, 0, 0.0, 30.0)


def test_of_two_limits_alike_the_first_is_told() -> None:
    key, dao = (Gauge(of, "requests_per_minute", 2, 2, 9.0, 9.0) for of in ("key", "dao"))
    allowance = judged([key, dao])
    assert (allowance.refusing, allowance.tightest("requests_per_minute")) == (key, key)


def test_a_configured_model_has_the_price_its_provider_asks_for_it() -> None:
    table = PriceTable(
        [Price(model="big", provider="p", input=2, output=2), Price(model="big", input=1, output=1)], {"p": "big", "q": "big"}
    )
    usage = Usage(prompt_tokens=5, completion_tokens=0, total_tokens=5)
    assert [table.cost(provider, "alias", usage) for provider in ("p", "q")] == [10, 5]


def test_what_has_no_name_has_the_price_of_no_pattern_that_asks_for_letters() -> None:
    table = PriceTable([Price(model="????", input=1, output=1)])
    assert not table.knows("p")
    assert table.cost("p", "longer", Usage(prompt_tokens=5, completion_tokens=0, total_tokens=5)) == 0
