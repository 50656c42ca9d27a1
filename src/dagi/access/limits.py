"""How much may they: requests a minute, tokens a day, money a month. Pure decisions over numbers that somebody else keeps.

Requests are counted on a clock that never jumps, days and months in UTC. Money is a whole number of millionths of a currency unit.
"""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from dagi.errors import BudgetExceeded, DagiError, RateLimited

Holder = Literal["key", "user", "dao"]
Kind = Literal["requests_per_minute", "tokens_per_day", "money_per_month"]

UNLIMITED: Final = -1
MICROS: Final = 1_000_000
WINDOW_S: Final = 60
# A wall clock that is set back by less than this is not followed; by more, it was wrong before.
FOLLOWED_S: Final = 48 * 3600.0
_DAY_S: Final = 86_400


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """How much one may use. None says nothing; `UNLIMITED` says that there is no limit, whatever the default says.

    Attributes:
        rpm: requests in any 60 seconds.
        tokens_per_day: tokens a day in UTC, prompt and completion together.
        money_per_month: millionths of a currency unit a calendar month in UTC.
    """

    rpm: int | None = None
    tokens_per_day: int | None = None
    money_per_month: int | None = None

    def over(self, default: "Quota") -> "Quota":
        """This one, and the default where it says nothing; what is unlimited becomes None."""
        return Quota(
            rpm=_first(self.rpm, default.rpm),
            tokens_per_day=_first(self.tokens_per_day, default.tokens_per_day),
            money_per_month=_first(self.money_per_month, default.money_per_month),
        )

    @property
    def says_anything(self) -> bool:
        """Whether anything is limited, or freed of a limit."""
        return self.rpm is not None or self.tokens_per_day is not None or self.money_per_month is not None

    @property
    def limits_spend(self) -> bool:
        """Whether tokens or money are limited."""
        tokens, money = self.tokens_per_day, self.money_per_month
        return (tokens is not None and tokens >= 0) or (money is not None and money >= 0)


NO_QUOTA: Final = Quota()


def _first(own: int | None, default: int | None) -> int | None:
    value = default if own is None else own
    return None if value == UNLIMITED else value


def holders(dao_id: str, user_id: str, key_id: str) -> tuple[tuple[Holder, str], ...]:
    """Whom a request counts for. A key that speaks for itself is its own user and counts once."""
    dao: tuple[Holder, str] = ("dao", dao_id)
    if not key_id:
        return (("user", user_id), dao)
    if user_id == f"key:{key_id}":
        return (("key", key_id), dao)
    return (("key", key_id), ("user", user_id), dao)


class Gauge(msgspec.Struct, frozen=True, gc=False):
    """One limit and how much of it is used.

    Attributes:
        reset_s: seconds until all of it is free again, where nothing more is used.
        retry_s: seconds until some of it is free again; 0 where some is.
    """

    of: Holder
    kind: Kind
    limit: int
    used: int
    reset_s: float
    retry_s: float = 0.0

    @property
    def remaining(self) -> int:
        """What is left; never below zero."""
        return max(0, self.limit - self.used)


class Allowance(msgspec.Struct, frozen=True):
    """What an admission found: every limit in force for the sender, and the one that refuses the request, if one does."""

    gauges: tuple[Gauge, ...] = ()
    refusing: Gauge | None = None

    def tightest(self, kind: Kind) -> Gauge | None:
        """The limit of the kind of which the least is left."""
        found: Gauge | None = None
        least = 0
        for gauge in self.gauges:
            if gauge.kind == kind:
                left = gauge.limit - gauge.used
                if found is None or left < least:
                    found, least = gauge, left
        return found

    @property
    def refusal(self) -> DagiError | None:
        """The error a refused request ends with."""
        return None if self.refusing is None else _refusal(self.refusing)

    def require(self) -> None:
        """Let the request pass, or end it.

        Raises:
            RateLimited: too many requests within a minute, or the day's tokens are used.
            BudgetExceeded: the month's money is spent.
        """
        if self.refusing is not None:
            raise _refusal(self.refusing)


FREE: Final = Allowance()

_WHOSE: Final = {"key": "this key", "user": "you", "dao": "this DAO"}


def _refusal(gauge: Gauge) -> DagiError:
    # Never at once again: a caller that waits as told must not be a moment too early.
    wait = max(1, -int(-gauge.retry_s // 1))
    facts: dict[str, object] = {"limit": gauge.kind, "limit_of": gauge.of, "limit_value": gauge.limit, "retry_after_s": wait}
    whose = _WHOSE[gauge.of]
    if gauge.kind == "requests_per_minute":
        return RateLimited(f"Too many requests: {whose} may send {gauge.limit} a minute. Try again in {wait} s.", **facts)
    if gauge.kind == "tokens_per_day":
        return RateLimited(f"The tokens of the day are used: {whose} may use {gauge.limit}. The next day begins at 00:00 UTC.", **facts)
    facts["limit_value"] = gauge.limit / MICROS
    sentence = f"The money of the month is spent: {whose} may spend {gauge.limit / MICROS:g}. The next month begins on its first day, UTC."
    return BudgetExceeded(sentence, **facts)


def judged(gauges: Iterable[Gauge]) -> Allowance:
    """The allowance that follows from the limits: refused by the one that holds longest, where any is used up."""
    found = tuple(gauges)
    refusing: Gauge | None = None
    for gauge in found:
        if gauge.used >= gauge.limit and (refusing is None or gauge.retry_s > refusing.retry_s):
            refusing = gauge
    return Allowance(found, refusing)


class Window:
    """Requests of the last minute, in slots of one second: never more than the limit in any 60 seconds, at most 61 numbers kept.

    Times are seconds on a clock that never goes back.
    """

    __slots__ = ("_slots", "count")

    def __init__(self) -> None:
        self._slots: deque[list[int]] = deque()
        self.count = 0

    def gauge(self, of: Holder, limit: int, now: float) -> Gauge:
        """How much of the limit is used."""
        self._forget(now)
        slots = self._slots
        if not slots:
            return Gauge(of, "requests_per_minute", limit, 0, 0.0)
        reset = slots[-1][0] + WINDOW_S + 1 - now
        return Gauge(of, "requests_per_minute", limit, self.count, reset, self._retry(limit, now) if self.count >= limit else 0.0)

    def take(self, now: float) -> None:
        """Count one request."""
        slot = int(now)
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1][1] += 1
        else:
            self._slots.append([slot, 1])
        self.count += 1

    def idle(self, now: float) -> bool:
        """Whether it holds nothing worth keeping."""
        self._forget(now)
        return not self._slots

    def _forget(self, now: float) -> None:
        # A slot is over once its last moment is a whole window ago.
        oldest = int(now) - WINDOW_S
        slots = self._slots
        while slots and slots[0][0] < oldest:
            self.count -= slots.popleft()[1]

    def _retry(self, limit: int, now: float) -> float:
        """Seconds until one more request fits; a limit that was lowered may need several slots to pass."""
        surplus = self.count - limit + 1
        for slot, count in self._slots:
            surplus -= count
            if surplus <= 0:
                return slot + WINDOW_S + 1 - now
        return float(WINDOW_S + 1)


class Calendar:
    """The day in UTC, on a wall clock that may jump.

    Set back by up to two days, it is not followed: the day that has begun goes on, so no budget opens twice. Set back further, it was
    wrong before and is followed: a day far ahead does not close a budget for ever. Set forward, it is followed.

    Args:
        now, monotonic: both clocks at the same moment.
        counted: the latest day something was counted on before, `YYYY-MM-DD`; as far as it is not ahead by more than two days it is
            not gone back from either.
    """

    def __init__(self, now: datetime, monotonic: float, counted: str = "") -> None:
        self._at = now.timestamp()
        self._monotonic = monotonic
        self._begins = self._ends = self._month_ends = 0.0
        self._day = ""
        if counted:
            ahead = datetime.fromisoformat(counted).replace(tzinfo=UTC).timestamp()
            if self._at < ahead <= self._at + FOLLOWED_S:
                self._at = ahead

    def read(self, now: datetime, monotonic: float) -> str:
        """Today, `YYYY-MM-DD`. Its first seven characters are the month."""
        told = now.timestamp()
        steady = self._at + (monotonic - self._monotonic)
        self._at = told if told >= steady or steady - told > FOLLOWED_S else steady
        self._monotonic = monotonic
        if not self._begins <= self._at < self._ends:
            self._begins = self._at // _DAY_S * _DAY_S
            self._ends = self._begins + _DAY_S
            began = datetime.fromtimestamp(self._begins, UTC)
            self._day = began.date().isoformat()
            self._month_ends = (began.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()
        return self._day

    @property
    def day_left_s(self) -> float:
        """Seconds to the end of the day that was read last."""
        return self._ends - self._at

    @property
    def month_left_s(self) -> float:
        """Seconds to the end of the month that was read last."""
        return self._month_ends - self._at


def spend_gauge(of: Holder, kind: Kind, limit: int, used: int, left_s: float) -> Gauge:
    """A budget: what was spent of it, and when the next period opens."""
    return Gauge(of, kind, limit, used, left_s if used else 0.0, left_s if used >= limit else 0.0)
