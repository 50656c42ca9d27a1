"""Limits that several processes share through a Valkey or Redis server.

The server holds the requests of the last minute and the running sums of tokens and money; the database stays the truth about spend.
While the server does not answer, rates are limited by each process alone, and whoever has a limit on money is refused.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

from dagi.access.limits import FREE, Allowance, Gauge, judged
from dagi.errors import BudgetUnknown, StoreError
from dagi.message import Sender
from dagi.ports.dialogs import Exchange
from dagi.ports.observer import Observer
from dagi.stores.limits import Limited, LocalLimits, counted
from dagi.stores.spend import Holding, Spends
from dagi.stores.valkey import CountersDown, Valkey

RECONCILE_S: Final = 5.0
_REVIVE_S: Final = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
_DAY_KEPT_S: Final = 3 * 86_400
_MONTH_KEPT_S: Final = 40 * 86_400
_UNKNOWN, _TRIES = 2, 3
_FIELDS: Final = 5


class SharedLimits:
    """Implements the port Limits. Use as a context: leaving ends what runs beside the requests.

    Args:
        local: who is limited by what; and the counters of this process for as long as the server is gone.
    """

    def __init__(self, local: LocalLimits, server: Valkey, spends: Spends, observer: Observer) -> None:
        self.local = local
        self._server = server
        self._spends = spends
        self._observer = observer
        self._up = True
        self._owing = asyncio.Event()
        self._gone = asyncio.Event()
        self._owed: dict[str, int] = {}
        self._touched: set[Holding] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            await self._server.ping()
        except CountersDown as error:
            self._lost(error)
        self._tasks = [
            asyncio.create_task(self._push(), name="limits-push"),
            asyncio.create_task(self._keep_true(), name="limits-reconcile"),
            asyncio.create_task(self._revive(), name="limits-revive"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def up(self) -> bool:
        """Whether the server answers."""
        return self._up

    async def admit(self, sender: Sender) -> Allowance:
        """See the port Limits."""
        return await self._ask(sender, is_counted=True)

    async def look(self, sender: Sender) -> Allowance:
        """See the port Limits."""
        return await self._ask(sender, is_counted=False)

    def settle(self, exchange: Exchange) -> None:
        """See the port Limits. What the server does not take is not lost: the database has it, and the sums are raised to that."""
        self.local.settle(exchange)
        charge = exchange.charge
        if charge is None or not charge.tokens:
            return
        for one in self.local.limited(exchange.message.sender):
            if not one.quota.limits_spend:
                continue
            self._touched.add(one.holding)
            if self._up:
                for key, amount in zip(_sums(one.holding, charge.day), (charge.tokens, charge.micros), strict=True):
                    self._owed[key] = self._owed.get(key, 0) + amount
                self._owing.set()

    async def _ask(self, sender: Sender, *, is_counted: bool) -> Allowance:
        limited = self.local.limited(sender)
        if not limited:
            return FREE
        if self._up:
            try:
                return await self._asked(limited, is_counted=is_counted)
            except CountersDown as error:
                self._lost(error)
            except StoreError as error:
                self._observer.note("spend_unreadable", level="error", why=error.message)
        if any(one.quota.money_per_month is not None for one in limited):
            raise BudgetUnknown("What was spent cannot be read just now, so nothing that may cost money can be allowed.", retry_after_s=1)
        return self.local.take(limited) if is_counted else self.local.seen(limited)

    async def _asked(self, limited: Sequence[Limited], *, is_counted: bool) -> Allowance:
        day = self.local.today()
        keys = [key for one in limited for key in (_key(one.holding, "rpm"), *_sums(one.holding, day))]
        limits = [_limit(value) for one in limited for value in (one.quota.rpm, one.quota.tokens_per_day, one.quota.money_per_month)]
        for _ in range(_TRIES):
            state, *told = await self._server.admit(keys, [int(is_counted), *limits])
            if state != _UNKNOWN:
                break
            await self._reconcile([one.holding for one in limited if one.quota.limits_spend])
        else:
            raise CountersDown("it does not keep what is written to it")
        gauges: list[Gauge] = []
        for index, one in enumerate(limited):
            count, reset, retry, tokens, micros = told[index * _FIELDS : (index + 1) * _FIELDS]
            if one.quota.rpm is not None:
                gauges.append(Gauge(one.of, "requests_per_minute", one.quota.rpm, count, reset / 1000, retry / 1000))
            gauges += self.local.budgets(one, tokens, micros)
        found = judged(gauges)
        return Allowance(tuple(counted(gauge) for gauge in gauges)) if is_counted and found.refusing is None else found

    def _lost(self, error: CountersDown) -> None:
        if not self._up:
            return
        self._up = False
        self._owed.clear()
        effect = "rates are limited by each process alone; whoever has a limit on money is refused"
        self._observer.note("limits_server_lost", level="error", why=error.message, effect=effect)
        self._gone.set()

    async def _revive(self) -> None:
        """Ask a server that is gone again and again, so that no request has to."""
        loop = asyncio.get_running_loop()
        back_at = float("-inf")
        while True:
            await self._gone.wait()
            self._gone.clear()
            # A server that answers a ping and nothing else must not be found again with every request.
            attempt = 0 if loop.time() - back_at > RECONCILE_S else len(_REVIVE_S)
            while not self._up:
                await asyncio.sleep(_REVIVE_S[min(attempt, len(_REVIVE_S) - 1)])
                attempt += 1
                with suppress(CountersDown, StoreError):
                    await self._server.ping()
                    await self._reconcile(list(self._touched))
                    self._up, back_at = True, loop.time()
                    self._observer.note("limits_server_back")

    async def _push(self) -> None:
        """Add what was used to the sums, whatever has come together since the last time in one round trip."""
        while True:
            await self._owing.wait()
            self._owing.clear()
            owed, self._owed = self._owed, {}
            if owed and self._up:
                try:
                    await self._server.add(list(owed), list(owed.values()))
                except CountersDown as error:
                    self._lost(error)

    async def _keep_true(self) -> None:
        """Raise the sums to what the database knows: what got lost on the way, or was spent while the server was gone."""
        before: set[Holding] = set()
        while True:
            await asyncio.sleep(RECONCILE_S)
            if not self._up:
                continue
            # Twice, because the newest exchanges may not be in the database yet.
            touched, self._touched = self._touched, set()
            try:
                await self._reconcile(list(touched | before))
            except CountersDown as error:
                self._touched |= touched | before
                self._lost(error)
            except StoreError:
                self._touched |= touched | before
            before = touched

    async def _reconcile(self, holdings: Sequence[Holding]) -> None:
        if not holdings:
            return
        day = self.local.today()
        keys: list[str] = []
        values: list[int] = []
        for holding, (tokens, micros) in (await self._spends.of_holders(holdings, day)).items():
            keys += _sums(holding, day)
            values += (tokens, _DAY_KEPT_S, micros, _MONTH_KEPT_S)
        await self._server.raise_to(keys, values)


def _sums(holding: Holding, day: str) -> tuple[str, str]:
    return _key(holding, f"tokens:{day}"), _key(holding, f"money:{day[:7]}")


def _key(holding: Holding, what: str) -> str:
    of, dao_id, holder = holding
    return f"dagi:{dao_id}:{what}:{of}:{holder}"


def _limit(value: int | None) -> int:
    return -1 if value is None else value
