"""Windows, calendars, budgets and prices: pure numbers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.access.limits import (
    FOLLOWED_S,
    NO_QUOTA,
    UNLIMITED,
    Calendar,
    Gauge,
    Quota,
    Window,
    holders,
    judged,
    spend_gauge,
)
from dagi.access.prices import MOST_TOKENS, Price, PriceTable, bounded
from dagi.config import packaged_prices
from dagi.errors import BudgetExceeded, RateLimited
from dagi.message import Usage
from dagi.services.errors import error_headers
from dagi.services.ratelimits import limit_headers

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = 3600.0
DAY = 24 * HOUR
# Two such errors, one after the other, are less than what is followed by more than a float of seconds since 1970 is rounded.
ERROR_S = FOLLOWED_S / 2 - 1


@given(st.integers(1, 8), st.lists(st.floats(0, 30), max_size=60))
def test_never_more_than_the_limit_passes_within_any_minute_and_waiting_as_told_is_enough(limit: int, pauses: list[float]) -> None:
    window, now, passed = Window(), 1000.0, list[float]()
    for pause in pauses:
        now += pause
        gauge = window.gauge("user", limit, now)
        if gauge.used < limit:
            assert gauge.retry_s == 0
            window.take(now)
            passed.append(now)
        else:
            assert 0 < gauge.retry_s <= 61
            assert window.gauge("user", limit, now).used == limit
            assert _copy(passed).gauge("user", limit, now + gauge.retry_s).used < limit
    for last in passed:
        assert sum(last - 60 < at <= last for at in passed) <= limit


def _copy(passed: list[float]) -> Window:
    window = Window()
    for at in passed:
        window.take(at)
    return window


def test_a_limit_that_was_lowered_says_when_enough_requests_have_passed_out_of_sight() -> None:
    window = Window()
    for at in (0.0, 0.5, 10.0, 20.0):
        window.take(at)
    gauge = window.gauge("user", 2, 30.0)
    assert (gauge.used, gauge.remaining, gauge.retry_s, gauge.reset_s) == (4, 0, 41.0, 51.0)


def test_a_window_keeps_one_number_a_second_however_many_requests_come() -> None:
    window = Window()
    for number in range(100_000):
        window.take(number / 100)
    assert len(window._slots) == 1000  # noqa: SLF001 - what it holds is the point
    assert not window.idle(1000.0)
    assert len(window._slots) == 60  # noqa: SLF001
    assert window.idle(1062.0)


class Clocks:
    """A wall clock that is set at will, beside one that never jumps."""

    def __init__(self) -> None:
        self.wall, self.steady = NOON, 0.0
        self.calendar = Calendar(self.wall, self.steady)

    def after(self, seconds: float, *, wall: float | None = None) -> str:
        """The day after so many real seconds in which the wall clock went on by `wall`."""
        self.steady += seconds
        self.wall += timedelta(seconds=seconds if wall is None else wall)
        return self.calendar.read(self.wall, self.steady)


def test_days_change_at_midnight_in_utc() -> None:
    clocks = Clocks()
    assert [clocks.after(seconds) for seconds in (0, 12 * HOUR - 1, 1, 8 * DAY)] == ["2026-11-23", "2026-11-23", "2026-11-24", "2026-12-02"]


def test_a_clock_that_is_set_back_opens_no_day_again_and_no_day_ends_late() -> None:
    clocks = Clocks()
    assert clocks.after(12 * HOUR) == "2026-11-24"
    assert clocks.after(1, wall=-20 * HOUR) == "2026-11-24"
    assert clocks.after(DAY) == "2026-11-25"
    assert clocks.after(0, wall=20 * HOUR) == "2026-11-25"


def test_a_clock_that_was_a_year_ahead_is_followed_back() -> None:
    clocks = Clocks()
    assert clocks.after(1, wall=365 * DAY) == "2027-11-23"
    assert clocks.after(1, wall=-365 * DAY) == "2026-11-23"
    assert clocks.after(DAY) == "2026-11-24"


@given(st.lists(st.tuples(st.floats(0, 5 * DAY), st.floats(-ERROR_S, ERROR_S)), max_size=30))
def test_days_never_go_back_while_nobody_sets_the_clock_by_more_than_two_days(steps: list[tuple[float, float]]) -> None:
    clocks, days, off = Clocks(), list[str](), 0.0
    for real, error in steps:
        days.append(clocks.after(real, wall=real + error - off))
        off = error
    assert days == sorted(days)


@given(st.lists(st.floats(-2e9, 2e9), max_size=20))
def test_whatever_a_clock_does_there_is_a_day_and_it_ends(jumps: list[float]) -> None:
    clocks = Clocks()
    for jump in jumps:
        wall = min(max(clocks.wall.timestamp() + jump, 0), 4e9) - clocks.wall.timestamp()
        assert len(clocks.after(1, wall=wall)) == len("2026-11-23")
        assert 0 < clocks.calendar.day_left_s <= DAY
        assert clocks.calendar.day_left_s <= clocks.calendar.month_left_s <= 31 * DAY


def test_after_a_restart_a_clock_set_back_opens_no_counted_day_again_unless_that_day_is_far_ahead() -> None:
    assert Calendar(NOON, 0, "2026-11-24").read(NOON, 0) == "2026-11-24"
    assert Calendar(NOON, 0, "2027-11-24").read(NOON, 0) == "2026-11-23"
    assert Calendar(NOON, 0, "2026-11-01").read(NOON, 0) == "2026-11-23"


def test_what_one_has_of_ones_own_counts_before_the_default_and_unlimited_is_no_limit() -> None:
    default = Quota(rpm=10, tokens_per_day=20, money_per_month=30)
    assert Quota(rpm=5).over(default) == Quota(rpm=5, tokens_per_day=20, money_per_month=30)
    assert Quota(rpm=UNLIMITED, money_per_month=0).over(default) == Quota(tokens_per_day=20, money_per_month=0)
    assert NO_QUOTA.over(NO_QUOTA) == NO_QUOTA
    assert not NO_QUOTA.says_anything
    assert Quota(money_per_month=0).limits_spend
    assert not Quota(rpm=1, tokens_per_day=UNLIMITED, money_per_month=UNLIMITED).limits_spend


def test_whom_a_request_counts_for() -> None:
    assert holders("d", "tg:1", "") == (("user", "tg:1"), ("dao", "d"))
    assert holders("d", "tg:1", "k") == (("key", "k"), ("user", "tg:1"), ("dao", "d"))
    assert holders("d", "key:k", "k") == (("key", "k"), ("dao", "d"))


def test_the_limit_that_holds_longest_refuses_and_says_so() -> None:
    gauges = [
        Gauge("user", "requests_per_minute", 5, 5, 60.0, 12.2),
        Gauge("key", "tokens_per_day", 1000, 1200, 5000.0, 5000.0),
        Gauge("dao", "money_per_month", 2_500_000, 1, 9000.0),
    ]
    with pytest.raises(RateLimited) as caught:
        judged(gauges).require()
    assert caught.value.facts == {"limit": "tokens_per_day", "limit_of": "key", "limit_value": 1000, "retry_after_s": 5000}
    with pytest.raises(RateLimited) as caught:
        judged(gauges[:1]).require()
    assert caught.value.facts["retry_after_s"] == 13
    spent = Gauge("dao", "money_per_month", 2_500_000, 2_500_000, 9000.0, 9000.0)
    with pytest.raises(BudgetExceeded, match="2.5") as money:
        judged([spent]).require()
    assert money.value.facts["limit_value"] == 2.5
    assert {(b"retry-after", b"9000"), (b"x-should-retry", b"false")} <= set(error_headers(money.value))
    judged([gauges[2]]).require()


def test_heads_of_answers_tell_the_tightest_limit_of_each_kind_under_openais_names() -> None:
    told = limit_headers(
        judged(
            [
                Gauge("user", "requests_per_minute", 60, 1, 60.2),
                Gauge("dao", "requests_per_minute", 100, 98, 12.0),
                Gauge("key", "tokens_per_day", 1000, 1200, 20_000.0, 20_000.0),
                Gauge("dao", "money_per_month", 1, 0, 0.0),
            ]
        )
    )
    assert {name.decode().removeprefix("x-ratelimit-"): value.decode() for name, value in told} == {
        "limit-requests": "100",
        "remaining-requests": "2",
        "reset-requests": "12s",
        "limit-tokens": "1000",
        "remaining-tokens": "0",
        "reset-tokens": "5h33m20s",
    }
    assert limit_headers(None) == []


def usage(prompt: int = 0, completion: int = 0, cached: int = 0) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, cached_tokens=cached)


def test_an_answer_costs_what_the_first_pattern_says_rounded_up_to_a_millionth() -> None:
    table = PriceTable(
        [Price(model="big*", provider="own", input=100, output=100), Price(model="big*", input=1.5, output=6, cached_input=0.15)]
    )
    assert table.cost("other", "big-2026", usage(1_000_000, 500_000)) == 4_500_000
    assert table.cost("other", "big", usage(1_000_000, 0, cached=400_000)) == 960_000
    assert table.cost("own", "big", usage(10)) == 1000
    assert table.cost("other", "big", usage(1)) == 2
    assert table.cost("other", "small", usage(10**6, 10**6)) == 0


def test_what_reports_another_name_or_none_costs_what_its_configured_model_does() -> None:
    table = PriceTable([Price(model="big", input=1, output=1)], {"p": "big", "free": "small"})
    assert [table.cost(*who, usage(5)) for who in (("p", "alias"), ("p", ""), ("free", "x"))] == [5, 5, 0]
    assert (table.knows("p"), table.knows("free")) == (True, False)


@given(st.integers(), st.integers(), st.integers())
def test_no_number_of_tokens_costs_less_than_nothing_or_more_than_all(prompt: int, completion: int, cached: int) -> None:
    table = PriceTable([Price(model="*", input=2, output=3, cached_input=0.5)])
    assert 0 <= table.cost("p", "m", usage(prompt, completion, cached)) <= 5 * MOST_TOKENS


def test_what_a_server_counts_in_the_total_alone_costs_what_the_answer_does() -> None:
    table = PriceTable([Price(model="*", input=1, output=10)])
    thinking = Usage(prompt_tokens=1_000, completion_tokens=100, total_tokens=1_500)
    assert table.cost("p", "m", thinking) == 1_000 + 500 * 10
    assert table.cost("p", "m", Usage(total_tokens=700)) == 700 * 10


def test_names_from_upstream_do_not_fill_the_memory() -> None:
    table = PriceTable([Price(model="a*", input=1, output=1)])
    for number in range(5_000):
        table.cost("p", f"b{number}", usage(1))
    assert len(table._found) <= 1_000  # noqa: SLF001 - what it holds is the point


def test_the_packaged_table_has_a_version_and_every_pattern_can_be_reached() -> None:
    packaged = packaged_prices()
    assert (packaged.currency, len(packaged.version)) == ("USD", 7)
    table = PriceTable(packaged.models)
    for number, price in enumerate(packaged.models):
        name = price.model.replace("*", "-x") if price.model.endswith("*") else price.model
        first = next(other for other in packaged.models if table_matches(other, name))
        assert first is packaged.models[number], (price.model, first.model)
    assert table.cost("p", "gpt-5-mini-2025-08-07", usage(1_000_000)) == 250_000


def table_matches(price: Price, name: str) -> bool:
    return PriceTable([price]).cost("p", name, usage(1_000_000, 1_000_000)) > 0


def test_a_gauge_says_whose_limit_it_is_of_what_kind_and_when_it_is_free_again() -> None:
    window = Window()
    assert window.gauge("key", 3, 10.0) == Gauge("key", "requests_per_minute", 3, 0, 0.0)
    window.take(10.0)
    assert window.gauge("dao", 3, 10.0) == Gauge("dao", "requests_per_minute", 3, 1, 61.0)
    assert window.gauge("user", 1, 10.0) == Gauge("user", "requests_per_minute", 1, 1, 61.0, 61.0)
    assert spend_gauge("dao", "tokens_per_day", 10, 4, 30.0) == Gauge("dao", "tokens_per_day", 10, 4, 30.0)
    assert spend_gauge("dao", "tokens_per_day", 10, 10, 30.0) == Gauge("dao", "tokens_per_day", 10, 10, 30.0, 30.0)
    assert Window().gauge("key", 0, 5.0).used == 0


@pytest.mark.parametrize(
    ("gauge", "sentence"),
    [
        (Gauge("key", "requests_per_minute", 3, 3, 9.5, 0.5), "Too many requests: this key may send 3 a minute. Try again in 1 s."),
        (
            Gauge("user", "tokens_per_day", 1000, 1000, 60.0, 60.0),
            "The tokens of the day are used: you may use 1000. The next day begins at 00:00 UTC.",
        ),
        (
            Gauge("dao", "money_per_month", 2_500_000, 2_500_000, 60.0, 60.0),
            "The money of the month is spent: this DAO may spend 2.5. The next month begins on its first day, UTC.",
        ),
    ],
)
def test_a_refusal_says_which_limit_whose_and_when_it_ends(gauge: Gauge, sentence: str) -> None:
    refusal = judged([gauge]).refusal
    assert refusal is not None
    assert refusal.message == sentence
    assert (refusal.facts["limit_of"], refusal.facts["limit"]) == (gauge.of, gauge.kind)


def test_what_one_says_of_its_own_limits_stands_before_the_default() -> None:
    own, default = Quota(rpm=5, tokens_per_day=UNLIMITED), Quota(rpm=60, tokens_per_day=100, money_per_month=7)
    assert own.over(default) == Quota(rpm=5, tokens_per_day=None, money_per_month=7)
    assert Quota(tokens_per_day=3).over(default) == Quota(rpm=60, tokens_per_day=3, money_per_month=7)


@pytest.mark.parametrize(("tokens", "counted"), [(-1, 0), (0, 0), (1, 1), (MOST_TOKENS, MOST_TOKENS), (MOST_TOKENS + 1, MOST_TOKENS)])
def test_no_count_of_a_provider_goes_below_nothing_or_beyond_what_can_be_added_up(tokens: int, counted: int) -> None:
    assert bounded(tokens) == counted
