"""Who has a role by a token: the rows of rules, wallets, holders, and of the memberships that follow from them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, insert, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from dagi.access.token_wishes import MAX
from dagi.access.tokens import WALLET, Holder, TokenRule, Wallet
from dagi.stores.changes import Change, Record
from dagi.stores.governance_tables import token_holder, token_rule
from dagi.stores.people import Terms, give_roles, take_roles
from dagi.stores.tables import identity, membership

SOURCE: Final = "token"
_BATCH: Final = 1_000


async def read_rules(connection: AsyncConnection, dao_id: str | None = None) -> list[TokenRule]:
    """The rules of a DAO, or all, oldest first."""
    query = select(token_rule).order_by(token_rule.c.created_at, token_rule.c.id)
    rows = await connection.execute(query if dao_id is None else query.where(token_rule.c.dao_id == dao_id))
    return [_as_rule(row) for row in rows]


def _as_rule(row: Row[Any]) -> TokenRule:
    """The row as a value."""
    values: dict[str, Any] = {name: getattr(row, name) for name in TokenRule.__struct_fields__}
    values["token_id"] = None if row.token_id is None else int(row.token_id)
    values["min_balance"] = int(row.min_balance)
    return TokenRule(**values)


async def read_wallets(connection: AsyncConnection, rule: TokenRule, hold: timedelta, person_id: str | None = None) -> list[Wallet]:
    """The wallets a rule is about: of everybody, of members and those who have the role by it, or of one person who asks."""
    query = select(identity).where(identity.c.id.startswith(WALLET, autoescape=True)).order_by(identity.c.id)
    if person_id is not None:
        query = query.where(identity.c.person_id == person_id)
    elif not rule.everyone:
        members = select(membership.c.person_id).where(membership.c.dao_id == rule.dao_id)
        holders = select(token_holder.c.person_id).where(token_holder.c.rule_id == rule.id)
        query = query.where(or_(identity.c.person_id.in_(members), identity.c.person_id.in_(holders)))
    return [_wallet(row, hold) for row in await connection.execute(query)]


def _wallet(row: Row[Any], hold: timedelta) -> Wallet:
    settled_at: datetime = row.created_at + hold
    if row.trusted_from is not None:
        settled_at = max(settled_at, row.trusted_from)
    return Wallet(account=row.id, person_id=row.person_id, settled_at=settled_at)


async def read_holders(connection: AsyncConnection, rule_id: str, person_id: str | None = None) -> list[Holder]:
    """Those who have the role by the rule, or one of them."""
    query = select(token_holder).where(token_holder.c.rule_id == rule_id)
    rows = await connection.execute(query if person_id is None else query.where(token_holder.c.person_id == person_id))
    return [Holder(person_id=row.person_id, balance=int(row.balance), since=row.since, lacking_since=row.lacking_since) for row in rows]


async def write_holders(connection: AsyncConnection, rule: TokenRule, holders: Sequence[Holder], person_id: str | None = None) -> None:
    """Write down who has the role by the rule, in place of whoever had, or what is so of one person."""
    theirs = token_holder.c.rule_id == rule.id
    if person_id is not None:
        theirs &= token_holder.c.person_id == person_id
    await connection.execute(delete(token_holder).where(theirs))
    rows = [
        {
            "rule_id": rule.id,
            "dao_id": rule.dao_id,
            "person_id": holder.person_id,
            # No rule asks for more, but the wallets of a person together may hold more than one alone can.
            "balance": str(min(holder.balance, MAX)),
            "since": holder.since,
            "lacking_since": holder.lacking_since,
        }
        for holder in holders
    ]
    for start in range(0, len(rows), _BATCH):
        await connection.execute(insert(token_holder), rows[start : start + _BATCH])


async def join_holders(connection: AsyncConnection, gone: str, kept: str) -> None:
    """One person turned out to be another: what either has by a rule stays until the chain is asked again, the better of the two.

    Args:
        gone, kept: the persons; the first one is about to be no more.
    """
    of_both = token_holder.c.person_id.in_([gone, kept])
    best: dict[str, RowMapping] = {}
    for row in (await connection.execute(select(token_holder).where(of_both).order_by(token_holder.c.since))).mappings():
        before = best.setdefault(row["rule_id"], row)
        if before["lacking_since"] is not None and row["lacking_since"] is None:
            best[row["rule_id"]] = row
    await connection.execute(delete(token_holder).where(of_both))
    if best:
        await connection.execute(insert(token_holder), [{**row, "person_id": kept} for row in best.values()])


class Wrong(msgspec.Struct, frozen=True):
    """A person whose roles do not follow from the tokens: what is to be given, what to be taken, whether the membership rests."""

    person_id: str
    give: tuple[str, ...]
    take: tuple[str, ...]
    suspended: bool


async def read_wrong(connection: AsyncConnection, dao_id: str, roles: Iterable[str], now: datetime) -> list[Wrong]:
    """Whose roles by tokens are not what the holders' rows say.

    A role that somebody has otherwise is neither given nor taken, until that has ended. Whoever is suspended keeps the row, and so the
    suspension: it must not be possible to shake it off by sending a token away and back.
    """
    wanted: dict[str, set[str]] = {}
    by_rule = select(token_holder.c.person_id, token_rule.c.role).join(token_rule, token_rule.c.id == token_holder.c.rule_id)
    defined = set(roles)
    for person_id, role in await connection.execute(by_rule.where(token_rule.c.dao_id == dao_id)):
        if role in defined:
            wanted.setdefault(person_id, set()).add(role)
    held: dict[str, list[Row[Any]]] = {}
    for row in await connection.execute(select(membership).where(membership.c.dao_id == dao_id)):
        held.setdefault(row.person_id, []).append(row)
    found: list[Wrong] = []
    for person_id in sorted({*wanted, *held}):
        rows, want = held.get(person_id, []), wanted.get(person_id, set())
        suspended = any(row.suspended for row in rows)
        give = sorted(want - {row.role for row in rows if row.source == SOURCE or row.expires_at is None or row.expires_at > now})
        take = [] if suspended else sorted(row.role for row in rows if row.source == SOURCE and row.role not in want)
        if give or take:
            found.append(Wrong(person_id, tuple(give), tuple(take), suspended))
    return found


async def put_right(change: Change, wrong: Sequence[Wrong], *, take: bool = True) -> None:
    """Give and take what follows from the tokens, and put it on record."""
    accounts = await name_people(change, [one.person_id for one in wrong])
    records: list[Record] = []
    for one in wrong:
        subject = accounts.get(one.person_id, "")
        if one.give:
            # What somebody gave by hand and is over would stand in its place.
            await take_roles(change, one.person_id, one.give)
            await give_roles(change, one.person_id, one.give, Terms(source=SOURCE, suspended=one.suspended))
            records.append(Record("member.added", subject, {"source": SOURCE, "roles": one.give}))
        if one.take and take:
            await take_roles(change, one.person_id, one.take)
            records.append(Record("member.removed", subject, {"source": SOURCE, "roles": one.take}))
    await change.record_all(records)


async def name_people(change: Change, people: Sequence[str]) -> Mapping[str, str]:
    """One account of each, to name them by: the wallet, where there is one."""
    found: dict[str, str] = {}
    for start in range(0, len(people), _BATCH):
        query = select(identity.c.person_id, identity.c.id).where(identity.c.person_id.in_(people[start : start + _BATCH]))
        for person_id, account in await change.connection.execute(query.order_by(identity.c.id)):
            if person_id not in found or account.startswith(WALLET):
                found[person_id] = account
    return found
