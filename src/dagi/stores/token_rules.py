"""The repository of token rules."""

from collections.abc import Sequence
from secrets import token_hex

import msgspec
from sqlalchemy import delete as delete_from
from sqlalchemy import func, insert, select

from dagi.access.actor import Actor
from dagi.access.token_wishes import MAX_RULES, TokenWish, token_terms
from dagi.access.tokens import TokenRule
from dagi.errors import Conflict, Denied, Invalid, Missing
from dagi.ports.balances import Balances
from dagi.ports.clock import Clock
from dagi.ports.token_rules import Checked, RuleInfo
from dagi.stores.changes import STACK, Change, Changes, grant_of
from dagi.stores.database import Database
from dagi.stores.governance_tables import token_holder, token_rule
from dagi.stores.people import check_roles, held_by, person_of
from dagi.stores.standings import check_dao_exists
from dagi.stores.token_checks import TokenChecks
from dagi.stores.token_holders import put_right, read_rules, read_wrong


class SqlTokenRules:
    """Implements the port TokenRules."""

    def __init__(self, database: Database, clock: Clock, balances: Balances, checks: TokenChecks, by: Actor = STACK) -> None:
        self._database = database
        self._clock = clock
        self._balances = balances
        self._checks = checks
        self._by = by
        self._changes = Changes(database, clock)

    async def add(self, dao_id: str, wish: TokenWish) -> TokenRule:
        """See the port."""
        async with self._changes.of(dao_id, self._by, "member.manage") as change:
            made = self._made(change, wish)
            await check_roles(change, [made.role])
            there = await read_rules(change.connection, dao_id)
            if len(there) >= MAX_RULES:
                raise Conflict(f"The DAO has {len(there)} rules already. Remove one first.", dao_id=dao_id)
            if any(_same(one) == _same(made) for one in there):
                raise Conflict("The DAO has that very rule already.", dao_id=dao_id)
            row = {**msgspec.structs.asdict(made), "min_balance": str(made.min_balance)}
            row["token_id"] = None if made.token_id is None else str(made.token_id)
            await change.connection.execute(insert(token_rule).values(**row))
            told = {name: row[name] for name in ("chain_id", "token", "standard", "token_id", "min_balance", "role", "grace_s", "everyone")}
            await change.record("token_rule.made", made.id, **told)
        return made

    def _made(self, change: Change, wish: TokenWish) -> TokenRule:
        if wish.everyone and change.grant is not None:
            raise Denied(
                "To take everybody in who has a wallet on this stack is the operator's: it would tell the DAO who is behind which wallet. "
                "Leave `everyone` out; people ask to be taken in, and members are looked at by themselves.",
                user_role=change.grant.roles[0] if change.grant.roles else None,
                required_entitlement=None,
                reason="not_an_operator",
                decision_id=change.grant.decision_id,
            ).by(change.grant)
        terms = token_terms(wish)
        chain_id = self._balances.chain_id(wish.chain)
        if chain_id is None:
            sentence = "That chain is not configured. The operator names it and its node under `chains`."
            raise Invalid(sentence, field="chain", allowed=list(self._balances.chains()))
        return TokenRule(
            id=token_hex(6),
            dao_id=change.dao_id,
            chain_id=chain_id,
            everyone=wish.everyone,
            made_by=self._by.id,
            created_at=change.now,
            **msgspec.structs.asdict(terms),
        )

    async def all(self, dao_id: str) -> tuple[RuleInfo, ...]:
        """See the port."""
        columns = (token_holder.c.rule_id, func.count(), func.count(token_holder.c.lacking_since))
        count = select(*columns).where(token_holder.c.dao_id == dao_id)
        async with self._database.read(dao_id) as connection:
            counts = {row[0]: (row[1], row[2]) for row in await connection.execute(count.group_by(token_holder.c.rule_id))}
            await check_dao_exists(connection, dao_id)
            return tuple(RuleInfo(rule, *counts.get(rule.id, (0, 0))) for rule in await read_rules(connection, dao_id))

    async def remove(self, dao_id: str, rule_id: str) -> None:
        """See the port."""
        async with self._changes.of(dao_id, self._by, "member.manage") as change, change.keeping_an_admin():
            rule = next((one for one in await read_rules(change.connection, dao_id) if one.id == rule_id), None)
            if rule is None:
                raise Missing(f"The DAO {dao_id} has no rule {rule_id[:40]!r}. `dagi member source list` shows those it has.")
            await change.require_held_roles([rule.role])
            await change.connection.execute(delete_from(token_rule).where(token_rule.c.id == rule_id))
            await put_right(change, await read_wrong(change.connection, dao_id, await change.roles(), change.now))
            await change.record("token_rule.removed", rule_id, token=rule.token, role=rule.role)

    async def check(self, dao_id: str) -> Sequence[Checked]:
        """See the port."""
        async with self._database.read(dao_id) as connection:
            grant = await grant_of(connection, dao_id, self._by, self._clock.now())
            if grant is not None:
                grant.require("member.manage")
            await check_dao_exists(connection, dao_id)
            rules = await read_rules(connection, dao_id)
        if grant is not None and rules:
            return await self._checks.check_wished(dao_id, rules)
        return [await self._checks.check(rule) for rule in rules]

    async def claim(self, dao_id: str, user_id: str) -> Sequence[Checked]:
        """See the port."""
        async with self._database.read(dao_id) as connection:
            person_id = await person_of(connection, user_id)
            rules = await read_rules(connection, dao_id)
        if person_id is not None and rules:
            self._checks.admit(person_id)
        found = [] if person_id is None else [await self._checks.check(rule, person_id) for rule in rules]
        async with self._database.read(dao_id) as connection:
            belongs = person_id is not None and bool(await held_by(connection, dao_id, person_id))
        if not found or not belongs:
            # Whoever gets in by nothing does not hear from here whether there is such a DAO.
            sentence = "There is nothing here for your wallets: link one that holds enough of the DAO's token, or try again in a while."
            raise Missing(sentence, user_id=user_id)
        return found


def _same(rule: TokenRule) -> tuple[object, ...]:
    return rule.chain_id, rule.token, rule.standard, rule.token_id, rule.role
