"""Limits in memory, written as plainly as can be: what the others are compared with."""

from collections.abc import Mapping

from dagi.access.limits import NO_QUOTA, WINDOW_S, Allowance, Gauge, Holder, Quota, judged
from dagi.message import Sender
from dagi.ports.clock import Clock
from dagi.ports.dialogs import Exchange
from dagi.ports.limits import Charge


class FakeLimits:
    """Implements the port Limits: remembers every request and every charge. A token costs one millionth.

    Attributes:
        quotas: the limits by holder, for example `("user", "tg:1")`.
    """

    def __init__(self, clock: Clock, quotas: Mapping[tuple[Holder, str], Quota] | None = None) -> None:
        self.quotas = dict(quotas or {})
        self.requests: list[tuple[float, Sender]] = []
        self.charges: list[tuple[Charge, Sender]] = []
        self._clock = clock

    async def admit(self, sender: Sender) -> Allowance:
        """See the port Limits."""
        found = await self.look(sender)
        if found.refusing is not None:
            return found
        self.requests.append((self._clock.monotonic(), sender))
        return Allowance((await self.look(sender)).gauges)

    async def look(self, sender: Sender) -> Allowance:
        """See the port Limits."""
        return judged(gauge for holder in _holders(sender) for gauge in self._gauges(holder, sender.dao_id))

    def settle(self, exchange: Exchange) -> None:
        """See the port Limits."""
        tokens = exchange.usage.total_tokens
        exchange.charge = Charge(self._clock.now().date().isoformat(), tokens, tokens)
        self.charges.append((exchange.charge, exchange.message.sender))

    def _gauges(self, holder: tuple[Holder, str], dao_id: str) -> list[Gauge]:
        quota, of, now = self.quotas.get(holder, NO_QUOTA), holder[0], self._clock.monotonic()
        day = self._clock.now().date().isoformat()
        ours = [(charge, who) for charge, who in self.charges if holder in _holders(who) and who.dao_id == dao_id]
        gauges: list[Gauge] = []
        if quota.rpm is not None:
            recent = [at for at, who in self.requests if holder in _holders(who) and who.dao_id == dao_id and now - at < WINDOW_S]
            wait = float(WINDOW_S) if len(recent) >= quota.rpm else 0.0
            gauges.append(Gauge(of, "requests_per_minute", quota.rpm, len(recent), float(WINDOW_S), wait))
        if quota.tokens_per_day is not None:
            tokens = sum(charge.tokens for charge, _ in ours if charge.day == day)
            gauges.append(Gauge(of, "tokens_per_day", quota.tokens_per_day, tokens, 1.0, 1.0))
        if quota.money_per_month is not None:
            micros = sum(charge.micros for charge, _ in ours if charge.day[:7] == day[:7])
            gauges.append(Gauge(of, "money_per_month", quota.money_per_month, micros, 1.0, 1.0))
        return gauges


def _holders(sender: Sender) -> list[tuple[Holder, str]]:
    """Whom a request counts for. A key that speaks for itself is no user beside."""
    holders: list[tuple[Holder, str]] = [("dao", sender.dao_id)]
    if sender.key_id:
        holders.append(("key", sender.key_id))
    if sender.user_id != f"key:{sender.key_id}":
        holders.append(("user", sender.user_id))
    return holders
