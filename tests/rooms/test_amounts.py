"""Amounts and durations as people write them: a mistake is a sentence, never a traceback."""

from datetime import timedelta

import pytest

from dagi.cli.amounts import changes
from dagi.cli.durations import duration
from dagi.errors import Invalid


@pytest.mark.parametrize("text", ["1e999999", "-1", "NaN", "Infinity", "0.0000001", "much", ""])
def test_what_is_no_amount_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(Invalid, match="--money-per-month takes an amount of money"):
        changes(None, None, text)


def test_a_duration_beyond_the_calendar_is_refused_with_what_to_write() -> None:
    assert duration("36500d") == timedelta(days=36_500)
    with pytest.raises(Invalid, match="longer than a hundred years"):
        duration("999999w")
