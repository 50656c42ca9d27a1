"""Limits of one process, in memory; what was spent is read from the database once, at the start."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from dagi.access.limits import (
    FREE,
    NO_QUOTA,
    Allowance,
    Calendar,
    Gauge,
    Holder,
    Quota,
    Window,
    holders,
    judged,
    spend_gauge,
)
from dagi.access.prices import MOST_TOKENS, PriceTable, bounded
from dagi.message import Sender, Usage
from dagi.ports.clock import Clock
from dagi.ports.dialogs import UNCOUNTED, Exchange
from dagi.ports.limits import Charge, Quotas
from dagi.stores.spend import Holding, Spent

_NONE: Mapping[Holding, int] = {}
_SWEPT_FROM = 1_000
_DAYS_KEPT, _MONTHS_KEPT = 4, 3


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says: the limits of whoever has none of their own, and what answers cost. Swapped as one."""

    key: Quota = NO_QUOTA
    user: Quota = NO_QUOTA
    dao: Quota = NO_QUOTA
    prices: PriceTable = msgspec.field(default_factory=PriceTable)

    @property
    def silent(self) -> bool:
        """Whether nobody is limited who has no limits of their own."""
        return not (self.key.says_anything or self.user.says_anything or self.dao.says_anything)


class Limited(msgspec.Struct, frozen=True, gc=False):
    """One whose limits count for a request; the quota says what is in force."""

    of: Holder
    holding: Holding
    quota: Quota


class LocalLimits:
    """Implements the port Limits for one process.

    Args:
        spent: what was spent before, by day: the running month, and later days if there are any.
    """

    def __init__(self, quotas: Quotas, clock: Clock, terms: Terms, spent: Iterable[Spent] = ()) -> None:
        self._quotas = quotas
        self._clock = clock
        self._windows: dict[Holding, Window] = {}
        self._sweep_at = _SWEPT_FROM
        self._days: dict[str, dict[Holding, int]] = {}
        self._months: dict[str, dict[Holding, int]] = {}
        latest = ""
        for one in spent:
            latest = max(latest, one.period)
            self._count(one.period, (one.of, one.dao_id, one.holder), one.tokens, one.micros)
        self._calendar = Calendar(clock.now(), clock.monotonic(), latest)
        self.use(terms)

    def use(self, terms: Terms) -> None:
        """Take other terms from now on; what was counted stays."""
        self.terms = terms
        self._silent = terms.silent
        # Merged once for all who have no limits of their own, which are most.
        self._user, self._dao, self._key = (quota.over(NO_QUOTA) for quota in (terms.user, terms.dao, terms.key))
        self._lone = terms.key.over(terms.user)

    async def admit(self, sender: Sender) -> Allowance:
        """See the port Limits."""
        limited = self.limited(sender)
        return self.take(limited) if limited else FREE

    async def look(self, sender: Sender) -> Allowance:
        """See the port Limits."""
        return self.seen(self.limited(sender))

    def take(self, limited: Sequence[Limited]) -> Allowance:
        """Count one request where all limits have room."""
        found = self.seen(limited)
        if found.refusing is not None:
            return found
        now = self._clock.monotonic()
        for one in limited:
            if one.quota.rpm is not None:
                self._window(one.holding).take(now)
        return Allowance(tuple([counted(gauge) for gauge in found.gauges]))

    def seen(self, limited: Sequence[Limited]) -> Allowance:
        """What is in force, and how much of it is used."""
        gauges: list[Gauge] = []
        now, day = self._clock.monotonic(), ""
        for one in limited:
            if one.quota.rpm is not None:
                gauges.append(self._window(one.holding).gauge(one.of, one.quota.rpm, now))
            if one.quota.limits_spend:
                day = day or self.today()
                tokens = self._days.get(day, _NONE).get(one.holding, 0)
                gauges += self.budgets(one, tokens, self._months.get(day[:7], _NONE).get(one.holding, 0))
        return judged(gauges)

    def budgets(self, one: Limited, tokens: int, micros: int) -> list[Gauge]:
        """The limits on spend of somebody who has spent so much today and this month."""
        gauges: list[Gauge] = []
        if one.quota.tokens_per_day is not None:
            gauges.append(spend_gauge(one.of, "tokens_per_day", one.quota.tokens_per_day, tokens, self._calendar.day_left_s))
        if one.quota.money_per_month is not None:
            gauges.append(spend_gauge(one.of, "money_per_month", one.quota.money_per_month, micros, self._calendar.month_left_s))
        return gauges

    def limited(self, sender: Sender) -> Sequence[Limited]:
        """Whoever has a limit that counts for the sender."""
        key_id, dao_id = sender.key_id, sender.dao_id
        of_dao = self._quotas.of_dao(dao_id)
        of_key = self._quotas.of_key(key_id) if key_id else NO_QUOTA
        if self._silent and of_dao is NO_QUOTA and of_key is NO_QUOTA:
            return ()
        limited: list[Limited] = []
        counting = holders(dao_id, sender.user_id, key_id)
        for of, holder in counting:
            if of == "user":
                quota = self._user
            elif of == "dao":
                quota = self._dao if of_dao is NO_QUOTA else of_dao.over(self._dao)
            else:
                default = self._key if len(counting) == 3 else self._lone
                quota = default if of_key is NO_QUOTA else of_key.over(default)
            if quota.says_anything:
                limited.append(Limited(of, (of, dao_id, holder), quota))
        return limited

    def settle(self, exchange: Exchange) -> None:
        """See the port Limits."""
        sender, day = exchange.message.sender, self.today()
        usage = used(exchange)
        tokens = max(bounded(usage.total_tokens), bounded(bounded(usage.prompt_tokens) + bounded(usage.completion_tokens)))
        micros = max([self.terms.prices.cost(name, exchange.model, usage) for name in _answering(exchange)], default=0) if tokens else 0
        exchange.charge = Charge(day, tokens, micros)
        if tokens:
            for of, holder in holders(sender.dao_id, sender.user_id, sender.key_id):
                self._count(day, (of, sender.dao_id, holder), tokens, micros)

    def today(self) -> str:
        """The day things count on now."""
        return self._calendar.read(self._clock.now(), self._clock.monotonic())

    def _window(self, holding: Holding) -> Window:
        window = self._windows.get(holding)
        if window is None:
            self._sweep()
            window = self._windows[holding] = Window()
        return window

    def _sweep(self) -> None:
        """Forget those who have been silent, before the map grows to twice what is alive."""
        if len(self._windows) < self._sweep_at:
            return
        now = self._clock.monotonic()
        self._windows = {holding: window for holding, window in self._windows.items() if not window.idle(now)}
        self._sweep_at = max(_SWEPT_FROM, 2 * len(self._windows))

    def _count(self, day: str, holding: Holding, tokens: int, micros: int) -> None:
        of_day = self._days.get(day)
        if of_day is None:
            of_day = _opened(self._days, day, _DAYS_KEPT)
        of_month = self._months.get(day[:7])
        if of_month is None:
            of_month = _opened(self._months, day[:7], _MONTHS_KEPT)
        of_day[holding] = of_day.get(holding, 0) + tokens
        if micros:
            of_month[holding] = of_month.get(holding, 0) + micros


def counted(gauge: Gauge) -> Gauge:
    """The gauge after the request that was let pass."""
    if gauge.kind != "requests_per_minute":
        return gauge
    return Gauge(gauge.of, "requests_per_minute", gauge.limit, gauge.used + 1, max(gauge.reset_s, 60.0))


def used(exchange: Exchange) -> Usage:
    """What the exchange used; nothing, where its answer was made for another one.

    Where no provider has said it, an answer that came, whole or in part, and a request the caller left are estimated: bytes / 4.
    """
    if exchange.cached:
        return UNCOUNTED
    if exchange.usage is not UNCOUNTED:
        return exchange.usage
    begun = exchange.record or exchange.thoughts or exchange.others
    if not begun and exchange.outcome != "cancelled":
        return UNCOUNTED
    prompt, completion = exchange.message.tokens(), exchange.made
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=min(prompt + completion, MOST_TOKENS))


def _answering(exchange: Exchange) -> tuple[str, ...]:
    """Who answered; where that was not told any more, whoever can have been at it, of whom the dearest counts."""
    chain = exchange.chain
    # Whom one of the chain asked in its turn: the agent has no price, its models have.
    beyond = tuple({attempt.provider for attempt in exchange.attempts} - set(chain))
    if beyond and exchange.provider in {"", *chain}:
        return beyond
    if exchange.provider:
        return (exchange.provider,)
    if not exchange.attempts or exchange.attempts[-1].provider not in chain:
        return chain[:1]
    last = chain.index(exchange.attempts[-1].provider)
    return chain[last : last + 2]


def _opened(periods: dict[str, dict[Holding, int]], period: str, kept: int) -> dict[Holding, int]:
    """A new period; the oldest ones go."""
    periods[period] = {}
    for old in sorted(periods)[:-kept]:
        if old != period:
            del periods[old]
    return periods[period]
