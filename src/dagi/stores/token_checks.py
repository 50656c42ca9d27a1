"""Asking chains who holds enough, and giving and taking the roles that follow."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import Final

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.actor import Actor
from dagi.access.decide import entitlements
from dagi.access.entitlements import ADMINISTRATIVE
from dagi.access.tokens import Moved, Settled, TokenRule, Wallet, grace_ends, settle, totals
from dagi.errors import Conflict, DagiError, OutsideFailure, RateLimited
from dagi.ports.balances import Balances
from dagi.ports.clock import Clock
from dagi.ports.observer import Observer
from dagi.ports.token_rules import Checked
from dagi.stores.changes import Change, Changes, Record
from dagi.stores.database import Database
from dagi.stores.governance_tables import token_rule
from dagi.stores.leases import Lease
from dagi.stores.standings import read_roles
from dagi.stores.token_holders import name_people, put_right, read_holders, read_rules, read_wallets, read_wrong, write_holders
from dagi.stores.trouble import Trouble

JOB: Final = "token-sync"
TICK_S: Final = 1.0
LEASE_S: Final = 120.0
# A chain that did not answer is asked again sooner than one that did.
RETRY_S: Final = 60
# How often a DAO's rules are checked at somebody's wish.
WISHED_S: Final = 30.0
# How often one person may ask about its own wallets.
CLAIM_S: Final = 10.0
_TROUBLE: Final = 300


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long what takes.

    Attributes:
        hold: how long a wallet has to have been linked before it counts for what administers a DAO.
        every_s: how often each rule is checked by `follow`.
        lease_s: how long other processes wait for one that has died in the middle.
    """

    hold: timedelta
    every_s: int = 300
    lease_s: float = LEASE_S


class TokenChecks:
    """Checks rules, one after another."""

    def __init__(self, database: Database, clock: Clock, balances: Balances, observer: Observer, times: Times) -> None:
        self._database = database
        self._clock = clock
        self._balances = balances
        self._observer = observer
        self._times = times
        self._changes = Changes(database, clock)
        self._lease = Lease(database, clock, JOB)
        self._troubles: dict[str, Trouble] = {}
        # The rules whose trouble was told.
        self._told: set[str] = set()
        self._asked: dict[str, float] = {}

    async def follow(self) -> None:
        """Check what is due, for ever; one process at a time."""
        while True:
            await self._clock.sleep(TICK_S)
            with suppress(DagiError):
                await self.turn()

    async def turn(self) -> Sequence[Checked]:
        """Check what is due now, unless another process does.

        Raises:
            StoreError: the database cannot be used.
        """
        async with self._database.read() as connection:
            due = [rule for rule in await read_rules(connection) if self._is_due(rule)]
        if not due or not await self._lease.take(self._times.lease_s):
            return []
        found: list[Checked] = []
        for rule in due:
            # Somebody else may have been about it when it was read.
            async with self._database.read(rule.dao_id) as connection:
                still = [one for one in await read_rules(connection, rule.dao_id) if one.id == rule.id and self._is_due(one)]
            found += [await self.check(one) for one in still if await self._lease.take(self._times.lease_s)]
        await self._lease.give_back()
        return found

    def _is_due(self, rule: TokenRule) -> bool:
        after = min(self._times.every_s, RETRY_S) if rule.trouble else self._times.every_s
        return rule.tried_at is None or rule.tried_at + timedelta(seconds=after) <= self._clock.now()

    def admit(self, person_id: str) -> None:
        """Let somebody ask about its own wallets, once in a while: each time a chain is asked.

        Raises:
            RateLimited: it asked a moment ago.
        """
        now = self._clock.monotonic()
        self._asked = {person: at for person, at in self._asked.items() if now - at < CLAIM_S}
        if person_id in self._asked:
            wait_s = ceil(CLAIM_S - (now - self._asked[person_id]))
            raise RateLimited(f"You asked a moment ago. Ask again in {wait_s} s.", limit="claims", limit_of="user", retry_after_s=wait_s)
        self._asked[person_id] = now

    async def check_wished(self, dao_id: str, rules: Sequence[TokenRule]) -> Sequence[Checked]:
        """Check a DAO's rules because somebody wishes it: in one process at a time, and once in a while.

        Raises:
            RateLimited: that is being done, or was a moment ago.
            StoreError: the database cannot be used.
        """
        # Whoever asks is a holder of its own, also in the same process. An id of a DAO may be as long as the column.
        mine = Lease(self._database, self._clock, f"token-check:{sha256(dao_id.encode()).hexdigest()[:32]}")
        if not await mine.take(self._times.lease_s):
            wait_s = max(1, ceil(min(await mine.wait_s(), WISHED_S)))
            sentence = f"The rules of {dao_id} are being checked, or were a moment ago. Ask again in {wait_s} s."
            raise RateLimited(sentence, limit="checks", limit_of="dao", retry_after_s=wait_s)
        began, found = self._clock.now(), list[Checked]()
        try:
            for rule in rules:
                found.append(await self.check(rule))
                await mine.take(self._times.lease_s)
        finally:
            await mine.take((began - self._clock.now()).total_seconds() + WISHED_S)
        return found

    async def check(self, rule: TokenRule, person_id: str | None = None) -> Checked:
        """Ask the chain about one rule: all whom it concerns, or one person who asks.

        Raises:
            StoreError: the database cannot be used.
        """
        try:
            async with self._database.read(rule.dao_id) as connection:
                addresses = sorted({wallet.address for wallet in await self._wallets(connection, rule, person_id)})
            balances = await self._balances.of(rule, addresses) if addresses else {}
        except OutsideFailure as failure:
            await self._mark(rule, failure)
            return Checked(rule_id=rule.id, at=self._clock.now(), trouble=failure.message)
        async with self._database.write(rule.dao_id) as connection:
            if outdated := await self._outdated(connection, rule, person_id):
                return outdated
            settled = await self._settled(connection, rule, balances, person_id)
            wrong = await read_wrong(connection, rule.dao_id, await read_roles(connection, rule.dao_id), self._clock.now())
            if is_quiet := not settled.moved and not wrong:
                await write_holders(connection, rule, settled.holders, person_id)
        if not is_quiet:
            return await self._change(rule, balances, person_id)
        if person_id is None:
            await self._mark(rule)
        return _checked(rule, settled, self._clock.now())

    async def _settled(self, connection: AsyncConnection, rule: TokenRule, balances: Mapping[str, int], person_id: str | None) -> Settled:
        """What the chain's word comes to now. Whose a wallet is may have changed while it was asked, so that is read anew."""
        held = totals(await self._wallets(connection, rule, person_id), balances)
        return settle(rule, held, await read_holders(connection, rule.id, person_id), self._clock.now())

    async def _wallets(self, connection: AsyncConnection, rule: TokenRule, person_id: str | None) -> list[Wallet]:
        wallets = await read_wallets(connection, rule, self._times.hold, person_id)
        if not entitlements((rule.role,), await read_roles(connection, rule.dao_id)) & ADMINISTRATIVE:
            return wallets
        now = self._clock.now()
        return [wallet for wallet in wallets if wallet.settled_at <= now]

    async def _change(self, rule: TokenRule, balances: Mapping[str, int], person_id: str | None) -> Checked:
        """What the check comes to, with the DAO's row held: nobody else gives or takes meanwhile."""
        async with self._changes.of(rule.dao_id, Actor.system(JOB)) as change:
            if outdated := await self._outdated(change.connection, rule, person_id):
                return outdated
            settled = await self._settled(change.connection, rule, balances, person_id)
            await write_holders(change.connection, rule, settled.holders, person_id)
            accounts = await name_people(change, [moved.holder.person_id for moved in settled.moved])
            await change.record_all([_told(rule, moved, accounts.get(moved.holder.person_id, "")) for moved in settled.moved])
            await self._put_right(change)
        if person_id is None:
            await self._mark(rule)
        return _checked(rule, settled, self._clock.now())

    async def _outdated(self, connection: AsyncConnection, rule: TokenRule, person_id: str | None) -> Checked | None:
        """What a check comes to whose answer is older than what is written; None where it is not.

        Whoever was slower than the lease must not undo what another process has since read from a later block.
        """
        found = (await connection.execute(select(token_rule.c.tried_at).where(token_rule.c.id == rule.id))).first()
        if found is None:
            return Checked(rule_id=rule.id, at=self._clock.now(), trouble="The rule was removed meanwhile.")
        if person_id is None and found.tried_at != rule.tried_at:
            return Checked(rule_id=rule.id, at=self._clock.now(), trouble="It was checked by somebody else meanwhile.")
        return None

    async def _put_right(self, change: Change) -> None:
        wrong = await read_wrong(change.connection, change.dao_id, await change.roles(), change.now)
        trouble = self._trouble(f"last admin of {change.dao_id}")
        try:
            async with change.connection.begin_nested(), change.keeping_an_admin():
                await put_right(change, wrong)
        except Conflict as conflict:
            # A DAO is not left without an admin because somebody sold a token.
            trouble.again(conflict.message, dao=change.dao_id)
            await put_right(change, wrong, take=False)
        else:
            trouble.over()

    async def _mark(self, rule: TokenRule, failure: OutsideFailure | None = None) -> None:
        """Write down how it went, and tell the operator of trouble that begins or ends, whichever process has met it before."""
        now = self._clock.now()
        values: dict[str, object] = {"tried_at": now, "trouble": "" if failure is None else failure.message[:_TROUBLE]}
        if failure is None:
            values["checked_at"] = now
        same = (token_rule.c.id == rule.id) & token_rule.c.tried_at.is_not_distinct_from(rule.tried_at)
        async with self._database.write(rule.dao_id) as connection:
            before = await connection.scalar(select(token_rule.c.trouble).where(same).with_for_update())
            await connection.execute(update(token_rule).where(same).values(**values))
        if before is None:
            # Removed meanwhile, or somebody else was about it since, who has told.
            return
        facts = {"rule": rule.id, "token": rule.token, "chain": rule.chain_id, "dao": rule.dao_id}
        if failure is None:
            self._told.discard(rule.id)
            if before:
                self._observer.note("token_check_works_again", level="warning", **facts)
        elif not before or rule.id not in self._told:
            # A process that was just started says once what was wrong before.
            self._told.add(rule.id)
            self._observer.note("token_check_failed", level="error", why=failure.detail, **facts)

    def _trouble(self, what: str) -> Trouble:
        return self._troubles.setdefault(what, Trouble(self._observer, "token_check_failed", "token_check_works_again"))


def _told(rule: TokenRule, moved: Moved, account: str) -> Record:
    """Why somebody has a role, or will lose it."""
    holder = moved.holder
    details: dict[str, object] = {
        "rule": rule.id,
        "token": rule.token,
        "role": rule.role,
        "balance": str(holder.balance),
        "needed": str(rule.min_balance),
    }
    if moved.turn == "lacking":
        details["until"] = grace_ends(rule, holder)
    return Record(f"token.{moved.turn}", account, details)


def _checked(rule: TokenRule, settled: Settled, now: datetime) -> Checked:
    turns = [moved.turn for moved in settled.moved]
    return Checked(
        rule_id=rule.id,
        at=now,
        holders=len(settled.holders),
        gained=turns.count("gained"),
        lacking=turns.count("lacking"),
        lost=turns.count("lost"),
    )
