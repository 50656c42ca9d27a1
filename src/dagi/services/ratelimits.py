"""The limits in force, as heads of answers tell them: the names and forms of OpenAI's API, which its clients read."""

from math import ceil
from typing import Final

from dagi.access.limits import Allowance, Gauge
from dagi.services.face import Headers

_Names = tuple[bytes, bytes, bytes]
_REQUESTS: Final[_Names] = (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests")
_TOKENS: Final[_Names] = (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens")


def limit_headers(allowance: Allowance | None) -> Headers:
    """Of each kind the limit of which the least is left; nothing where nothing is limited. Money is not told this way."""
    headers: Headers = []
    if allowance is not None and allowance.gauges:
        _add(headers, _REQUESTS, allowance.tightest("requests_per_minute"))
        _add(headers, _TOKENS, allowance.tightest("tokens_per_day"))
    return headers


def _add(headers: Headers, names: _Names, gauge: Gauge | None) -> None:
    if gauge is not None:
        limit, remaining, reset = names
        headers += ((limit, b"%d" % gauge.limit), (remaining, b"%d" % gauge.remaining), (reset, _duration(gauge.reset_s)))


def _duration(seconds: float) -> bytes:
    """`1s`, `6m0s`, `5h3m20s`; never shorter than it is."""
    whole = max(0, ceil(seconds))
    if whole < 60:
        return b"%ds" % whole
    if whole < 3600:
        return b"%dm%ds" % (whole // 60, whole % 60)
    return b"%dh%dm%ds" % (whole // 3600, whole % 3600 // 60, whole % 60)
