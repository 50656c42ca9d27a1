"""Durations as people write them."""

import re
from datetime import timedelta

from dagi.errors import Invalid

_FORM = re.compile(r"(\d{1,6})([mhdw])\Z")
# No calendar of ours reaches further.
_LONGEST = timedelta(days=36_500)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str, field: str = "expires") -> timedelta:
    """`30m`, `12h`, `90d`, `2w`.

    Raises:
        Invalid: it is none of these, or longer than a hundred years.
    """
    match = _FORM.match(text)
    if match is None or int(match[1]) == 0:
        raise Invalid(f"{text!r} is no duration. Write a number and m, h, d or w, for example 90d.", field=field)
    found = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if found > _LONGEST:
        raise Invalid(f"{text} is longer than a hundred years ({_LONGEST.days}d). Write a shorter time, for example 365d.", field=field)
    return found
