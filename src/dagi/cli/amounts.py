"""Limits as people write and read them: a number, `none` for no limit, `default` for what the configuration says."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final

import typer

from dagi.access.limits import MICROS, UNLIMITED, Quota
from dagi.errors import Invalid

_HOW = "a number, none, or default (what the configuration says)"
Rpm = Annotated[str | None, typer.Option("--rpm", help=f"Requests in any 60 seconds: {_HOW}.")]
TokensPerDay = Annotated[str | None, typer.Option("--tokens-per-day", help=f"Tokens a day in UTC: {_HOW}.")]
MoneyPerMonth = Annotated[str | None, typer.Option("--money-per-month", help=f"Money a calendar month, in the prices' currency: {_HOW}.")]

_MOST: Final = 10**15
_MOST_RPM: Final = 1_000_000


def changes(rpm: str | None, tokens_per_day: str | None, money_per_month: str | None) -> dict[str, int | None]:
    """What the options say, as the stores keep it; an option that was left out changes nothing.

    Raises:
        Invalid: one of them is no limit.
    """
    given = {"rpm": (rpm, 1, _MOST_RPM), "tokens_per_day": (tokens_per_day, 1, _MOST), "money_per_month": (money_per_month, MICROS, _MOST)}
    return {name: _amount(name, text, unit, most) for name, (text, unit, most) in given.items() if text is not None}


def quota(values: Mapping[str, int | None]) -> Quota:
    """The limits that a new key has."""
    return Quota(rpm=values.get("rpm"), tokens_per_day=values.get("tokens_per_day"), money_per_month=values.get("money_per_month"))


def _amount(name: str, text: str, unit: int, most: int) -> int | None:
    option = f"--{name.replace('_', '-')}"
    if text == "default":
        return None
    if text == "none":
        return UNLIMITED
    try:
        value = Decimal(text) * unit
    except ArithmeticError:
        value = Decimal("NaN")
    least = 0 if unit > 1 else 1
    if not value.is_finite() or value != value.to_integral_value() or not least <= value <= most:
        kind = "an amount of money such as 25 or 2.50" if unit > 1 else f"a whole number from 1 to {most}"
        raise Invalid(f"{option} takes {kind}, none, or default, not {text[:40]!r}.", field=name)
    return int(value)


def shown(value: int | None, *, money: bool = False) -> str:
    """A limit of one's own, for people."""
    if value is None:
        return "default"
    return "none" if value == UNLIMITED else in_units(value) if money else str(value)


def in_units(micros: int) -> str:
    """An amount of money: at least two places, and no digit lost."""
    whole = f"{Decimal(micros) / MICROS:f}"
    places = len(whole.partition(".")[2])
    return f"{Decimal(micros) / MICROS:.2f}" if places < 2 else whole


def as_units(value: int | None) -> float | str | None:
    """A limit on money, for programs."""
    return "none" if value == UNLIMITED else None if value is None else value / MICROS
